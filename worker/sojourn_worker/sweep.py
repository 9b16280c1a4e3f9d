"""The sweeper: claims sessions past their deadline from the index of deadlines, and trims the outbox."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ResponseError

from sojourn.codec import Models
from sojourn.errors import ArchiveError, SojournError, StoreError, StoreUnavailable
from sojourn.events import ARCHIVE_GROUP, dispatch_group
from sojourn.keys import Homes, PartitionKeys
from sojourn.metrics.notes import seen_note
from sojourn.operations.core import Operation, all_of, raise_for
from sojourn.operations.expiry import Swept, claim_due, note_failed_sweep, trim_events
from sojourn.operations.record import now_ms
from sojourn.settings import Settings
from sojourn.transport import policy
from sojourn_worker.logs import LOG, milliseconds_since, tell_left_out
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.stop import Outage, Stop

__all__ = ["Sweeper"]

_TRIM_EVERY_S: Final = 1.0
_TELL_EVERY_S: Final = 60.0
_LOOK_AFTER_S: Final = 0.05
"""A look through all partitions costs as much as a batch of claims, so of many several go before the next."""
_ARCHIVE_S: Final = 2.0
"""For so long claims may wait for an archive that does not answer."""
_SHORTEST_PAUSE: Final = 0.25
"""Of the interval: with thousands of deadlines a second, each look would otherwise find only the next one."""


@dataclass(frozen=True)
class _Due:
    partitions: list[PartitionKeys]
    """Those where something is due."""
    next_s: float
    """Seconds until something falls due in the others; infinite where nothing will."""


class Sweeper:
    """Claims what is due in all partitions, oldest deadline first, in batches of a bounded size.

    Args:
        settings: the settings.
        link: the sessions' Redis.
    """

    def __init__(self, settings: Settings, link: RedisLink) -> None:
        self._settings = settings
        self._link = link
        self._context = settings.context(Models([]))  # claims read no model
        self._archived = settings.archive_url is not None
        self._settle_in(Homes(settings.partitions))
        own = dispatch_group(settings.queue_prefix)
        self._awaited = (own, ARCHIVE_GROUP) if self._archived else (own,)
        self._trim_at = 0.0
        self._tell_at = 0.0
        self._told: dict[str, float] = {}
        self._agreed = False
        self._expired = self._removed = 0
        self._clock_ms = 0

    def _settle_in(self, homes: Homes) -> None:
        self._partitions = homes.partitions
        commands = [
            ("ZRANGE", key, 0, 0, "WITHSCORES") for each in self._partitions for key in (each.deadlines, each.removals)
        ]
        # The same bytes fifty times a second: packed once.
        self._probe = policy.pack([*commands, ("TIME",)])
        self._replies = len(commands) + 1

    def run(self, stop: Stop) -> None:
        """Sweep until asked to stop, whatever happens to Redis."""
        outage = Outage("Redis")
        while not stop.requested:
            try:
                if outage.lasts:
                    self._link.open()
                pause_s = self.step()
                outage.over()
            except StoreUnavailable as error:
                self.reconnect()
                pause_s = outage.failed(error)
            tell_left_out()
            stop.wait(pause_s)
        self._tell(math.inf)

    def reconnect(self) -> None:
        """Redis was away: it may have come back as an older copy, whose deadlines are not the last ones."""
        self._agreed = False

    def _agree(self) -> None:
        """Before anything is claimed, have Redis brought up to the archive if it is behind. Once a connection."""
        if self._agreed:
            return
        self._agreed = True
        if not self._archived:
            return
        from sojourn.archive.agree import bring_up_redis

        soon = min(self._settings.archive_timeout, _ARCHIVE_S)
        try:
            bring_up_redis(self._settings.model_copy(update={"archive_timeout": soon}), self._link.execute)
        except ArchiveError as error:  # the archive run tries again, and tells then that a claim was by mistake
            LOG.warning("claims before Redis was held against the archive", error=error)

    def step(self) -> float:
        """Claim what is due in all partitions, for a moment at most; the seconds until the next look."""
        self._agree()
        now = time.monotonic()
        trims = now >= self._trim_at
        if trims:
            self._trim_at = now + _TRIM_EVERY_S
            self._look_for_partitions()
        due = self._look()
        waiting = due.partitions
        while waiting:  # of many a batch each in turn
            waiting = [each for each in waiting if (swept := self._claim(each)) is not None and swept.more]
            if time.monotonic() >= now + _LOOK_AFTER_S:
                break
        if trims:
            self._link.run(all_of((), notes=[seen_note(self._settings.queue_prefix, self._clock_ms)]))
            self._trim()
            self._tell(now)
        if waiting:
            return 0.0
        interval_s = self._settings.sweep_interval
        return max(_SHORTEST_PAUSE * interval_s, min(interval_s, due.next_s))

    def sweep(self) -> Swept:
        """Claim all that is due now; what was done."""
        self._agree()
        self._look_for_partitions()
        total = Swept(0, 0, 0, more=False)
        waiting = self._look().partitions
        while waiting:
            again = []
            for partition in waiting:
                swept = self._claim(partition)
                if swept is not None:
                    total = Swept(
                        total.expired + swept.expired,
                        total.lost + swept.lost,
                        total.removed + swept.removed,
                        more=False,
                    )
                    if swept.more:
                        again.append(partition)
            waiting = again
        return total

    def _look_for_partitions(self) -> None:
        """Some tenants have partitions of their own, and others may get one at any time."""
        try:
            found = self._link.homes()
        except StoreUnavailable:
            raise
        except StoreError as error:
            self._complain("partitions", error)
            return
        if found.partitions != self._partitions:
            self._settle_in(found)

    def _look(self) -> _Due:
        replies = self._link.exchange(self._probe, self._replies)
        time_reply = replies.pop()
        raise_for(time_reply, "-", "-")
        self._clock_ms = now = now_ms(time_reply)
        partitions: list[PartitionKeys] = []
        next_ms = float("inf")
        for index, partition in enumerate(self._partitions):
            first = min(self._first_ms(replies[2 * index]), self._first_ms(replies[2 * index + 1]))
            if first <= now:
                partitions.append(partition)
            elif first < next_ms:
                next_ms = first
        return _Due(partitions, (next_ms - now) / 1000)

    def _first_ms(self, reply: Any) -> float:
        if isinstance(reply, ResponseError):
            self._complain("probe", reply)
            return float("inf")
        return float(reply[1]) if reply else float("inf")

    def _claim(self, partition: PartitionKeys) -> Swept | None:
        # One script to a write: Redis serves others between them, but not between the scripts of a pipeline.
        began = time.monotonic()
        operation = claim_due(self._context, partition, self._settings.sweep_batch, archived=self._archived)
        try:
            swept = self._link.run(operation)
        except StoreUnavailable:
            raise
        except SojournError as error:
            self._complain(f"partition {partition.number}", error)
            self._link.run(note_failed_sweep(partition))
            return None
        self._expired += swept.expired
        self._removed += swept.removed
        if swept.lost:
            LOG.warning("records are lost or damaged", partition=partition.number, count=swept.lost)
        if swept.expired or swept.removed:
            LOG.debug(
                "sessions claimed", partition=partition.number, by="sweep", expired=swept.expired,
                removed=swept.removed, duration_ms=milliseconds_since(began),
            )  # fmt: skip
        return swept

    def _trim(self) -> None:
        lengths = self._link.run(_lengths(self._partitions))
        alarm = self._settings.events_alarm
        if (largest := max(lengths)) > alarm and self._is_news("outbox"):
            LOG.error("outbox is long", events=largest, alarm=alarm, then="see 'sojourn doctor'")
        # An outbox that everybody has read keeps its last entry, so one with a single entry holds nothing to trim.
        for partition in [each for each, length in zip(self._partitions, lengths, strict=True) if length > 1]:
            try:
                self._link.run(trim_events(partition, self._settings.events_cap, self._awaited))
            except StoreUnavailable:
                raise
            except StoreError as error:
                self._complain(f"events of partition {partition.number}", error)

    def _tell(self, now: float) -> None:
        if now >= self._tell_at and (self._expired or self._removed):
            LOG.info("swept", expired=self._expired, removed=self._removed)
            self._expired = self._removed = 0
            self._tell_at = now + _TELL_EVERY_S

    def _is_news(self, where: str) -> bool:
        """Whether to tell of it, which is so once a minute: it comes back with every look."""
        now = time.monotonic()
        if now < self._told.get(where, 0.0):
            return False
        self._told[where] = now + _TELL_EVERY_S
        return True

    def _complain(self, where: str, error: Exception) -> None:
        if self._is_news(where):
            LOG.error("sweeper in trouble", where=where, error=error)


def _lengths(partitions: tuple[PartitionKeys, ...]) -> Operation[list[int]]:
    def parse(replies: list[Any]) -> list[int]:
        return [reply if isinstance(reply, int) else 0 for reply in replies]

    return Operation(tuple(("XLEN", each.events) for each in partitions), parse)
