"""How a hook stands with the events of a job: which it is done with, which wait, which are given up.

Tries are counted for each event, not for its job, so that one that fails, hangs or ends the process takes nothing
from its neighbours. The counts are in Redis, beside the ledger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sojourn.errors import SojournError
from sojourn.events import Event
from sojourn.keys import PartitionKeys, check_id, check_tenant, parse_event_id
from sojourn.operations.core import Command, Operation, raise_for
from sojourn.settings import HookSettings, Settings
from sojourn_worker.logs import LOG
from sojourn_worker.redis_link import RedisLink

__all__ = ["Standing", "all_of", "kept_ms", "readable", "scope", "standing", "tell_given_up", "wait_s"]

_DAY_S: Final = 86400
_LONGEST_WAIT_S: Final = 300
_SHOWN: Final = 80


@dataclass(frozen=True)
class Standing:
    """What has become of the events of a job."""

    done: tuple[str, ...]
    waiting: Mapping[str, int]
    """Those to be tried again, with how often that failed so far."""
    given_up: tuple[str, ...]
    tried: int
    """How often all of them failed."""

    @property
    def mark(self) -> int:
        """Grows with each event that gets done and with each that fails."""
        return len(self.done) + self.tried

    @property
    def pause_s(self) -> int:
        """How long to wait before the next try of those that failed least."""
        return wait_s(min(self.waiting.values(), default=0))


def scope(settings: Settings, hook: str) -> str:
    """Names a hook in keys. Deployments on one Redis may use one name for two hooks."""
    return f"{settings.queue_prefix}.{hook}"


def wait_s(tries: int) -> int:
    """The pause before the next try after so many: none, then 1, 2, 4 ... seconds, at most 5 minutes."""
    return min(_LONGEST_WAIT_S, 2 ** (tries - 1)) if tries else 0


def kept_ms(hook: HookSettings) -> int:
    """How long ledger and counts remember an event: a day, or twice what all tries of a whole batch may take."""
    waits = sum(wait_s(tries) for tries in range(hook.retries + 1))
    return 1000 * max(_DAY_S, 2 * int(hook.batch * (hook.retries + 1) * hook.timeout + hook.batch * waits))


def readable(settings: Settings, raws: Sequence[Any]) -> tuple[list[Event], list[str]]:
    """The events in a job, and something to know the others by that are none."""
    found, unreadable = [], []
    for raw in raws:
        try:
            event = Event.from_json(raw)
            partition, _ = parse_event_id(event.id)
            check_tenant(event.tenant)
            check_id(event.session_id)
        except (SojournError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            partition = -1
        if 0 <= partition < settings.partitions:
            found.append(event)
        else:
            known_by = raw.get("id") if isinstance(raw, Mapping) else None
            unreadable.append(repr(known_by)[:_SHOWN])
    return found, unreadable


def standing(
    link: RedisLink, settings: Settings, name: str, events: Sequence[Event], token: str, *, blame: bool = False
) -> Standing:
    """How a hook stands with these events.

    Args:
        link: the sessions' Redis.
        settings: the settings; they name the hook.
        name: the hook.
        events: the events of a job.
        token: names that job.
        blame: whether the job ended in the midst of an event, to which that counts as a failed try.

    Raises:
        StoreError: Redis is away, or refuses.
    """
    hook, key = settings.hooks[name], scope(settings, name)
    places = [(event.id, PartitionKeys(parse_event_id(event.id)[0])) for event in events]
    asked: list[Command] = []
    for event_id, partition in places:
        asked += [
            ("ZSCORE", partition.ledger(key), event_id),
            ("GET", partition.running(key, event_id)),
            ("GET", partition.tries(key, event_id)),
        ]
    replies = link.run(all_of(asked))
    done, waiting, given_up, tried = [], {}, [], 0
    blamed: list[Command] = []
    for index, (event_id, partition) in enumerate(places):
        score, holder, count = replies[3 * index : 3 * index + 3]
        if score is not None:
            done.append(event_id)
            continue
        tries = int(count or 0)
        if blame and holder == token:
            tries += 1
            blamed += [
                ("INCR", partition.tries(key, event_id)),
                ("PEXPIRE", partition.tries(key, event_id), kept_ms(hook)),
                ("DEL", partition.running(key, event_id)),
            ]
            tell_given_up(name, hook, event_id, tries)
        tried += tries
        if tries > hook.retries:
            given_up.append(event_id)
        else:
            waiting[event_id] = tries
    if blamed:
        link.run(all_of(blamed))
    return Standing(tuple(done), waiting, tuple(given_up), tried)


def tell_given_up(name: str, hook: HookSettings, event_id: str, tries: int) -> None:
    """Log an event that has just used up its tries."""
    if tries > hook.retries:
        LOG.error("hook %s: event %s is given up after %d tries", name, event_id, tries)


def all_of(commands: Sequence[Command]) -> Operation[list[Any]]:
    """Commands of which none may fail."""

    def parse(replies: list[Any]) -> list[Any]:
        for reply in replies:
            raise_for(reply, "-", "-")
        return replies

    return Operation(tuple(commands), parse)
