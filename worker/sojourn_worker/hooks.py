"""Running a hook over a batch of events: each event once, and none held up by another.

What keeps it so is in Redis, beside the events: the ledger says which events a hook is done with, and while a hook
has an event in hand, a key says which job that is. A key that the job itself left behind tells, when the job is tried
again, which event it died of; that one then comes last.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rq.timeouts import BaseTimeoutException

from sojourn.errors import SessionCorrupt, SessionNotFound, SojournError
from sojourn.events import Event
from sojourn.keys import PartitionKeys, TenantKeys, parse_event_id
from sojourn.models import Session
from sojourn.operations.core import Command, Operation, raise_for
from sojourn.operations.record import decode_record, now_ms
from sojourn.settings import HookSettings, Settings, resolve
from sojourn_worker.logs import LOG
from sojourn_worker.queues import backoff
from sojourn_worker.redis_link import RedisLink

__all__ = ["HookFailed", "HookRun", "Outcome", "undone"]

Hook = Callable[[Event, Session | None], object]
_DAY_S: Final = 86400
_MARGIN_S: Final = 600


class HookFailed(SojournError):
    """A hook failed on some events of a batch; `event_ids` tells on which."""

    def __init__(self, hook: str, event_ids: Sequence[str]) -> None:
        self.hook = hook
        self.event_ids = tuple(event_ids)
        super().__init__(f"hook '{hook}' failed on {len(event_ids)} events: {', '.join(event_ids)}")

    def __reduce__(self) -> tuple[object, ...]:
        return HookFailed, (self.hook, self.event_ids)


@dataclass
class Outcome:
    """What became of a batch."""

    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    busy: list[str] = field(default_factory=list)
    """Events that another job has in hand."""


@dataclass(frozen=True)
class _Planned:
    event: Event
    partition: PartitionKeys
    record: Any
    suspect: bool


class HookRun:
    """One hook and one batch.

    Args:
        settings: the settings.
        link: the sessions' Redis.
        name: the hook's name in the settings.
        hook: the hook.
        token: names the job; the same one when it is tried again.
    """

    def __init__(self, settings: Settings, link: RedisLink, name: str, hook: HookSettings, token: str) -> None:
        self._settings = settings
        self._link = link
        self._name = name
        self._token = token
        self._function: Hook = resolve(hook.function)
        self._context = settings.context(settings.load_models())
        self._hold_ms = int((hook.timeout + _MARGIN_S) * 1000)
        self._keep_ms = 1000 * _kept_s(hook)
        self._clock = (0, 0.0)

    def run(self, events: Sequence[Event]) -> Outcome:
        """Run the hook on each event that it is not done with.

        Raises:
            StoreError: Redis is away, or refuses; what was done so far is in the ledger.
            BaseTimeoutException: the job's time is over. The event in hand comes last the next time.
        """
        outcome = Outcome()
        finish: list[Command] = []
        for planned in self._plan(events):
            event = planned.event
            if not self._take_in_hand(planned, finish, outcome):
                finish = []
                continue
            finish = []
            try:
                self._function(event, self._session(planned))
            except BaseTimeoutException:
                LOG.error("hook %s: event %s took too long", self._name, event.id)
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a hook may raise anything; the others go on
                outcome.failed.append(event.id)
                finish = [("DEL", planned.partition.running(self._name, event.id))]
                LOG.warning("hook %s: event %s failed: %s", self._name, event.id, _where(error))
            else:
                outcome.done.append(event.id)
                finish = self._done(planned)
        # A ledger goes by itself once its hook is no longer called.
        ledgers = {PartitionKeys(parse_event_id(event.id)[0]).ledger(self._name) for event in events}
        finish += [("PEXPIRE", each, 2 * self._keep_ms) for each in ledgers]
        self._link.run(_all(finish))
        return outcome

    def _plan(self, events: Sequence[Event]) -> list[_Planned]:
        """What is still to do, with the sessions' records; what killed this job before comes last."""
        partitions = [PartitionKeys(parse_event_id(event.id)[0]) for event in events]
        commands: list[Command] = []
        for event, partition in zip(events, partitions, strict=True):
            keys = TenantKeys.of(event.tenant, self._settings.partitions)
            commands += [
                ("ZSCORE", partition.ledger(self._name), event.id),
                ("GET", partition.running(self._name, event.id)),
                ("HGETALL", keys.session(event.session_id)),
            ]
        *replies, now = self._link.run(Operation((*commands, ("TIME",)), list))
        raise_for(now, "-", "-")
        self._clock = (now_ms(now), time.monotonic())
        old = f"({now_ms(now) - self._keep_ms}"
        self._link.run(_all([("ZREMRANGEBYSCORE", each.ledger(self._name), "-inf", old) for each in set(partitions)]))
        plan = []
        for index, (event, partition) in enumerate(zip(events, partitions, strict=True)):
            score, running, record = replies[3 * index : 3 * index + 3]
            raise_for(score, event.session_id, event.tenant)
            if score is None:
                plan.append(_Planned(event, partition, record, suspect=running == self._token))
        return sorted(plan, key=lambda each: each.suspect)

    def _take_in_hand(self, planned: _Planned, finish: list[Command], outcome: Outcome) -> bool:
        """Finish the event before, and take this one unless it is done or in another job's hand. One round trip."""
        event, key = planned.event, planned.partition.running(self._name, planned.event.id)
        take: list[Command] = [
            ("SET", key, self._token, "NX", "PX", self._hold_ms),
            ("GET", key),
            ("ZSCORE", planned.partition.ledger(self._name), event.id),
        ]
        *_, holder, score = self._link.run(_all([*finish, *take]))
        if score is not None:
            if holder == self._token:
                self._link.run(_all([("DEL", key)]))
            return False
        if holder != self._token:
            outcome.busy.append(event.id)
            return False
        return True

    def _done(self, planned: _Planned) -> list[Command]:
        redis_ms, at_s = self._clock
        score = redis_ms + int((time.monotonic() - at_s) * 1000)
        return [
            ("ZADD", planned.partition.ledger(self._name), score, planned.event.id),
            ("DEL", planned.partition.running(self._name, planned.event.id)),
        ]

    def _session(self, planned: _Planned) -> Session | None:
        """The last state there is: what Redis holds, past its deadline or not, else what the archive holds."""
        event = planned.event
        keys = TenantKeys.of(event.tenant, self._settings.partitions)
        try:
            return decode_record(self._context.of(keys), Session, planned.record, event.session_id)
        except SessionNotFound:
            return self._archived(event)
        except SessionCorrupt as error:
            LOG.warning("hook %s: event %s comes without its session: %s", self._name, event.id, error)
            return None

    def _archived(self, event: Event) -> Session | None:
        if self._settings.archive_url is None:
            return None
        from sojourn.archive import Archive

        try:
            return Archive(self._settings).for_tenant(event.tenant).get(event.session_id)
        except SessionNotFound:
            return None


