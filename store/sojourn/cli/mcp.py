"""``sojourn mcp``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.ids import ID, whole, whole_anywhere
from sojourn.cli.output import Cell, Column, hint, print_table
from sojourn.cli.pages import show
from sojourn.cli.parameters import DRY_RUN, REASON, options
from sojourn.cli.shapes import Document, Lines
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.tables import print_entries
from sojourn.cli.telling import tell, tell_each
from sojourn.errors import SessionEnded, SessionNotFound

if TYPE_CHECKING:
    from sojourn.mcp import McpCalls
    from sojourn.models import ExecutionMetrics, ToolExecution

__all__ = ["mcp"]

_OWNER: Final = click.option("--owner", metavar="OWNER", help="Only if it is this owner's.")
_COLUMNS: Final = (
    Column("TOOL", flexible=True), Column("TOTAL"), Column("FAILED"), Column("SUCCESS"), Column("AVERAGE"),
    Column("DURATION"),
)  # fmt: skip


@click.group(cls=Group, examples=["sojourn mcp metrics 0b0e7f", "sojourn mcp executions 0b0e7f"])
def mcp() -> None:
    """Look at executions of tools in MCP sessions."""


def _calls(state: State) -> McpCalls:
    from sojourn.models import McpSession

    return state.store_of(McpSession).mcp


@mcp.command(
    output=Document("ExecutionMetrics"),
    examples=["sojourn mcp metrics 0b0e7f", "sojourn mcp metrics 0b0e7f --owner ada --json"],
)
@options(ID, _OWNER)
@pass_state
def metrics(state: State, session_id: str, owner: str | None) -> None:
    """Show how many executions a session has had, per tool.

    And how many of them failed, and how long they took.
    """
    found = _calls(state).metrics(whole(state, session_id), owner=owner)
    others = [("(others)", found.others)] if found.others else []
    rows: list[tuple[str, ExecutionMetrics]] = [*found.tools.items(), *others, ("(all)", found)]
    own = ("tool", "total", "failed", "success_rate", "duration", "average_duration")
    spread = [{"tool": tool} | each.model_dump(mode="json", include=set(own)) for tool, each in rows]
    tell(
        state, found.model_dump(mode="json"), lambda: print_table(_COLUMNS, [_row(tool, each) for tool, each in rows]),
        rows=spread,
    )  # fmt: skip
    if found.log_dropped:
        hint(f"{found.log_dropped} entries of its log had to leave Redis before the archive was known to have them")


def _row(tool: str, own: ExecutionMetrics) -> list[Cell]:
    rate = "-" if own.success_rate is None else f"{own.success_rate:.1%}"
    average = "-" if own.average_duration is None else f"{own.average_duration.total_seconds():.6g}s"
    return [
        Cell(tool), Cell(str(own.total)), Cell(str(own.failed), "red" if own.failed else ""), Cell(rate),
        Cell(average), Cell(f"{own.duration.total_seconds():.6g}s"),
    ]  # fmt: skip


@mcp.command(
    output=Lines("Execution"),
    examples=["sojourn mcp executions 0b0e7f --count 20", "sojourn mcp executions 0b0e7f --output csv"],
)
@options(
    ID, _OWNER,
    click.option("--start", type=click.IntRange(min=0), default=0, help="First execution; 0 is the session's first."),
    click.option("--count", type=click.IntRange(min=1), help="Executions at most."),
)  # fmt: skip
@pass_state
def executions(state: State, session_id: str, owner: str | None, start: int, count: int | None) -> None:
    """Show a session's executions, oldest first.

    Those that Redis has let go come from the archive, where there is one.
    """
    from sojourn.models import McpSession

    session_id = whole_anywhere(state, session_id)
    try:
        page = _calls(state).executions(session_id, start=start, count=count, owner=owner)
        missing: int | None = page.start - start
        found: Sequence[ToolExecution] = page.entries
    except SessionNotFound:
        if state.settings.archive_url is None or owner is not None:
            raise
        missing, found = count, ()  # it may have ended, and be archived
    if missing != 0 and state.settings.archive_url is not None:
        with needs_worker_extra():
            archive = state.store_of(McpSession).archive
        found = [*archive.entries(session_id, McpSession.tool_executions, start=start, count=missing), *found]
        missing = 0
    if state.output != "table":
        tell_each(state, found, lambda each: each.model_dump(mode="json"), lambda _: [])
    elif found:
        print_entries(found, None)
    else:
        hint("no executions")
    if missing:
        hint(f"{missing} earlier ones are no longer in Redis, and no archive is set")


@mcp.command(
    output=Document("Session"),
    examples=[
        "sojourn mcp terminate 0b0e7f --dry-run",
        "sojourn mcp terminate 0b0e7f --owner ada --reason signed-out",
    ],
)
@options(ID, _OWNER, REASON, DRY_RUN)
@pass_state
def terminate(state: State, session_id: str, owner: str | None, reason: str | None, dry_run: bool) -> None:
    """End a session as terminated.

    As 'sojourn end --status terminated' does, but only if it is an MCP session, and the owner's. With --dry-run it is
    shown as it is.
    """
    if dry_run:
        from sojourn.models import McpSession

        store = state.store_of(McpSession)
        session = (store if owner is None else store.owned_by(owner)).get(whole(state, session_id))
        if not session.is_live:
            raise SessionEnded(session.id, session.tenant, session.status)
        show(state, session)
        hint("nothing was changed")
        return
    show(state, _calls(state).terminate(whole(state, session_id), owner=owner, reason=reason))
