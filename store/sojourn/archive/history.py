"""Going back in a session's history: from a state that the archive holds, event by event, to an earlier one.

An event tells what the fields it changed held before. So the state before it is the state after it with those put back.
No state needs to be stored twice, and the last one that was archived, which is always there, is where one begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sojourn.codec import ms_from
from sojourn.errors import VersionNotFound
from sojourn.events import Event
from sojourn.models import ENDED, LIVE

__all__ = ["ROTATED_TO", "State", "difference", "find_state", "live_again"]

_VERSIONED: Final = frozenset({"created", "updated", "ended", "expired", "deleted", "restored", "rotated"})
"""Types of events with which a version came to be."""
_INTERNAL: Final = "_"
"""Hash fields that begin so are Sojourn's own; logs keep what was appended to them."""
_ROTATED_FROM: Final = "rotated_from"
"""What an event tells with which a session began under this id; its life before it is another id's."""
ROTATED_TO: Final = "_rotated_to"
"""The hash field that tells under which id a session goes on; this one is nobody's any more."""
_OF_AN_END: Final = ("ended_at_ms", "end_reason")


@dataclass(frozen=True)
class State:
    """A session's record as it was at a version: the texts of its hash."""

    texts: Mapping[str, str]
    since_ms: int
    """When it came to be."""
    event_id: str | None
    """Of the event with which it did; None where the archive does not hold that."""

    @property
    def version(self) -> int:
        """Which version."""
        return int(self.texts["version"])


def find_state(
    bases: Sequence[Mapping[str, str]],
    events: Sequence[Event],
    session_id: str,
    tenant: str,
    *,
    version: int | None,
    at: datetime | None,
) -> tuple[State, Iterator[State]]:
    """The state at a version, or at a moment, and the ones before it, going back.

    Args:
        bases: the states that the archive holds whole, the newest first, not none.
        events: all of the session's events, in order.
        session_id: whose, for errors.
        tenant: whose.
        version: which version; where it was given out twice, the later one. None and `at` None: the newest state.
        at: the moment.

    Raises:
        VersionNotFound: the archive does not hold the events that lead there.

    """
    if version is None and (at is None or ms_from(at) >= int(bases[0]["updated_at_ms"])):
        lineage = _going_back(bases[0], events)
        return next(lineage), lineage
    wanted = None
    if at is not None:
        # Events on a branch that was given up count as well: then, that was the session's state.
        wanted = next((each.id for each in reversed(events) if each.type in _VERSIONED and each.at <= at), "")
    for base in bases:
        lineage = _going_back(base, events)
        for state in lineage:
            if state.version == version if wanted is None else state.event_id == wanted:
                return state, lineage
    told = f"version {version}" if at is None else f"{at:%Y-%m-%d %H:%M:%S.%f %Z}".strip()
    raise VersionNotFound(session_id, tenant, told)


def _going_back(base: Mapping[str, str], events: Sequence[Event]) -> Iterator[State]:
    texts = dict(base)
    wanted, not_after_ms = int(texts["version"]), int(texts["updated_at_ms"])
    made = None
    for event in reversed(events):
        # A version that was given out twice has two events. Of the base's, the one that is not later than it led here;
        # from there on the order in the outbox tells, since clocks may go back.
        if event.type not in _VERSIONED or event.version != wanted:
            continue
        if made is None and ms_from(event.at) > not_after_ms:
            continue
        if made is not None:
            texts["updated_at_ms"] = str(ms_from(event.at))
        made = event
        yield State(dict(texts), ms_from(event.at), event.id)
        if event.before is None or event.type == "created" or _ROTATED_FROM in event.changes:
            return
        for name, text in event.before.items():
            if text is None:
                texts.pop(name, None)
            elif not name.startswith(_INTERNAL):
                texts[name] = text
        wanted -= 1
        texts["version"] = str(wanted)
    if made is None:
        yield State(dict(texts), not_after_ms, None)


def live_again(state: State, before: Iterator[State]) -> dict[str, str]:
    """The texts of a state as a live session's: one that had ended gets the status that it had until then.

    Raises:
        VersionNotFound: the archive does not know of a time at which it was live.
    """
    texts = {name: text for name, text in state.texts.items() if name not in _OF_AN_END}
    if texts["status"] in ENDED:
        live = next((each for each in before if each.texts["status"] in LIVE), None)
        if live is None:
            raise VersionNotFound(texts.get("id", "?"), texts.get("tenant", "?"), "a version at which it was live")
        texts["status"] = live.texts["status"]
    return texts


def difference(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str | None]:
    """What `old` holds in the fields that differ, None for nothing: an event's `before`."""
    return {
        name: old.get(name)
        for name in {*old, *new}
        if old.get(name) != new.get(name)
        and not name.startswith(_INTERNAL)
        and name not in ("version", "updated_at_ms")
    }
