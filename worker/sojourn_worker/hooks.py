"""Running a hook over a batch of events: each event once, and none held up by another.

What keeps it so is in Redis, beside the events: the ledger says which events a hook is done with, and while a hook
has an event in hand, a key says which job that is. An event on which the hook failed is counted as tried, and waits
for the others; a job that dies leaves the key behind, by which its worker finds out whom to blame. What has used up
its tries is buried among the dead letters.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rq.timeouts import BaseTimeoutException

from sojourn.errors import SojournError
from sojourn.events import Event
from sojourn.keys import Homes, PartitionKeys, parse_event_id
from sojourn.logs import place_of
from sojourn.metrics.notes import hook_notes
from sojourn.models import Session
from sojourn.operations.core import Command, Operation, all_of, raise_for
from sojourn.operations.record import now_ms
from sojourn.settings import HookSettings, Settings, resolve_hook
from sojourn_worker.burial import USED_UP, bury_event, kept_ms, scope, wait_s
from sojourn_worker.last_states import ArchiveAway, LastStates
from sojourn_worker.logs import LOG, about, acting_on, milliseconds_since
from sojourn_worker.memory import MemoryBound
from sojourn_worker.redis_link import RedisLink

__all__ = ["HookFailed", "HookHeldUp", "HookRun", "Outcome"]

Hook = Callable[[Event, Session | None], object]
_MARGIN_S: Final = 600
_SPARE: Final = 0.2
"""Of a job's time: with less than that left it takes no further event."""


class HookFailed(SojournError):
    """A hook failed on some events of a batch; `event_ids` tells on which, `aside` which wait for the archive."""

    def __init__(self, hook: str, event_ids: Sequence[str], aside: Sequence[str] = ()) -> None:
        self.hook = hook
        self.event_ids = tuple(event_ids)
        self.aside = tuple(aside)
        super().__init__(f"hook '{hook}' failed on {len(event_ids)} events: {', '.join(event_ids)}")

    def __reduce__(self) -> tuple[object, ...]:
        return HookFailed, (self.hook, self.event_ids, self.aside)


class HookHeldUp(SojournError):
    """All that a job has left is in the hands of other jobs, and it has waited for them for long enough."""


class _NoFunction(SojournError):
    """Calling the hook has run nothing."""


@dataclass
class Outcome:
    """What became of a batch."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    """Events that another job has in hand."""
    later: list[str] = field(default_factory=list)
    """Events for which this job's time does not suffice, or that failed before and wait for the others."""
    later_in_s: int = 0
    """When to go on with those."""
    aside: list[str] = field(default_factory=list)
    """Events whose sessions are in the archive, which is away."""
    given_up: list[str] = field(default_factory=list)
    """Events that had used up their tries before."""

    @property
    def waiting(self) -> int:
        """How many events wait for another run, or for another job."""
        return len(self.busy) + len(self.later) + len(self.aside)


@dataclass(frozen=True)
class _Planned:
    event: Event
    partition: PartitionKeys
    record: Any
    tries: int
    suspect: bool
    busy: bool


