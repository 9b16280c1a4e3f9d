"""The role `dispatch`: reads the outboxes and enqueues a job for each hook that wants to hear of an event."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from redis.exceptions import RedisError, ResponseError
from rq.exceptions import DuplicateJobError

from sojourn.errors import InvalidField, LayoutMismatch, StoreError, StoreUnavailable
from sojourn.events import (
    Event,
    acknowledge,
    default_consumer,
    dispatch_group,
    join_group,
    read_new,
    read_pending,
    take_over,
    without_entry,
)
from sojourn.keys import Homes, PartitionKeys
from sojourn.limits import check_depth
from sojourn.operations.core import Operation, all_of, pairs
from sojourn.settings import HookSettings, Settings
from sojourn_worker.logs import LOG, about, tell_left_out
from sojourn_worker.queues import HOOKS, RUN_HOOK, SafeQueue, backoff, connect, open_queue, whole_seconds
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.stop import Outage, Stop

__all__ = ["Dispatcher", "dispatch", "enqueue_events"]

_BATCH: Final = 200
_RESULT_S: Final = 60
_FAILURE_S: Final = 7 * 86400
_TIDY_EVERY_S: Final = 60.0
_LOOK_EVERY_S: Final = 0.5
_FORGET_AFTER_MS: Final = 600_000
_DEEPEST: Final = 300
"""Levels of JSON; Python's own bound is the depth of its stack, here and in the worker."""

Taken = list[tuple[PartitionKeys, Event]]


class Dispatcher:
    """One consumer of the group of this deployment's dispatchers.

    An event is acknowledged when its jobs are in the queue. Whatever happens before that, it is read again, by this
    dispatcher or by another; then the same jobs are refused as duplicates, and other batches of the same events
    find them in the ledger.

    Args:
        settings: the settings.
        link: the sessions' Redis.
        queue: where hooks' jobs go.
        consumer: this dispatcher's name in the group.
    """

    def __init__(self, settings: Settings, link: RedisLink, queue: SafeQueue, consumer: str | None = None) -> None:
        self._settings = settings
        self._link = link
        self._queue = queue
        self._consumer = consumer or default_consumer()
        self._group = dispatch_group(settings.queue_prefix)
        self._homes = Homes(settings.partitions)
        self._partitions: tuple[PartitionKeys, ...] = ()
        self._look_at = 0.0
        self._joined = False
        self._own_pending = True
        self._takeover_at = 0.0
        self._tidy_at = time.monotonic() + _TIDY_EVERY_S
        self._held: Taken = []

    def run(self, stop: Stop) -> None:
        """Dispatch until asked to stop, whatever happens to Redis."""
        store, queue = Outage("Redis"), Outage("the queues' Redis")
        while not stop.requested:
            try:
                if store.lasts:
                    self._link.open()
                self.step()
            except StoreError as error:
                # What a lost reply held is pending under our name.
                self._own_pending = True
                if "NOGROUP" in str(error) and self._joined:
                    LOG.warning("group is gone from an outbox", group=self._group, then="made again")
                    self._joined, self._look_at = False, 0.0
                else:
                    stop.wait(store.failed(error))
            except RedisError as error:
                stop.wait(queue.failed(error))
            else:
                store.over()
                queue.over()
            tell_left_out()
        if not (store.lasts or self._held):
            self._leave()

    def step(self) -> int:
        """Take the next events, waiting a moment for them, and enqueue their jobs; how many events.

        Raises:
            StoreError: the sessions' Redis is away, or refuses.
            RedisError: the queues' Redis is; the events are kept for the next step.
        """
        self._join()
        taken = self._held = self._held or self._take()
        if taken:
            self._enqueue([_writable(event) for event in self._at_home(taken)])
            self._link.run(acknowledge(taken, self._group))
            self._held = []
        return len(taken)

    def _join(self) -> None:
        """Be in the group of each outbox. Tenants may get partitions of their own at any time."""
        now = time.monotonic()
        if now >= self._look_at:
            self._homes = self._link.homes()
            partitions = self._sound(self._homes.partitions)
            if partitions != self._partitions:
                self._partitions, self._joined = partitions, False
            self._look_at = now + _LOOK_EVERY_S
        if not self._joined:
            self._link.run(join_group(self._partitions, self._group, "oldest"))
            self._joined = True

    def _sound(self, partitions: tuple[PartitionKeys, ...]) -> tuple[PartitionKeys, ...]:
        """Those whose outbox is one: all are read together, and what one tenant puts there must not stop the others."""
        own = [each for each in partitions if each.is_isolated]
        types = self._link.run(all_of(("TYPE", each.events) for each in own)) if own else []
        odd = {each for each, type_ in zip(own, types, strict=True) if type_ not in ("stream", "none")}
        for each in odd & set(self._partitions):
            LOG.error("key is no outbox", key=each.events, reason="other hands wrote it")
        return tuple(each for each in partitions if each not in odd)

    def _take(self) -> Taken:
        if self._own_pending:
            taken, gone = self._link.run(read_pending(self._partitions, self._group, self._consumer, _BATCH))
            if gone:
                LOG.warning("events are gone before they were dispatched", count=len(gone))
                self._link.run(without_entry(gone, self._group))
            if taken:
                return taken
            self._own_pending = False
        now = time.monotonic()
        if now >= self._tidy_at:
            self._tidy_at = now + _TIDY_EVERY_S
            self._forget_the_dead()
            self._own_pending = True  # what was taken over and is gone from the outbox stays pending in Redis 6.2
        after_s = self._settings.takeover_after
        if now >= self._takeover_at:
            taken = self._link.run(take_over(self._partitions, self._group, self._consumer, after_s, _BATCH))
            if taken:
                LOG.info("took over events of another dispatcher", count=len(taken))
                return taken
            self._takeover_at = now + after_s / 4
        # A read that waits must come back before the socket's timeout takes it for lost.
        block_s = min(self._settings.dispatch_block, 2.0)
        return self._link.run(read_new(self._partitions, self._group, self._consumer, _BATCH, block_s))

    def _at_home(self, taken: Taken) -> list[Event]:
        """Those about a tenant of their partition: a login confined to one can write there what it likes."""
        found = [event for partition, event in taken if self._homes.has(event.tenant, partition.number)]
        if len(found) < len(taken):
            forged = next(event for partition, event in taken if not self._homes.has(event.tenant, partition.number))
            LOG.error("events are of tenants of other partitions", count=len(taken) - len(found), event_id=forged.id)
        return found

    def _enqueue(self, events: Sequence[Event]) -> None:
        for name, hook in self._settings.hooks.items():
            wanted = [event for event in events if event.type in hook.events]
            for start in range(0, len(wanted), hook.batch):
                self._enqueue_batch(name, hook, wanted[start : start + hook.batch])

    def _enqueue_batch(self, name: str, hook: HookSettings, events: Sequence[Event]) -> None:
        job_id = _job_id(self._settings.queue_prefix, name, [event.id for event in events])
        try:
            enqueue_events(self._queue, name, hook, events, job_id)
        except DuplicateJobError:
            LOG.info("job is there already", hook=name, job=job_id)
        else:
            LOG.debug("job enqueued", hook=name, job=job_id, events=len(events))

    def _forget_the_dead(self) -> None:
        """Each start of a dispatcher leaves a consumer in each partition. Those that hold nothing can go."""
        found = self._link.run(_consumers(self._partitions, self._group))
        dead = [
            ("XGROUP", "DELCONSUMER", partition.events, self._group, each["name"])
            for partition, consumers in found
            for each in consumers
            if each["name"] != self._consumer and each["pending"] == 0 and each["idle"] > _FORGET_AFTER_MS
        ]
        if dead:
            self._link.run(Operation(tuple(dead), lambda _: None))

    def _leave(self) -> None:
        commands = tuple(
            ("XGROUP", "DELCONSUMER", each.events, self._group, self._consumer) for each in self._partitions
        )
        try:
            if commands:
                self._link.run(Operation(commands, lambda _: None))
        except StoreUnavailable:
            LOG.info("consumer left behind", consumer=self._consumer, then="another dispatcher removes it")


