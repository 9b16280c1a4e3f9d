"""How a hook stands with the events of a job: which it is done with, which wait, which are given up.

Tries are counted for each event, not for its job, so that one that fails, hangs or ends the process takes nothing
from its neighbours. The counts are in Redis, beside the ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sojourn.errors import SojournError
from sojourn.events import Event
from sojourn.keys import PartitionKeys, check_id, check_tenant, is_partition, parse_event_id
from sojourn.operations.core import Command, all_of
from sojourn.settings import Settings
from sojourn_worker.burial import USED_UP, bury_event, kept_ms, scope, wait_s
from sojourn_worker.redis_link import RedisLink

__all__ = ["Standing", "readable", "standing", "states"]


@dataclass(frozen=True)
class Standing:
    """What has become of the events of a job, apart from those that were at their end before."""

    waiting: Mapping[str, int]
    """Those to be tried again, with how often that failed so far."""
    busy: frozenset[str]
    """Those of them that another job has in hand."""
    given_up: tuple[str, ...]
    """Those that were buried just now."""
    mark: int
    """Grows with each event that gets done, fails or is given up."""

    @property
    def ready(self) -> frozenset[str]:
        """Those that wait for no other job."""
        return frozenset(self.waiting) - self.busy

    def pause_s(self, aside: Collection[str] = ()) -> int:
        """How long to wait before the next try of those that failed least, apart from those in `aside`."""
        return wait_s(min((self.waiting[each] for each in self.ready if each not in aside), default=0))


def readable(settings: Settings, raws: Any) -> tuple[list[Event], list[Any]]:
    """The events in a job, and what in there is none: of what is no list, all."""
    found, unreadable = [], []
    for raw in raws if isinstance(raws, (list, tuple)) else [raws]:
        try:
            event = Event.from_json(raw)
            partition, _ = parse_event_id(event.id)
            check_tenant(event.tenant)
            check_id(event.session_id)
        except (SojournError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
            partition = -1
        if is_partition(partition, settings.partitions):
            found.append(event)
        else:
            unreadable.append(raw)
    return found, unreadable


def standing(
    link: RedisLink, settings: Settings, name: str, events: Sequence[Event], token: str, *, blame: str | None = None
) -> Standing:
    """How a hook stands with these events. Buries those that have used up their tries.

    Args:
        link: the sessions' Redis.
        settings: the settings; they name the hook.
        name: the hook.
        events: the events of a job.
        token: names that job.
        blame: why the job ended in the midst of an event, to which that counts as a failed try; None: it did not.

    Raises:
        StoreError: Redis is away, or refuses.
    """
    hook, key = settings.hooks[name], scope(settings, name)
    done, waiting, busy, given_up = [], {}, set(), []
    blamed: list[Command] = []
    for event, (is_done, holder, tries) in zip(events, states(link, key, events), strict=True):
        if is_done:
            done.append(event.id)
            continue
        partition = PartitionKeys(parse_event_id(event.id)[0])
        failed = blame is not None and holder == token
        if holder not in (None, token):
            busy.add(event.id)
        if tries + failed > hook.retries:
            reason = blame if failed and blame is not None else USED_UP
            burial = bury_event(link, settings, name, event, job=token, tries=tries + failed, reason=reason)
            if burial.outcome == "held":
                waiting[event.id] = tries
            else:
                given_up.append(event.id)
            continue
        waiting[event.id] = tries + failed
        if failed:
            blamed += [
                ("INCR", partition.tries(key, event.id)),
                ("PEXPIRE", partition.tries(key, event.id), kept_ms(hook)),
                ("DEL", partition.running(key, event.id)),
            ]
    if blamed:
        link.run(all_of(blamed))
    # What is at its end counts for more than all tries of what is not.
    mark = (len(done) + len(given_up)) * (hook.retries + 2) + sum(waiting.values())
    return Standing(waiting, frozenset(busy & waiting.keys()), tuple(given_up), mark)


def states(link: RedisLink, key: str, events: Sequence[Event]) -> list[tuple[bool, str | None, int]]:
    """For each event whether the hook is done with it, which job has it in hand, and how often it failed."""
    asked: list[Command] = []
    for event in events:
        partition = PartitionKeys(parse_event_id(event.id)[0])
        asked += [
            ("ZSCORE", partition.ledger(key), event.id),
            ("GET", partition.running(key, event.id)),
            ("GET", partition.tries(key, event.id)),
        ]
    replies = link.run(all_of(asked)) if asked else []
    each = iter(replies)
    return [(score is not None, holder, int(tries or 0)) for score, holder, tries in zip(each, each, each, strict=True)]
