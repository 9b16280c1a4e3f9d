"""Following events: where it is in each outbox, and what it does when Redis goes away."""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from sojourn.codec import datetime_from, ms_from
from sojourn.errors import InvalidInput, SessionCorrupt, StoreError, StoreUnavailable
from sojourn.events import Event
from sojourn.keys import Homes, PartitionKeys, check_id, check_kind, check_tenant
from sojourn.operations.core import Operation
from sojourn.operations.read import open_layout
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport
from sojourn.watching import reading
from sojourn.watching.archived import archived_events
from sojourn.watching.owners import Owners
from sojourn.watching.reading import Places, Position

__all__ = ["Notice", "Wanted", "Watch"]

T = TypeVar("T")
_COUNT: Final = 200
_BLOCK_MS: Final = 1_000
_PATIENCE_S: Final = 5.0
"""For a reply: longer than a read waits."""
_LOOK_S: Final = 1.0
"""So often it is asked which tenants have partitions of their own by now."""
_ABSENT_S: Final = 5.0
"""Who has not read for so long looks whether something was trimmed meanwhile."""
_FIRST_PAUSE_S: Final = 0.05
_LONGEST_PAUSE_S: Final = 1.0
_REMEMBERED: Final = 10_000
"""Events that are known to have been told."""


@dataclass(frozen=True)
class Wanted:
    """Which events are told; what is empty lets all through.

    Example:
        >>> Wanted(types=("created", "ended"), kinds=("chat",)).owner is None
        True
    """

    types: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    session_ids: tuple[str, ...] = ()
    owner: str | None = None
    """Events of sessions that are this owner's, or were before the event, as far as Redis still knows."""

    def __post_init__(self) -> None:
        for each in self.kinds:
            check_kind(each)
        for each in self.session_ids:
            check_id(each)

    def takes(self, event: Event) -> bool:
        """Whether it is told, but for its owner."""
        return (
            (not self.types or event.type in self.types)
            and (not self.kinds or event.kind in self.kinds)
            and (not self.session_ids or event.session_id in self.session_ids)
        )


@dataclass(frozen=True)
class Notice:
    """What happened to the watching itself."""

    what: Literal["away", "back", "missed", "odd"]
    """Redis does not answer; it does again; events are gone unseen; an outbox is none."""
    text: str


@dataclass
class _Reading:
    """How far it has read."""

    here: dict[PartitionKeys, Position] = field(default_factory=dict)
    added: dict[PartitionKeys, int | None] = field(default_factory=dict)
    odd: set[PartitionKeys] = field(default_factory=set)

    def take(self, partition: PartitionKeys, at: Position) -> None:
        self.here[partition] = at
        added = self.added.get(partition)
        self.added[partition] = None if added is None else added + 1


