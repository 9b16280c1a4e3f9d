"""``sojourn audit``: who did what, when, and from where, and whether somebody tampered with that."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.failures import DAMAGED
from sojourn.cli.output import Cell, Column, complain, hint, print_json, print_line, print_table
from sojourn.cli.pages import options
from sojourn.cli.parameters import moment
from sojourn.cli.progress import bar
from sojourn.cli.shared import Group, State, pass_state
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
    click.option("--session", "session_id", metavar="ID", help="Only what happened to this session."),
    click.option("--trace", "trace_id", metavar="ID", help="Only what came of this trace."),
    click.option("--since", type=moment, metavar="TIME", help="At or after: a time, or 2h for 2h ago."),
    click.option("--until", type=moment, metavar="TIME", help="At or before."),
    click.option("--limit", type=click.IntRange(min=1), help=f"Entries at most.  [default: {_SHOWN}]"),
    click.option("--cursor", metavar="CURSOR", help="Go on where the page before left off."),
    click.option("--all", "everything", is_flag=True, help="All pages."),
)


def _trail(state: State) -> Audit:
    with needs_worker_extra():
        from sojourn.archive import Audit
    return Audit(state.settings)


@click.group(
    cls=Group,
    invoke_without_command=True,
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
    """Show who did what, when, and from where, newest first; verify that nobody tampered with it.

    Without a command it lists, as 'sojourn audit list' does.
    """
    if context.invoked_subcommand is None:
        _list(state, **choice)
    elif any(choice.values()):
        raise click.UsageError(f"filters stand behind the command: audit {context.invoked_subcommand} ...", context)


@audit.command(name="list", examples=["sojourn audit list --session ID", "sojourn audit list --all --json"])
@_FILTERS
@pass_state
def list_(state: State, /, **choice: Any) -> None:
    """Show who did what, newest first. With --json: one object per line."""
    _list(state, **choice)


def _list(
    state: State, *, action: tuple[str, ...], limit: int | None, cursor: str | None, everything: bool, **filters: Any
) -> None:
    if everything and limit:
        raise click.UsageError("--all and --limit exclude each other", click.get_current_context())
    trail = _trail(state)
    told = 0
    while True:
        page = trail.list(action=action or None, limit=limit or _SHOWN, cursor=cursor, **filters)
        told += len(page.entries)
        if state.as_json:
            for each in page.entries:
                print_json(each.to_json(), lines=True)
        elif page.entries:
            print_table(_LIST, [_row(each) for each in page.entries])
        cursor = page.cursor
        if cursor is None or not everything:
            break
    if cursor is not None:
        hint(f"there are more: add --all, or --cursor {cursor}")
    elif not told and not state.as_json:
        hint("nothing in the audit trail")


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
    examples=[
        "sojourn audit verify",
        "sojourn audit verify --all-tenants",
        "sojourn audit verify --expect 1204:5f2c...",
    ]
)
@click.option("--all-tenants", is_flag=True, help="Everybody's.")
@click.option("--expect", metavar="SEQ:HASH", help="What an earlier run printed: whether it is still contained.")
@pass_state
def verify(state: State, all_tenants: bool, expect: str | None) -> None:
    """Check that nothing in the audit trail was changed, removed or put in.

    Prints where each chain ends, as SEQ:HASH. Keep that where nobody who can write the archive can change it: given
    with --expect, it also finds a chain that was written anew as a whole. The exit code is 5 if a chain is damaged.
    """
    context = click.get_current_context()
    if all_tenants and (expect is not None or "tenant" in state.arguments):
        raise click.UsageError("--all-tenants goes neither with --tenant nor with --expect", context)
    trail = _trail(state)
    with bar("verifying", "rows") as progress:
        if all_tenants:
            reports = trail.verify_all(progress=progress)
        else:
            reports = (trail.verify(expect=expect, progress=progress),)
    for each in reports:
        _show(state, each)
    if not all(each.is_sound for each in reports):
        context.exit(DAMAGED)


def _show(state: State, report: ChainReport) -> None:
    if state.as_json:
        print_json(report.to_json(), lines=True)
    else:
        verdict = Cell("sound", "green") if report.problem is None else Cell("DAMAGED", "red")
        print_line([Cell(report.tenant), verdict, Cell(f"{report.rows} rows"), Cell(str(report.head))])
    if report.problem is not None:
        found = report.problem
        complain(f"tenant '{report.tenant}', seq {found.seq}: {found.kind}: {found.message}")
