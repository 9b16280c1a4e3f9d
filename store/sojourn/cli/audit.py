"""``sojourn audit``: who did what, when, and from where, and whether somebody tampered with that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.completing import completes_id
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.failures import DAMAGED, NOT_FOUND
from sojourn.cli.ids import whole_anywhere
from sojourn.cli.output import Cell, Column, complain, hint
from sojourn.cli.parameters import CURSOR, moment, options
from sojourn.cli.progress import bar, counted
from sojourn.cli.shapes import Lines, Listing
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.telling import View, tell_each, tell_list
from sojourn.cli.words import exact

if TYPE_CHECKING:
    from sojourn.archive import Audit, AuditEntry, ChainReport

__all__ = ["audit"]

_SHOWN: Final = 100
_LIST: Final = (
    Column("SEQ"), Column("AT"), Column("ACTOR", flexible=True), Column("ACTION"), Column("SESSION"),
    Column("TRACE", flexible=True), Column("DETAIL", folds=True),
)  # fmt: skip
_FILTERS: Final = options(
    click.option("--action", multiple=True, metavar="ACTION", help="Only these; may be repeated."),
    click.option("--actor", metavar="NAME", help="Only what they did."),
    click.option("--session", "session_id", metavar="ID", help="Only what happened to this session.",
                 shell_complete=completes_id),
    click.option("--trace", "trace_id", metavar="ID", help="Only what came of this trace."),
    click.option("--since", type=moment, metavar="TIME", help="Then or later; 2h: two hours ago."),
    click.option("--until", type=moment, metavar="TIME", help="Then or before."),
    click.option("--limit", type=click.IntRange(min=1), help=f"Entries at most.  [default: {_SHOWN}]"),
    CURSOR,
    click.option("--all", "everything", is_flag=True, help="All pages."),
)  # fmt: skip


def _trail(state: State) -> Audit:
    with needs_worker_extra():
        from sojourn.archive import Audit
    return Audit(state.settings)


@click.group(
    cls=Group,
    invoke_without_command=True,
    output=Listing("entries", "Audit"),
    examples=[
        "sojourn audit --actor cli:ada --since 2h",
        "sojourn audit --action deleted --action session.delete --json",
        "sojourn audit verify",
    ],
)
@_FILTERS
@pass_state
@click.pass_context
def audit(context: click.Context, state: State, /, **choice: Any) -> None:
    """Show who did what and when, newest first.

    Without a command it lists, as 'sojourn audit list' does; 'sojourn audit verify' tells whether anybody tampered with
    it.
    """
    if context.invoked_subcommand is None:
        _list(state, **choice)
    elif any(choice.values()):
        raise click.UsageError(f"filters stand behind the command: audit {context.invoked_subcommand} ...", context)


@audit.command(
    name="list",
    output=Listing("entries", "Audit"),
    examples=["sojourn audit list --session 0b0e7f", "sojourn audit list --all --output csv"],
)
@_FILTERS
@pass_state
def list_(state: State, /, **choice: Any) -> None:
    """Show who did what and when, newest first."""
    _list(state, **choice)


def _list(
    state: State, *, action: tuple[str, ...], limit: int | None, cursor: str | None, everything: bool, **filters: Any
) -> None:
    if everything and limit:
        raise click.UsageError("--all and --limit exclude each other", click.get_current_context())
    trail = _trail(state)
    if filters["session_id"] is not None:
        filters["session_id"] = whole_anywhere(state, filters["session_id"])

    def entries() -> Iterator[AuditEntry]:
        nonlocal cursor
        while True:
            page = trail.list(action=action or None, limit=limit or _SHOWN, cursor=cursor, **filters)
            cursor = page.cursor
            yield from page.entries
            if cursor is None or not everything:
                return

    view = View(_entry_json, _LIST, _row)
    found = counted(entries(), "listing", quiet=not everything)
    tell_list(state, "entries", found, view, cursor=lambda: cursor, nothing="nothing in the audit trail")
    if cursor is not None and not state.as_json:
        hint(f"there are more: add --all, or --cursor {cursor}")


def _entry_json(entry: AuditEntry) -> dict[str, Any]:
    return entry.to_json() | {"at": exact(entry.at)}


def _row(entry: AuditEntry) -> list[Cell]:
    detail = " ".join(f"{name}={_brief(value)}" for name, value in entry.detail.items())
    texts = (str(entry.seq), exact(entry.at), entry.actor or "-", entry.action, entry.session_id or "-",
             entry.trace_id or "-", detail or "-")  # fmt: skip
    return [Cell(each) for each in texts]


def _brief(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@audit.command(
    output=Lines("Chain"),
    examples=[
        "sojourn audit verify",
        "sojourn audit verify --all-tenants",
        "sojourn audit verify --all-tenants --json >> heads.jsonl",
        "sojourn audit verify --expect $(cat head)",
    ],
)
@click.option("--all-tenants", is_flag=True, help="Everybody's.")
@click.option("--expect", metavar="SEQ:HASH", help="What an earlier run printed: whether it is still contained.")
@pass_state
def verify(state: State, all_tenants: bool, expect: str | None) -> None:
    """Check that nobody tampered with the audit trail.

    That nothing in it was changed, removed or put in. Prints where each chain ends, as SEQ:HASH. Keep that where nobody
    who can write the archive can change it: given with --expect, it also finds a chain that was written anew as a
    whole. The exit code is 5 if a chain is damaged, and 1 if the tenant has none.
    """
    from sojourn.archive import ChainReport

    context = click.get_current_context()
    if all_tenants and (expect is not None or "tenant" in state.arguments):
        raise click.UsageError("--all-tenants goes neither with --tenant nor with --expect", context)
    trail = _trail(state)
    with bar("verifying", "rows") as progress:
        if all_tenants:
            reports = trail.verify_all(progress=progress)
        else:
            reports = (trail.verify(expect=expect, progress=progress),)
    tell_each(state, reports, ChainReport.to_json, _verdict)
    for each in reports:
        if each.problem is not None:
            found = each.problem
            complain(
                f"tenant '{each.tenant}', seq {found.seq}: {found.kind}: {found.message}",
                code="audit_damaged", tenant=each.tenant,
            )  # fmt: skip
    if not all(each.is_sound for each in reports):
        context.exit(DAMAGED)
    if not all_tenants and reports[0].head.seq == 0:
        complain(
            f"tenant '{reports[0].tenant}' has no audit trail: nothing was ever archived for it",
            code="audit_empty", tenant=reports[0].tenant,
        )  # fmt: skip
        context.exit(NOT_FOUND)


def _verdict(report: ChainReport) -> list[Cell]:
    verdict = Cell("sound", "green") if report.is_sound else Cell("DAMAGED", "red")
    if report.is_sound and report.head.seq == 0:
        verdict = Cell("empty", "yellow")
    return [Cell(report.tenant), verdict, Cell(f"{report.rows} rows"), Cell(str(report.head))]