def undone(link: RedisLink, hook: str, event_ids: Sequence[str], token: str) -> list[str]:
    """Those events that a hook is not done with. Lets go of the ones that the job had in hand."""
    partitions = [PartitionKeys(parse_event_id(each)[0]) for each in event_ids]
    keys = list(zip(event_ids, partitions, strict=True))
    asked: list[Command] = [("ZSCORE", partition.ledger(hook), each) for each, partition in keys]
    asked += [("GET", partition.running(hook, each)) for each, partition in keys]
    replies = link.run(_all(asked))
    scores, holders = replies[: len(keys)], replies[len(keys) :]
    held = [key for key, holder in zip(keys, holders, strict=True) if holder == token]
    if held:
        link.run(_all([("DEL", partition.running(hook, each)) for each, partition in held]))
    return [each for (each, _), score in zip(keys, scores, strict=True) if score is None]


def _all(commands: Sequence[Command]) -> Operation[list[Any]]:
    def parse(replies: list[Any]) -> list[Any]:
        for reply in replies:
            raise_for(reply, "-", "-")
        return replies

    return Operation(tuple(commands), parse)


def _kept_s(hook: HookSettings) -> int:
    """How long the ledger remembers an event: a day, or twice what all retries of its job may take."""
    retry = backoff(hook.retries)
    waits = sum(retry.intervals) if retry is not None else 0
    return max(_DAY_S, 2 * int(waits + (hook.retries + 1) * hook.timeout))


def _where(error: BaseException) -> str:
    """An error's type and place; not its message, which may hold what the hook was working on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"
    return f"{type(error).__name__}{place}"
