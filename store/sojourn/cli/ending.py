"""``sojourn touch``, ``sojourn end`` and ``sojourn delete``: what is done to several sessions at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sojourn.cli.ids import IDS
from sojourn.cli.many import deal_with_each
from sojourn.cli.output import Cell, hint
from sojourn.cli.parameters import DRY_RUN, REASON, VERSION
from sojourn.cli.shapes import Lines
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.tables import SESSIONS, STATUS_STYLES, session_json, shown
from sojourn.errors import SessionEnded, VersionConflict

if TYPE_CHECKING:
    from sojourn.models import Session

__all__ = ["delete", "end", "touch"]

T = TypeVar("T")
_TOLD: Final = 100
"""Ids that one event tells."""
_METHODS: Final = {"completed": "complete", "failed": "fail", "terminated": "terminate"}


def _do_to_each(
    state: State, action: str, ids: Sequence[str], act: Callable[[str], T], done: str, to_json: Callable[[T], Any],
    line: Callable[[T], Sequence[Cell]], **detail: str,
) -> None:  # fmt: skip
    """Do it to each session, and tell the audit that an operator did."""
    first: list[str] = []
    count = 0

    def act_and_count(session_id: str) -> T:
        nonlocal count
        outcome = act(session_id)
        count += 1
        if count <= _TOLD:
            first.append(session_id)
        return outcome

    with state.telling(action, **detail) as told:
        try:
            code = deal_with_each(state, ids, act_and_count, done=done, to_json=to_json, line=line)
        finally:
            told |= {"sessions": count, "ids": first}
    click.get_current_context().exit(code)


def _line(session: Session) -> list[Cell]:
    return [Cell(session.id), Cell(session.status, STATUS_STYLES[session.status])]


def _only_look(state: State, ids: Sequence[str], check: Callable[[Session], None], would: str) -> None:
    """Tell of each session as it is now what would become of it."""

    def look(session_id: str) -> Session:
        session = state.store.get(session_id)
        check(session)
        return session

    def line(session: Session) -> list[Cell]:
        return [Cell(f"would be {would}:"), *(each for each in SESSIONS.row(session) if each.text != "-")]

    code = deal_with_each(state, ids, look, done=f"would be {would}", to_json=session_json, line=line)
    hint("nothing was changed")
    click.get_current_context().exit(code)


@click.command(
    cls=Command,
    output=Lines("Deadline"),
    examples=["sojourn touch 0b0e7f", "sojourn list --owner ada --status pending --ids | sojourn touch -"],
)
@IDS
@pass_state
def touch(state: State, ids: tuple[str, ...]) -> None:
    """Keep sessions alive: their deadlines move to now + TTL.

    An ID of - reads ids from stdin.
    """

    def act(session_id: str) -> tuple[str, datetime | None]:
        return session_id, state.store.touch(session_id)

    def to_json(touched: tuple[str, datetime | None]) -> dict[str, Any]:
        from pydantic_core import to_jsonable_python

        return {"id": touched[0], "tenant": state.store.tenant, "expires_at": to_jsonable_python(touched[1])}

    def line(touched: tuple[str, datetime | None]) -> list[Cell]:
        return [Cell(touched[0]), Cell("never expires" if touched[1] is None else shown(touched[1]))]

    _do_to_each(state, "session.touch", ids, act, "kept alive", to_json, line)


@click.command(
    cls=Command,
    output=Lines("Session"),
    examples=[
        'sojourn end 0b0e7f --status failed --reason "out of disk"',
        "sojourn list --owner ada --status pending --all --ids | sojourn end -",
        "sojourn list --created-before 7d --all --ids | sojourn end - --dry-run",
    ],
)
@IDS
@click.option("--status", type=click.Choice(tuple(_METHODS)), default="completed", show_default=True, help="How.")
@REASON
@VERSION
@DRY_RUN
@pass_state
def end(
    state: State, ids: tuple[str, ...], status: str, reason: str | None, version: int | None, dry_run: bool
) -> None:
    """End sessions, as completed, failed or terminated.

    Nobody is asked: naming the sessions says it. An ID of - reads ids from stdin. With --dry-run each is told as it is.
    """

    def check(session: Session) -> None:
        if not session.is_live:
            raise SessionEnded(session.id, session.tenant, session.status)
        if version is not None and session.version != version:
            raise VersionConflict(session.id, session.tenant, str(session.version))

    def act(session_id: str) -> Session:
        ended: Session = getattr(state.store, _METHODS[status])(session_id, version=version, reason=reason)
        return ended

    if dry_run:
        _only_look(state, ids, check, status)
    else:
        _do_to_each(state, "session.end", ids, act, "ended", session_json, _line, status=status)


@click.command(
    cls=Command,
    output=Lines("Session"),
    examples=[
        "sojourn delete 0b0e7f --dry-run",
        "sojourn delete 0b0e7f --reason 'asked by its owner'",
        "sojourn list --owner ada --all --ids | sojourn delete -",
    ],
)
@IDS
@REASON
@DRY_RUN
@pass_state
def delete(state: State, ids: tuple[str, ...], reason: str | None, dry_run: bool) -> None:
    """Delete sessions, live or ended.

    Nobody finds them any more; the archive keeps their last state. Nobody is asked: naming the sessions says it.
    An ID of - reads ids from stdin. With --dry-run each is told as it is.
    """
    if dry_run:
        _only_look(state, ids, lambda _: None, "deleted")
        return

    def act(session_id: str) -> Session:
        return state.store.delete(session_id, reason=reason)

    _do_to_each(state, "session.delete", ids, act, "deleted", session_json, _line)