def _writable(event: Event) -> Event:
    """The event, but without changes that other hands nested so deep that no job could carry them."""
    try:
        check_depth("changes", event.changes, _DEEPEST, sys.maxsize)
        check_depth("before", event.before or {}, _DEEPEST, sys.maxsize)
    except InvalidField as error:
        LOG.error("event comes without its changes", **about(event), error=error)
        return replace(event, changes={}, before={})
    return event


def enqueue_events(queue: SafeQueue, name: str, hook: HookSettings, events: Sequence[Event], job_id: str) -> None:
    """Enqueue the job that runs a hook on a batch of events.

    Raises:
        DuplicateJobError: there is a job of that id.
        RedisError: the queues' Redis is away.
    """
    queue.enqueue_call(
        RUN_HOOK,
        args=(name, [event.to_json() for event in events]),
        timeout=whole_seconds(hook.timeout),
        result_ttl=_RESULT_S,
        failure_ttl=_FAILURE_S,
        description=f"hook {name}: {len(events)} events",
        job_id=job_id,
        retry=backoff(hook.retries),
        unique=True,
    )


def _job_id(prefix: str, hook: str, event_ids: Sequence[str]) -> str:
    digest = hashlib.sha256("\n".join([prefix, hook, *event_ids]).encode()).hexdigest()
    return f"{hook}-{digest[:40]}"


def _consumers(
    partitions: Sequence[PartitionKeys], group: str
) -> Operation[list[tuple[PartitionKeys, list[dict[str, Any]]]]]:
    def parse(replies: list[Any]) -> list[tuple[PartitionKeys, list[dict[str, Any]]]]:
        return [
            (partition, [pairs(each) for each in reply])
            for partition, reply in zip(partitions, replies, strict=True)
            if not isinstance(reply, ResponseError)  # without a group there are no consumers
        ]

    return Operation(tuple(("XINFO", "CONSUMERS", each.events, group) for each in partitions), parse)


def dispatch(settings: Settings, stop: Stop) -> int:
    """Dispatch events to hooks until asked to stop; the exit code."""
    link = RedisLink(settings)
    connection = connect(settings)
    try:
        link.open()
    except LayoutMismatch as error:
        LOG.error("settings do not fit", error=error)
        return 2
    except StoreUnavailable as error:
        LOG.debug("Redis is away at the start", error=error)
    LOG.info("dispatching", hooks=list(settings.hooks))
    Dispatcher(settings, link, open_queue(settings, HOOKS, connection)).run(stop)
    link.close()
    connection.close()
    return 0
