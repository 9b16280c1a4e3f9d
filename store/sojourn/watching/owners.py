"""Whose the sessions are that events are about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from sojourn.errors import InvalidId, InvalidName
from sojourn.events import Event
from sojourn.keys import parse_member

__all__ = ["Owners"]

_Session = tuple[str, str]
"""Tenant and id."""
_REMEMBERED: Final = 10_000
"""Sessions whose owners are known."""


class Owners:
    """Remembers whose each session is: as Redis told it once, and as events have told since."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Session, str] = OrderedDict()

    def learn(self, events: Sequence[Event], ask: Callable[[Sequence[_Session]], dict[_Session, str]]) -> None:
        """Know of each session whose it was before the first of the events; `ask` tells whose some are now."""
        unknown: dict[_Session, None] = {}
        for each in events:
            session = _session_of(each)
            if session is None or session in self._known or session in unknown:
                continue
            if "owner" in each.changes and each.before is not None:
                self._known[session] = str(each.before.get("owner") or "")
            else:
                unknown[session] = None
        if unknown:
            self._known.update(ask(tuple(unknown)))
            for each in reversed(events):  # what Redis tells is how it is now
                session = _session_of(each)
                if session in unknown and "owner" in each.changes and each.before is not None:
                    self._known[session] = str(each.before.get("owner") or "")
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def of(self, event: Event) -> tuple[str | None, ...]:
        """Whose session it was before the event, and whose it is after it, as far as is known."""
        session = _session_of(event)
        before = None if session is None else self._known.get(session)
        if session is None or "owner" not in event.changes:
            return (before,)
        after = event.changes["owner"]
        self._known[session] = after if isinstance(after, str) else ""
        return before, self._known[session]


def _session_of(event: Event) -> _Session | None:
    """Tenant and id; None where it is about no session, or was written by other hands."""
    try:
        return parse_member(f"{event.tenant}/{event.session_id}")
    except (InvalidName, InvalidId):
        return None