class Watch:
    """Follows events of all tenants or of one, and only looks: nothing is taken from anybody.

    Iterating gives events as they happen, in their order as far as their milliseconds tell, and a `Notice` where Redis
    went away or came back; it ends when it is closed. What happened meanwhile is told then, from the outbox, or from
    the archive where it has left that. Whose a session is is asked for when its first event comes, a moment later.

    Args:
        settings: where Redis is.
        tenant: whose events; None: everybody's, for which the login must not be confined to a tenant.
        since: tell first what happened since then; None: only what happens from now on.
        wanted: which events.
        count: most entries that are read from one outbox at a time.

    Raises:
        InvalidName, InvalidId: in `tenant` or `wanted`.
        StoreUnavailable: from the first step only; later on it waits until Redis is back.
        StoreError: Redis refuses.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> with Watch(load_settings(), tenant="acme") as watch:  # doctest: +SKIP
        ...     for seen in watch:
        ...         print(seen)
    """

    def __init__(
        self, settings: Settings, *, tenant: str | None = None, since: datetime | None = None,
        wanted: Wanted = Wanted(), count: int = _COUNT,
    ) -> None:  # fmt: skip
        if type(count) is not int or count < 1:
            raise InvalidInput("count is a number of entries, 1 or more")
        self._settings = settings
        self._tenant = None if tenant is None else check_tenant(tenant)
        self._since = since
        self._wanted = wanted
        self._count = count
        patient = {"socket_timeout": max(settings.socket_timeout, _PATIENCE_S), "retries": 0}
        self._transport = Transport(settings.model_copy(update=patient))
        self._confined = False
        self._closed = threading.Event()
        self._places = Places(Homes(settings.partitions), ())
        self._reading = _Reading()
        self._began_ms = 0
        self._looked_at = 0.0
        self._read_at = 0.0
        self._taken: list[tuple[PartitionKeys, Event]] = []
        self._queue: list[Event | Notice] = []
        self._told: OrderedDict[str, None] = OrderedDict()
        self._owners = Owners()

    def __iter__(self) -> Iterator[Event | Notice]:
        self._begin()
        yield from self._choose()
        pause_s, away = _FIRST_PAUSE_S, False
        while not self._closed.is_set():
            try:
                if away:
                    self._again()
                    self._queue.insert(0, Notice("back", "Redis answers again"))
                    away, pause_s = False, _FIRST_PAUSE_S
                self._step()
                found = self._choose()
            except StoreUnavailable as error:
                if self._closed.is_set():
                    return
                if not away:
                    away = True
                    yield Notice("away", f"{str(error).splitlines()[0]}; waiting for it")
                self._closed.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
            else:
                yield from found

    def close(self) -> None:
        """Close the connection; whoever iterates in another thread comes to an end within a second or so."""
        self._closed.set()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Steps

    def _begin(self) -> None:
        self._open()
        self._began_ms = self._run(reading.clock())
        self._look()
        if self._since is not None:
            self._catch_up(ms_from(self._since))

    def _again(self) -> None:
        """After an absence: what was trimmed unseen, and outboxes that are behind where one was."""
        self._open()
        oldest_ms = min((at_ms for at_ms, _ in self._reading.here.values()), default=self._began_ms)
        known = self._run(reading.outboxes(tuple(self._reading.here)))
        perhaps, missed = False, 0
        for partition, outbox in known.items():
            here = self._reading.here[partition]
            if outbox.last < here:  # emptied, or an older copy: what it tells now is new
                self._reading.here[partition] = outbox.last
                self._reading.added[partition] = outbox.added
                continue
            gone = outbox.missed(here, self._reading.added.get(partition), self._settings.events_cap)
            perhaps |= gone is None
            missed += gone or 0
            self._reading.added[partition] = outbox.added_before(here)
        self._look()
        if missed or perhaps:
            self._catch_up(oldest_ms, missed)

    def _catch_up(self, since_ms: int, missed: int = 0) -> None:
        """What the archive tells of events that have left the outbox; `missed` if it is known how many have."""
        events, problem = archived_events(self._settings, datetime_from(since_ms), self._tenant)
        self._queue += [each for each in events if self._is_new(each)]
        if problem and (missed or self._is_trimmed(since_ms)):
            many = f"{missed} events have" if missed else "events may have"
            self._queue.append(Notice("missed", f"{many} left the outbox unseen: {problem}"))

    def _is_trimmed(self, since_ms: int) -> bool:
        """Whether something was taken out of an outbox that may have happened since."""
        here = reading.before(since_ms)
        known = self._run(reading.outboxes(tuple(self._reading.here)))
        return any(each.missed(here, None, self._settings.events_cap) != 0 for each in known.values())

    def _step(self) -> None:
        """Wait for events and queue them. What was read stays in hand where Redis goes away before that is done."""
        if time.monotonic() - self._read_at > _ABSENT_S:  # as whoever reads this may have been held up
            self._again()
        if not (self._taken or self._queue):
            self._take()
        strange = any(partition in self._places.ahead for partition, _ in self._taken)
        if strange or time.monotonic() - self._looked_at > _LOOK_S:
            self._look()
        ours = [event for partition, event in self._taken if self._is_ours(partition, event)]
        self._queue += [event for event in sorted(ours, key=_order) if self._is_new(event)]
        self._taken = []

    def _take(self) -> None:
        here = {each: self._reading.here[each] for each in self._places.all if each not in self._reading.odd}
        try:
            taken = self._run(reading.read_after(here, self._count, _BLOCK_MS))
        except StoreUnavailable:
            raise
        except (StoreError, SessionCorrupt) as error:
            self._set_odd_aside(error)
            return
        self._read_at = time.monotonic()
        for partition, at, event in taken:
            self._reading.take(partition, at)
            self._taken.append((partition, event))

    def _set_odd_aside(self, error: StoreError | SessionCorrupt) -> None:
        """All outboxes are read together, and what somebody put in the place of one must not hide the others."""
        known = self._run(reading.outboxes(tuple(self._reading.here)))
        odd = {each for each, outbox in known.items() if not outbox.is_stream} - self._reading.odd
        if not odd:
            raise error
        self._reading.odd |= odd
        self._queue += [Notice("odd", f"the key {each.events} is no outbox: other hands wrote it") for each in odd]

    # Looking

    def _open(self) -> None:
        for step in open_layout(self._settings.partitions):
            if self._run(step):
                break

    def _look(self) -> None:
        """See which partitions there are, and begin with those that were not known before."""
        before = self._places
        self._places = self._find_places()
        self._looked_at = self._read_at = time.monotonic()
        fresh = [each for each in self._places.all if each not in self._reading.here]
        if not fresh:
            return
        known = self._run(reading.outboxes(fresh))
        for partition, outbox in known.items():
            start = reading.before(self._began_ms if self._since is None else ms_from(self._since))
            # At first: what is there was there before. Later on: what is there came meanwhile.
            here = outbox.last if not before.partitions and self._since is None else start
            self._reading.here[partition] = here
            self._reading.added[partition] = outbox.added_before(here)
        if self._reading.odd:
            again = self._run(reading.outboxes(tuple(self._reading.odd)))
            self._reading.odd = {each for each, outbox in again.items() if not outbox.is_stream}

    def _find_places(self) -> Places:
        shared = self._settings.partitions
        if not self._confined:
            try:
                return self._run(reading.places(shared, self._tenant))
            except StoreUnavailable:
                raise
            except StoreError as error:
                if self._tenant is None:
                    raise StoreError(f"{error}; to watch one tenant, name it") from error
                self._confined = True
        return self._run(reading.confined_places(shared, self._tenant or ""))

    # Choosing

    def _is_ours(self, partition: PartitionKeys, event: Event) -> bool:
        """In a partition that is one tenant's alone, that tenant can write what it likes of others."""
        return self._tenant in (None, event.tenant) and self._places.homes.has(event.tenant, partition.number)

    def _is_new(self, event: Event) -> bool:
        if event.id in self._told:
            return False
        self._told[event.id] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)
        return True

    def _choose(self) -> list[Event | Notice]:
        """What is queued and wanted; the queue is empty then."""
        owner = self._wanted.owner
        if owner is not None:
            self._owners.learn([each for each in self._queue if isinstance(each, Event)], self._ask_owners)
        chosen = [
            each
            for each in self._queue
            if isinstance(each, Notice)
            or ((owner is None or owner in self._owners.of(each)) and self._wanted.takes(each))
        ]
        self._queue = []
        return chosen

    def _ask_owners(self, sessions: Sequence[tuple[str, str]]) -> dict[tuple[str, str], str]:
        return self._run(reading.owners(self._places.homes, sessions))

    def _run(self, operation: Operation[T]) -> T:
        return operation.parse(self._transport.execute([operation])[0])


def _order(event: Event) -> tuple[Any, ...]:
    return (event.at, *reading.position(event.id.partition("-")[2]))
