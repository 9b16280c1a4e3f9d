"""Remembers what happened to sessions, for tests to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sojourn.client import SessionStore
from sojourn.events import Event
from sojourn.models import Session

__all__ = ["EventRecorder"]

_PAGE = 1_000


class EventRecorder:
    """The events of a store's tenant since this was made, oldest first. It takes them from nobody.

    Args:
        store: whose tenant's events.
        past: begin with those that are there already.

    Example:
        >>> recorder = EventRecorder(store)  # doctest: +SKIP
        >>> store.create(owner="ada")  # doctest: +SKIP
        >>> recorder.types  # doctest: +SKIP
        ['created']
    """

    def __init__(self, store: SessionStore[Any], *, past: bool = True) -> None:
        self._store = store
        self._cursor = None if past else store.peek_events(start="new").cursor
        self._events: list[Event] = []

    @property
    def events(self) -> list[Event]:
        """All of them, up to now."""
        while True:
            page = self._store.peek_events(start="oldest", cursor=self._cursor, limit=_PAGE)
            self._cursor = page.cursor
            self._events += page.events
            if len(page.events) < _PAGE:
                return list(self._events)

    @property
    def types(self) -> list[str]:
        """Their types."""
        return [each.type for each in self.events]

    def of(self, *types: str, session: Session | str | None = None) -> list[Event]:
        """Those of these types (without any: of all), and of one session where it is given.

        Example:
            >>> [each.session_id for each in recorder.of("expired")]  # doctest: +SKIP
        """
        wanted = session.id if isinstance(session, Session) else session
        return [
            each
            for each in self.events
            if (not types or each.type in types) and (wanted is None or each.session_id == wanted)
        ]

    def clear(self) -> None:
        """Forget what happened so far."""
        _ = self.events
        self._events = []

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)
