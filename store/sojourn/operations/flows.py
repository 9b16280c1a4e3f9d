"""Operations that need the reply of one to build the next, as generators that yield what to do.

A driver executes each yielded operation and sends the result in, waits for each yielded `Pause`, and does what an `Ask`
asks.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sojourn.codec import Codec
from sojourn.errors import InvalidInput, VersionConflict
from sojourn.models import Session
from sojourn.operations import read, write
from sojourn.operations.core import Context, Operation

__all__ = ["Ask", "Draft", "Flow", "Pause", "edit_flow", "mutate_flow"]

S = TypeVar("S", bound=Session)

_TRIES = 20
_FIRST_PAUSE_S = 0.002
_LONGEST_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Call this, which may take its time: elsewhere than where nothing must block."""

    function: Callable[[], Any]


Flow = Generator[Operation[Any] | Pause | Ask, Any, S]


def _pause(attempt: int) -> Pause:
    """Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/."""
    return Pause(random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**attempt)))  # noqa: S311


def mutate_flow(
    context: Context, codec: Codec[S], session_id: str, change: Callable[[S], Mapping[str, Any]]
) -> Flow[S]:
    """Read, apply, write against the version read; from the start on a conflict."""
    for attempt in range(_TRIES):
        session: S = yield read.get(context, codec.model, session_id)
        changes = change(session)
        if not isinstance(changes, Mapping):
            raise InvalidInput("the function given to mutate() returns the changed fields as a mapping")
        if not changes:
            return session
        own = context.models.codec(session.kind)
        encoded = own.encode_difference(session, changes, context.limits, context.keyring)
        try:
            new: S = yield write.update(context, own, session_id, session.version, encoded)
            return new  # noqa: TRY300
        except VersionConflict:
            if attempt == _TRIES - 1:
                raise
            yield _pause(attempt)
    raise AssertionError("unreachable")


class Draft:
    """A session being edited: attributes read as the session's, and those assigned are written at the end.

    Example:
        >>> draft = Draft(session)  # doctest: +SKIP
        >>> draft.owner = "ada"  # doctest: +SKIP
    """

    __slots__ = ("_changes", "_lent", "_session")

    _session: Session
    _changes: dict[str, Any]
    _lent: dict[str, Any]
    """Copies of lists, mappings and other mutable values that were read: they may be changed in place."""

    def __init__(self, session: Session) -> None:
        object.__setattr__(self, "_session", session)
        object.__setattr__(self, "_changes", {})
        object.__setattr__(self, "_lent", {})

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for known in (self._changes, self._lent):
            if name in known:
                return known[name]
        value = getattr(self._session, name)
        if name not in type(self._session).model_fields:
            return value
        lent = copy.deepcopy(value)
        if lent is not value:
            self._lent[name] = lent
        return lent

    def __setattr__(self, name: str, value: Any) -> None:
        self._changes[name] = value

    def __repr__(self) -> str:
        return f"Draft({self._session.id}, changed={sorted(self._changed())})"

    def _changed(self) -> dict[str, Any]:
        """The fields that were assigned or changed in place, and their values."""
        in_place = {name: value for name, value in self._lent.items() if value != getattr(self._session, name)}
        return in_place | self._changes


def edit_flow(context: Context, codec: Codec[S], draft: Draft) -> Flow[S]:
    """Write what a draft changed.

    The block that changed it cannot run again: where another writer came first, its changes stand beside ours as long
    as they are to other fields.
    """
    base: Any = draft._session  # noqa: SLF001
    changes = draft._changed()  # noqa: SLF001
    if not changes:
        return base  # type: ignore[no-any-return]
    session = base
    for attempt in range(_TRIES):
        own = context.models.codec(session.kind)
        encoded = own.encode_difference(session, changes, context.limits, context.keyring)
        try:
            new: S = yield write.update(context, own, session.id, session.version, encoded)
            return new  # noqa: TRY300
        except VersionConflict:
            if attempt == _TRIES - 1:
                raise
            yield _pause(attempt)
            session = yield read.get(context, codec.model, base.id)
            if any(getattr(session, name) != getattr(base, name) for name in changes):
                raise
    raise AssertionError("unreachable")