class HookRun:
    """One hook and one batch.

    Args:
        settings: the settings.
        link: the sessions' Redis.
        name: the hook's name in the settings.
        hook: the hook.
        token: names the job; the same one when it is tried again.
        time_s: how long the job may still take.
    """

    def __init__(
        self, settings: Settings, link: RedisLink, name: str, hook: HookSettings, token: str, time_s: float = math.inf
    ) -> None:
        self._settings = settings
        self._link = link
        self._name = name
        self._hook = hook
        self._scope = scope(settings, name)
        self._ends_at = time.monotonic() + time_s
        self._spare_s = _SPARE * time_s if time_s < math.inf else 0.0
        self._token = token
        self._function: Hook = resolve_hook(hook.function)
        self._bound = MemoryBound(hook.memory_mb)
        self._last = LastStates(settings, name)
        self._hold_ms = int((hook.timeout + _MARGIN_S) * 1000)
        self._keep_ms = kept_ms(hook)
        self._clock = (0, 0.0)
        self._homes = Homes(settings.partitions)
        self._counted: list[Command] = []
        """What counts the run before, sent with what finishes it."""

    def run(self, events: Sequence[Event]) -> Outcome:
        """Run the hook on each event that it is not done with.

        Raises:
            StoreError: Redis is away, or refuses; what was done so far is in the ledger.
            BaseTimeoutException: the job's time is over. The event in hand comes last the next time.
        """
        outcome = Outcome()
        finish: list[Command] = []
        longest_s = 0.0
        plan = self._choose(self._plan(events), outcome)
        crowded = False
        for index, planned in enumerate(plan):
            event = planned.event
            if crowded or self._bound.is_short or (longest_s and self._is_short(longest_s)):
                outcome.later += [each.event.id for each in plan[index:]]
                outcome.later_in_s = 0
                break
            taken_at = time.monotonic()
            if not self._take_in_hand(planned, finish, outcome):
                finish = []
                continue
            finish = []
            called_at = taken_at
            try:
                with acting_on(event):
                    session = self._last.of(event, self._homes.of(event.tenant), planned.record)
                    called_at = time.monotonic()
                    self._call(event, session)
            except ArchiveAway as away:
                finish = [("DEL", planned.partition.running(self._scope, event.id))]
                if away.out_of_time:
                    outcome.aside += [each.event.id for each in plan[index:]]
                    break
                outcome.aside.append(event.id)
            except BaseTimeoutException as error:
                LOG.error(
                    "hook took too long", hook=self._name, **about(event), duration_ms=milliseconds_since(taken_at)
                )
                raise error from None  # what it interrupted may tell what the hook was working on
            except KeyboardInterrupt as error:
                raise error from None
            except BaseException as error:  # noqa: BLE001 - a hook may raise anything; the others go on
                outcome.failed.append(event.id)
                reason = str(error) if isinstance(error, _NoFunction) else place_of(error)
                LOG.warning(
                    "hook failed on an event", hook=self._name, **about(event), reason=reason, tries=planned.tries + 1,
                    duration_ms=milliseconds_since(taken_at),
                )  # fmt: skip
                self._count("failed", called_at)
                finish = self._failed(planned, reason)
                # What the hook still holds would be the others' ruin: they get a new process.
                crowded = isinstance(error, MemoryError)
            else:
                outcome.done.append(event.id)
                self._count("ok", called_at)
                finish = self._done(planned)
                LOG.debug(
                    "hook ran on an event", hook=self._name, **about(event), type=event.type,
                    duration_ms=milliseconds_since(taken_at),
                )  # fmt: skip
            longest_s = max(longest_s, time.monotonic() - taken_at)
        # A ledger goes by itself once its hook is no longer called.
        ledgers = {PartitionKeys(parse_event_id(event.id)[0]).ledger(self._scope) for event in events}
        finish += [("PEXPIRE", each, 2 * self._keep_ms) for each in ledgers]
        self._send(finish)
        return outcome

    def _send(self, commands: Sequence[Command]) -> list[Any]:
        """Their replies; the run before is counted along."""
        counted, self._counted = self._counted, []
        return self._link.run(all_of(commands, counted))

    def _count(self, result: str, since_s: float) -> None:
        took_s = time.monotonic() - since_s
        self._counted = hook_notes(self._settings.queue_prefix, self._name, result, took_s)

    def _choose(self, plan: Sequence[_Planned], outcome: Outcome) -> list[_Planned]:
        """Those that failed least. What kills a job comes after all that does not, and each waits its time."""
        used_up = [each for each in plan if each.tries > self._hook.retries]
        for each in used_up:
            held = self._bury(each, each.tries, USED_UP) == "held"
            (outcome.busy if held else outcome.given_up).append(each.event.id)
        left = [each for each in plan if each.tries <= self._hook.retries]
        outcome.busy += [each.event.id for each in left if each.busy]
        now: list[_Planned] = []
        later: list[_Planned] = []
        # Those for which the archive is asked come last, and keep no others waiting while it is away.
        for asks in (False, True):
            group = [each for each in left if not each.busy and self._asks_archive(each) == asks]
            fewest = min((each.tries for each in group), default=0)
            now += [each for each in group if each.tries == fewest]
            later += [each for each in group if each.tries > fewest]
        if later:
            outcome.later = [each.event.id for each in later]
            outcome.later_in_s = wait_s(min(each.tries for each in later))
        return now

    def _asks_archive(self, planned: _Planned) -> bool:
        return not planned.record and self._settings.archive_url is not None

    def _is_short(self, longest_s: float) -> bool:
        """Whether the job's time may not suffice for one more event."""
        return self._ends_at - time.monotonic() < max(self._spare_s, longest_s)

    def _call(self, event: Event, session: Session | None) -> None:
        with self._bound.in_force():
            result = self._function(event, session)
            if inspect.isawaitable(result):
                asyncio.run(_awaited(result))
            elif inspect.isgenerator(result) or inspect.isasyncgen(result):
                raise _NoFunction("the hook returned a generator, so nothing of it has run")

    def _plan(self, events: Sequence[Event]) -> list[_Planned]:
        """What is not done, with the sessions' records; what this job had in hand when it ended comes last."""
        self._homes = self._link.homes()
        partitions = [PartitionKeys(parse_event_id(event.id)[0]) for event in events]
        commands: list[Command] = []
        for event, partition in zip(events, partitions, strict=True):
            keys = self._homes.of(event.tenant)
            commands += [
                ("ZSCORE", partition.ledger(self._scope), event.id),
                ("GET", partition.running(self._scope, event.id)),
                ("GET", partition.tries(self._scope, event.id)),
                ("HGETALL", keys.session(event.session_id)),
            ]
        *replies, now = self._link.run(Operation((*commands, ("TIME",)), list))
        raise_for(now, "-", "-")
        self._clock = (now_ms(now), time.monotonic())
        old = f"({now_ms(now) - self._keep_ms}"
        self._link.run(
            all_of([("ZREMRANGEBYSCORE", each.ledger(self._scope), "-inf", old) for each in set(partitions)])
        )
        plan = []
        for index, (event, partition) in enumerate(zip(events, partitions, strict=True)):
            score, running, tries, record = replies[4 * index : 4 * index + 4]
            raise_for(score, event.session_id, event.tenant)
            if score is None:
                suspect, busy = running == self._token, running not in (None, self._token)
                plan.append(_Planned(event, partition, record, int(tries or 0), suspect, busy))
        return sorted(plan, key=lambda each: each.suspect)

    def _take_in_hand(self, planned: _Planned, finish: list[Command], outcome: Outcome) -> bool:
        """Finish the event before, and take this one unless it is done or in another job's hand. One round trip."""
        event, key = planned.event, planned.partition.running(self._scope, planned.event.id)
        take: list[Command] = [
            ("SET", key, self._token, "NX", "PX", self._hold_ms),
            ("GET", key),
            ("ZSCORE", planned.partition.ledger(self._scope), event.id),
        ]
        *_, holder, score = self._send([*finish, *take])
        if score is not None:
            if holder == self._token:
                self._link.run(all_of([("DEL", key)]))
            return False
        if holder != self._token:
            outcome.busy.append(event.id)
            return False
        return True

    def _done(self, planned: _Planned) -> list[Command]:
        redis_ms, at_s = self._clock
        score = redis_ms + int((time.monotonic() - at_s) * 1000)
        event_id, partition = planned.event.id, planned.partition
        return [
            ("ZADD", partition.ledger(self._scope), score, event_id),
            ("DEL", partition.running(self._scope, event_id), partition.tries(self._scope, event_id)),
        ]

    def _failed(self, planned: _Planned, reason: str) -> list[Command]:
        """Bury the event if that was its last try; else what counts the try."""
        event_id, partition = planned.event.id, planned.partition
        if planned.tries + 1 > self._hook.retries:
            self._bury(planned, planned.tries + 1, reason)
            return []
        return [
            ("INCR", partition.tries(self._scope, event_id)),
            ("PEXPIRE", partition.tries(self._scope, event_id), self._keep_ms),
            ("DEL", partition.running(self._scope, event_id)),
        ]

    def _bury(self, planned: _Planned, tries: int, reason: str) -> str:
        event, token = planned.event, self._token
        burial = bury_event(self._link, self._settings, self._name, event, job=token, tries=tries, reason=reason)
        return burial.outcome


async def _awaited(result: Awaitable[object]) -> None:
    await result
