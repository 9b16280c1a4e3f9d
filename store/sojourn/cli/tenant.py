"""``sojourn tenant``: which tenants there are, giving one a partition of its own, deleting one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.asking import confirm
from sojourn.cli.completing import completes_tenant
from sojourn.cli.limits import limits
from sojourn.cli.output import Cell, Column, hint
from sojourn.cli.parameters import DRY_RUN, YES
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document, Listing
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.telling import View, pairs, tell, tell_list
from sojourn.keys import check_tenant

if TYPE_CHECKING:
    from sojourn.tenants import TenantSummary

__all__ = ["tenant"]

_NAME = click.argument("name", metavar="TENANT", shell_complete=completes_tenant)


@click.group(cls=Group, examples=["sojourn tenant list", "sojourn tenant limits acme --sessions 1000"])
def tenant() -> None:
    """List tenants, limit, isolate and delete them.

    A tenant begins with its first session.
    """


@tenant.command(
    "list", output=Listing("tenants", "Tenant"), examples=["sojourn tenant list", "sojourn tenant list --output csv"]
)
@pass_state
def list_(state: State) -> None:
    """List the tenants, with how many sessions each has.

    Live and ended ones in Redis, and those in the archive.
    """
    from sojourn.tenants import list_tenants

    columns = [Column(each) for each in ("TENANT", "PARTITION", "ISOLATED", "LIVE", "ENDED", "ARCHIVED", "")]
    view = View(lambda each: each.to_json(), columns, _row)
    tell_list(state, "tenants", list_tenants(state.settings), view, nothing="no tenants")


def _row(found: TenantSummary) -> list[Cell]:
    return [
        Cell(found.tenant), Cell(str(found.partition)), Cell("yes" if found.isolated else "no"), Cell(str(found.live)),
        Cell(str(found.ended)), Cell("-" if found.archived is None else str(found.archived)),
        Cell("being deleted" if found.closed else "", "red"),
    ]  # fmt: skip


@tenant.command(
    output=Document("TenantDetails"), examples=["sojourn tenant show acme", "sojourn tenant show acme --json"]
)
@_NAME
@pass_state
def show(state: State, name: str) -> None:
    """Show a tenant, its limits and its sessions by status.

    And what of it waits for the archive, and in the outbox.
    """
    from sojourn.tenants import show_tenant

    details = show_tenant(state.settings, name)

    def people() -> None:
        found = details.to_json()
        counts = found.pop("counts")
        del found["limits"]
        found |= {f"{kind} {status}": number for kind, own in counts.items() for status, number in own.items()}
        found |= {f"limit {limit}": str(value) for limit, value in details.limits if value is not None}
        _pairs(found)

    tell(state, details.to_json(), people)


@tenant.command(output=Document("Isolated"), examples=["sojourn tenant isolate acme"])
@_NAME
@pass_state
def isolate(state: State, name: str) -> None:
    """Give a tenant a partition of its own.

    What it has is moved there; a Redis user can then be confined to it (see 'sojourn acl'). Clients and workers go on
    meanwhile. Cut short, the next call goes on where it was.
    """
    from sojourn import tenants

    with bar("sessions") as progress:
        report = tenants.isolate(state.settings, name, actor=state.acting.actor, progress=progress)
    told = (
        f"tenant {name} has the partition {report.partition} of its own already" if report.already
        else f"tenant {name} has the partition {report.partition} now; moved {report.sessions} sessions"
    )  # fmt: skip
    tell(state, report.to_json(), lambda: click.echo(told))


@tenant.command(
    output=Document("DeletedTenant"),
    examples=["sojourn tenant delete acme --dry-run", "sojourn tenant delete acme --yes"],
)
@_NAME
@DRY_RUN
@YES
@pass_state
def delete(state: State, name: str, dry_run: bool, yes: bool) -> None:
    """Delete a tenant, in Redis and in the archive.

    The audit trail stays. Nothing can be created for it from the first moment on. Cut short, the next call goes on, and
    tells of both.
    """
    from sojourn import tenants

    check_tenant(name)
    if not dry_run:
        found = tenants.show_tenant(state.settings, name).summary if not yes and _is_listed(state, name) else None
        told = "" if found is None else f" with {found.total} sessions in Redis and {found.archived or 0} archived"
        confirm(f"Delete tenant {name}{told}? It cannot be brought back", yes=yes)
    with bar("sessions") as progress:
        report = tenants.delete(
            state.settings, name, actor=state.acting.actor, dry_run=dry_run, progress=progress
        ).to_json()

    def people() -> None:
        rest = dict(report)
        archive = rest.pop("archive")
        _pairs(rest | {f"archived {table}": rows for table, rows in archive.items()})

    tell(state, report, people)
    if report["user"] is None:
        hint(f"note: this login may not see Redis's users: if one is confined to {name}, remove it with ACL DELUSER")
    if dry_run:
        hint("nothing was removed")


def _is_listed(state: State, name: str) -> bool:
    from sojourn.tenants import list_tenants

    return any(each.tenant == name for each in list_tenants(state.settings))


def _pairs(found: dict[str, Any]) -> None:
    pairs({key: ("yes" if value else "no") if isinstance(value, bool) else value for key, value in found.items()})


tenant.add_command(limits)
