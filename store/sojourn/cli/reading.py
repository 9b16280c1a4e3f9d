"""``sojourn get`` and ``sojourn list``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from sojourn.cli.fields import log_named, parsed
from sojourn.cli.pages import (
    ENTRY_OPTIONS,
    FILTER_OPTIONS,
    PAGE_OPTIONS,
    WHERE_OPTION,
    options,
    show,
    show_entries,
    show_pages,
)
from sojourn.cli.parameters import Assigned
from sojourn.cli.shared import Command, State, pass_state

__all__ = ["get", "list_"]


@click.command(
    cls=Command,
    examples=[
        "sojourn get 0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b",
        "sojourn get 0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b --entries notes",
    ],
)
@click.argument("session_id", metavar="ID")
@options(*ENTRY_OPTIONS)
@pass_state
def get(state: State, session_id: str, log: str | None, start: int, count: int | None) -> None:
    """Show a session."""
    if log is None and (start or count):
        raise click.UsageError("--start and --count go with --entries", click.get_current_context())
    session = state.store.get(session_id)
    if log is None:
        show(state, session)
    else:
        show_entries(state, state.store, session_id, log_named(session, log), start, count)


@click.command(
    cls=Command,
    name="list",
    examples=[
        "sojourn list --owner ada --status pending --status in_progress",
        "sojourn list --kind documentation --where workspace_id=w1",
        "sojourn list --created-before 24h --all --ids | sojourn end - --status terminated",
    ],
)
@options(*FILTER_OPTIONS, WHERE_OPTION, *PAGE_OPTIONS)
@pass_state
def list_(
    state: State, /, kind: str | None, status: tuple[str, ...], where: tuple[Assigned, ...], limit: int | None,
    cursor: str | None, everything: bool, ids: bool, **filters: Any,
) -> None:  # fmt: skip
    """List sessions, newest first."""
    exact = parsed(state.models.codec(kind or "session"), where)
    fetch = partial(state.store.list, kind=kind, status=status or None, where=exact, **filters)
    show_pages(state, fetch, limit=limit, cursor=cursor, everything=everything, ids=ids)
