"""Ids of sessions as people give them: whole, by their beginning, or from a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.completing import completes_id
from sojourn.cli.state import State
from sojourn.errors import InvalidId, SessionNotFound

if TYPE_CHECKING:
    from sojourn.models import Session

__all__ = ["ID", "IDS", "AmbiguousId", "each_id", "whole", "whole_anywhere", "whole_archived"]

ID: Final = click.argument("session_id", metavar="ID", shell_complete=completes_id)
IDS: Final = click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=completes_id)
_SHOWN: Final = 5
_CHUNK: Final = 1_000
"""Ids of a pipe that are checked before the first of them is dealt with."""


class AmbiguousId(InvalidId):
    """Several sessions' ids begin so. `candidates` tells of the first few, as JSON values."""

    def __init__(self, beginning: str, candidates: Sequence[dict[str, Any]], *, more: bool) -> None:
        self.candidates = candidates
        told = "; ".join(map(_in_words, candidates))
        super().__init__(
            f"{beginning} is the beginning of several ids: {told}{'; and others' if more else ''}: give more of it"
        )


def _in_words(candidate: dict[str, Any]) -> str:
    from sojourn.cli.words import ago

    created = candidate.get("created_at")
    when = f"created {ago(datetime.fromisoformat(created), datetime.now(UTC))}" if created else ""
    owner = f"of {candidate['owner']}" if candidate.get("owner") else ""
    return " ".join(filter(None, (candidate["id"], candidate.get("kind"), owner, when)))


def whole(state: State, text: str) -> str:
    """The id that was given, or the one that begins so.

    Raises:
        InvalidId: it is neither an id nor the beginning of one.
        AmbiguousId: there are several.
        SessionNotFound: there is none.
    """
    from sojourn.keys import is_id
    from sojourn.lookup import find

    if is_id(text):
        return text
    found = find(state.store, text, limit=_SHOWN + 1)
    return _only(state, text, found, lambda ids: state.store.get_many(ids))


def whole_archived(state: State, text: str) -> str:
    """The same among the sessions that the archive holds.

    Raises:
        What `whole` does; ArchiveUnavailable.
    """
    from sojourn.archive import Archive
    from sojourn.keys import is_id
    from sojourn.lookup import find_archived

    if is_id(text):
        return text
    archive = Archive(state.settings, state.models)
    return _only(state, text, find_archived(state.settings, text), lambda ids: map(archive.get, ids))


def whole_anywhere(state: State, text: str) -> str:
    """The same in Redis, or else in the archive where there is one.

    Raises:
        What `whole_archived` does.
    """
    try:
        return whole(state, text)
    except SessionNotFound:
        if state.settings.archive_url is None:
            raise
        return whole_archived(state, text)


def _only(
    state: State, beginning: str, found: Sequence[str], read: Callable[[Sequence[str]], Iterable[Session | None]]
) -> str:
    if not found:
        raise SessionNotFound(f"{beginning}...", state.store.tenant)
    if len(found) > 1:
        shown = found[:_SHOWN]
        told = [_candidate(each, session) for each, session in zip(shown, read(shown), strict=True)]
        raise AmbiguousId(beginning, told, more=len(found) > _SHOWN)
    return found[0]


def _candidate(session_id: str, session: Session | None) -> dict[str, Any]:
    if session is None:  # past its deadline
        return {"id": session_id}
    return {
        "id": session_id, "kind": session.kind, "owner": session.owner, "created_at": session.created_at.isoformat()
    }  # fmt: skip


def each_id(state: State, given: Iterable[str], resolve: Callable[[State, str], str] = whole) -> Iterator[str]:
    """The ids that were given, whole; for ``-`` those on stdin, as they come.

    All that stand on the line are looked at before the first is dealt with, and those of a pipe a thousand at a time:
    so a typing error, or a table where ids were meant, stops a command before it has done anything.

    Raises:
        What `whole` does.
    """
    texts = list(given)
    known = {text: resolve(state, text) for text in texts if text != "-"}
    for text in texts:
        if text == "-":
            yield from _piped(state, resolve)
        else:
            yield known[text]


def _piped(state: State, resolve: Callable[[State, str], str]) -> Iterator[str]:
    words = (word for line in sys.stdin for word in line.split())
    while chunk := list(islice(words, _CHUNK)):
        yield from [resolve(state, each) for each in chunk]
