"""``sojourn tenant``: which tenants there are, giving one a partition of its own, deleting one."""

from __future__ import annotations

from typing import Any

import click

from sojourn.cli.limits import limits
from sojourn.cli.output import Cell, Column, hint, print_json, print_table
from sojourn.cli.progress import bar
from sojourn.cli.shared import Group, State, pass_state
from sojourn.keys import check_tenant

__all__ = ["tenant"]

_NAME = click.argument("name", metavar="TENANT")


@click.group(cls=Group)
def tenant() -> None:
    """Tenants: list them, look at one, give one a partition of its own, delete one."""


@tenant.command("list", examples=["sojourn tenant list", "sojourn tenant list --json"])
@pass_state
def list_(state: State) -> None:
    """List the tenants, with how many sessions each has in Redis and in the archive."""
    from sojourn.tenants import list_tenants

    found = list_tenants(state.settings)
    if state.as_json:
        print_json({"tenants": [each.to_json() for each in found]})
        return
    titles = ("TENANT", "PARTITION", "ISOLATED", "LIVE", "ENDED", "ARCHIVED", "")
    rows = [
        [
            Cell(each.tenant), Cell(str(each.partition)), Cell("yes" if each.isolated else "no"), Cell(str(each.live)),
            Cell(str(each.ended)), Cell("-" if each.archived is None else str(each.archived)),
            Cell("being deleted" if each.closed else "", "red"),
        ]
        for each in found
    ]  # fmt: skip
    print_table([Column(each) for each in titles], rows)


@tenant.command(examples=["sojourn tenant show acme", "sojourn tenant show acme --json"])
@_NAME
@pass_state
def show(state: State, name: str) -> None:
    """Show a tenant: its sessions by kind and status, its limits, and what of it waits for the archive."""
    from sojourn.tenants import show_tenant

    details = show_tenant(state.settings, name)
    found = details.to_json()
    if state.as_json:
        print_json(found)
        return
    counts = found.pop("counts")
    del found["limits"]
    found |= {f"{kind} {status}": number for kind, own in counts.items() for status, number in own.items()}
    found |= {f"limit {limit}": str(value) for limit, value in details.limits if value is not None}
    _print_pairs(found)


@tenant.command(examples=["sojourn tenant isolate acme"])
@_NAME
@pass_state
def isolate(state: State, name: str) -> None:
    """Give a tenant a partition of its own, and move there what it has; a Redis user can then be confined to it.

    Clients and workers go on meanwhile. Cut short, the next call goes on where it was.
    """
    from sojourn import tenants

    with bar("sessions") as progress:
        report = tenants.isolate(state.settings, name, actor=state.acting.actor, progress=progress)
    if state.as_json:
        print_json(report.to_json())
    elif report.already:
        click.echo(f"tenant {name} has the partition {report.partition} of its own already")
    else:
        click.echo(f"tenant {name} has the partition {report.partition} now; moved {report.sessions} sessions")


@tenant.command(examples=["sojourn tenant delete acme --dry-run", "sojourn tenant delete acme --yes"])
@_NAME
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Remove nothing, but tell what would go.")
@pass_state
def delete(state: State, name: str, yes: bool, dry_run: bool) -> None:
    """Delete a tenant: all that there is of it in Redis and in the archive. The audit trail stays.

    Nothing can be created for it from the first moment on. Cut short, the next call goes on, and tells of both.
    """
    from sojourn import tenants

    check_tenant(name)
    if not (yes or dry_run):
        found = tenants.show_tenant(state.settings, name).summary if _is_listed(state, name) else None
        told = "" if found is None else f" with {found.total} sessions in Redis and {found.archived or 0} archived"
        click.confirm(f"Delete tenant {name}{told}? It cannot be brought back", abort=True, err=True)
    with bar("sessions") as progress:
        report = tenants.delete(
            state.settings, name, actor=state.acting.actor, dry_run=dry_run, progress=progress
        ).to_json()
    if state.as_json:
        print_json(report)
        return
    archive = report.pop("archive")
    _print_pairs(report | {f"archived {table}": rows for table, rows in archive.items()})
    if dry_run:
        hint("nothing was removed")


def _is_listed(state: State, name: str) -> bool:
    from sojourn.tenants import list_tenants

    return any(each.tenant == name for each in list_tenants(state.settings))


def _print_pairs(found: dict[str, Any]) -> None:
    rows = [[Cell(key), Cell(_shown(value))] for key, value in found.items()]
    print_table((Column("WHAT"), Column("VALUE", folds=True)), rows, headed=False)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


tenant.add_command(limits)
