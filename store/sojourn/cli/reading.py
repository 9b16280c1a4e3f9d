"""``sojourn get`` and ``sojourn list``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from sojourn.cli.fields import log_named, parsed
from sojourn.cli.ids import IDS, whole
from sojourn.cli.many import deal_with_each
from sojourn.cli.output import Cell
from sojourn.cli.pages import (
    ENTRY_OPTIONS,
    FILTER_OPTIONS,
    PAGE_OPTIONS,
    WHERE_OPTION,
    show,
    show_entries,
    show_pages,
)
from sojourn.cli.parameters import Assigned, options
from sojourn.cli.shapes import Document, Lines, Listing
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.tables import SESSIONS, session_json

__all__ = ["get", "list_"]


@click.command(
    cls=Command,
    output=(
        Document("Session"),
        Lines("Session", when="of several ids, or of - for those on stdin"),
        Lines("Entry", when="with --entries"),
    ),
    examples=[
        "sojourn get 0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b",
        "sojourn get 0b0e7f --json",
        "sojourn get 0b0e7f --entries notes",
        "sojourn list --owner ada --ids | sojourn get - --output csv",
    ],
)
@IDS
@options(*ENTRY_OPTIONS)
@pass_state
def get(state: State, ids: tuple[str, ...], log: str | None, start: int, count: int | None) -> None:
    """Show a session, with all of its fields.

    Several sessions are shown on a line each. An ID of - reads ids from stdin.
    """
    context = click.get_current_context()
    if log is None and (start or count):
        raise click.UsageError("--start and --count go with --entries", context)
    if len(ids) > 1 or ids == ("-",):
        if log is not None:
            raise click.UsageError("--entries goes with one ID", context)
        deal_with_each(state, ids, state.store.get, done="shown", to_json=session_json, line=_line)
        return
    session_id = whole(state, ids[0])
    session = state.store.get(session_id)
    if log is None:
        show(state, session)
    else:
        show_entries(state, state.store, session_id, log_named(session, log), start, count)


def _line(session: Any) -> list[Cell]:
    return [each for each in SESSIONS.row(session) if each.text != "-"]


@click.command(
    cls=Command,
    name="list",
    output=Listing("sessions", "Session"),
    examples=[
        "sojourn list --owner ada --status pending --status in_progress",
        "sojourn list --kind documentation --where workspace_id=w1",
        "sojourn list --created-before 24h --all --ids | sojourn end - --status terminated",
        "sojourn list --all --output csv > sessions.csv",
    ],
)
@options(*FILTER_OPTIONS, WHERE_OPTION, *PAGE_OPTIONS)
@pass_state
def list_(
    state: State, /, kind: str | None, status: tuple[str, ...], where: tuple[Assigned, ...], limit: int | None,
    cursor: str | None, everything: bool, ids: bool, **filters: Any,
) -> None:  # fmt: skip
    """List sessions, newest first.

    Live ones and those that ended a while ago; what Redis has let go of is in 'sojourn archive list'.
    """
    exact = parsed(state.models.codec(kind or "session"), where)
    fetch = partial(state.store.list, kind=kind, status=status or None, where=exact, **filters)
    show_pages(state, fetch, limit=limit, cursor=cursor, everything=everything, ids=ids)
