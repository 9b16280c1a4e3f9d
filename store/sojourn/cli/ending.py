"""``sojourn touch``, ``sojourn end`` and ``sojourn delete``: what is done to several sessions at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from sojourn.cli.failures import exit_code
from sojourn.cli.fields import ids_from
from sojourn.cli.output import Cell, complain, print_json, print_line
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.tables import STATUS_STYLES, shown
from sojourn.errors import SessionError

if TYPE_CHECKING:
    from sojourn.models import Session

__all__ = ["delete", "end", "touch"]

_IDS = click.argument("ids", nargs=-1, required=True, metavar="ID...")
_REASON = click.option("--reason", metavar="TEXT", help="Why; kept with the session.")
_TOLD: Final = 100
"""Ids that one event tells."""
_METHODS: Final = {"completed": "complete", "failed": "fail", "terminated": "terminate"}


def _for_each(ids: tuple[str, ...], act: Callable[[str], None]) -> int:
    """Do it to each session; one that cannot be does not stop the others. The exit code, which tells the worst."""
    worst = 0
    for session_id in ids_from(ids):
        try:
            act(session_id)
        except SessionError as error:
            complain(str(error))
            worst = max(worst, exit_code(error))
    return worst


def _end_each(state: State, action: str, ids: tuple[str, ...], act: Callable[[str], Session], **detail: str) -> None:
    """Do it to each session, and tell the audit that an operator did: each session's event tells it of that one."""
    done: list[str] = []

    def act_and_tell(session_id: str) -> None:
        session = act(session_id)
        done.append(session_id)
        _tell(state, session)

    with state.telling(action, **detail) as told:
        try:
            worst = _for_each(ids, act_and_tell)
        finally:
            told |= {"sessions": len(done), "ids": done[:_TOLD]}
    click.get_current_context().exit(worst)


def _tell(state: State, session: Session) -> None:
    if state.as_json:
        print_json(session.model_dump(mode="json"), lines=True)
    else:
        print_line([Cell(session.id), Cell(session.status, STATUS_STYLES[session.status])])


@click.command(cls=Command, examples=["sojourn touch ID"])
@_IDS
@pass_state
def touch(state: State, ids: tuple[str, ...]) -> None:
    """Move the deadlines of sessions to now + TTL.

    An ID of - reads ids from stdin.
    """
    from pydantic_core import to_jsonable_python

    def act(session_id: str) -> None:
        deadline = state.store.touch(session_id)
        if state.as_json:
            told = to_jsonable_python(deadline)
            print_json({"id": session_id, "tenant": state.store.tenant, "expires_at": told}, lines=True)
        else:
            print_line([Cell(session_id), Cell("never expires" if deadline is None else shown(deadline))])

    click.get_current_context().exit(_for_each(ids, act))


@click.command(
    cls=Command,
    examples=[
        'sojourn end ID --status failed --reason "out of disk"',
        "sojourn list --owner ada --all --ids | sojourn end -",
    ],
)
@_IDS
@click.option("--status", type=click.Choice(tuple(_METHODS)), default="completed", show_default=True, help="How.")
@_REASON
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="Only if it still has this version.")
@pass_state
def end(state: State, ids: tuple[str, ...], status: str, reason: str | None, version: int | None) -> None:
    """End sessions. An ID of - reads ids from stdin."""

    def act(session_id: str) -> Session:
        ended: Session = getattr(state.store, _METHODS[status])(session_id, version=version, reason=reason)
        return ended

    _end_each(state, "session.end", ids, act, status=status)


@click.command(cls=Command, examples=["sojourn delete ID"])
@_IDS
@_REASON
@pass_state
def delete(state: State, ids: tuple[str, ...], reason: str | None) -> None:
    """Delete sessions, live or ended.

    Nobody finds them any more; the archive keeps their last state.
    An ID of - reads ids from stdin.
    """
    _end_each(state, "session.delete", ids, lambda session_id: state.store.delete(session_id, reason=reason))
