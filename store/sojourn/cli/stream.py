"""Reading a tenant's events: looking at them where they are, or taking them as a consumer of a group."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from sojourn.events import Event, Start, acknowledge, default_consumer, join_group, read_new, take_over, tenant_group
from sojourn.operations.core import Operation, pairs, raise_for
from sojourn.operations.read import open_layout
from sojourn.transport.blocking import Transport

if TYPE_CHECKING:
    from sojourn.settings import Settings

__all__ = ["EventReader"]

T = TypeVar("T")
_PAGE = 500
_BATCH = 100
_SHORTEST_S = 0.001


class EventReader:
    """Reads the events of the settings' tenant, whose stream other tenants share.

    Args:
        settings: which Redis, which tenant.

    """

    def __init__(self, settings: Settings) -> None:
        self._transport = Transport(settings)
        self._context = settings.context(settings.load_models())
        self._partition = self._context.keys.partition
        self._takeover_s = settings.takeover_after
        # A blocking read must come back before the socket's own timeout takes it for a failure.
        self._block_s = min(settings.dispatch_block, settings.socket_timeout / 2)
        self._after = "0-0"
        for step in open_layout(settings.partitions):
            if self._run(step):
                break

    def latest(self, limit: int) -> list[Event]:
        """The last `limit` events, oldest first. `follow` goes on after them."""
        found: list[Event] = []
        until = "+"
        while len(found) < limit:
            page = self._run(self._stretch("XREVRANGE", until, "-"))
            if page and until == "+":
                self._after = page[0][0]
            found += [event for _, event in page if self._is_ours(event)]
            if len(page) < _PAGE:
                break
            until = f"({page[-1][0]}"
        return found[:limit][::-1]

    def oldest(self) -> Iterator[Event]:
        """All events that are still there, oldest first. `follow` goes on after them."""
        while page := self._run(self._stretch("XRANGE", f"({self._after}", "+")):
            for stream_id, event in page:
                self._after = stream_id
                if self._is_ours(event):
                    yield event

    def skip(self) -> None:
        """Let `follow` begin with what happens from now on."""
        newest = self._run(self._stretch("XREVRANGE", "+", "-", count=1))
        self._after = newest[0][0] if newest else "0-0"

    def follow(self) -> Iterator[Event]:
        """Events as they come; never ends."""
        while True:
            command = ("XREAD", "COUNT", _PAGE, "BLOCK", int(self._block_s * 1000) or 1, "STREAMS",
                       self._partition.events, self._after)  # fmt: skip
            for stream_id, event in self._run(Operation((command,), self._read_streams)):
                self._after = stream_id
                if self._is_ours(event):
                    yield event

    def take(self, group: str, *, start: Start, follow: bool, limit: int | None) -> Iterator[Event]:
        """Events as a consumer of a group; each is acknowledged when the next is asked for.

        No more are taken from the group than are given out: the others need not wait for this consumer to be given up.

        Raises:
            InvalidName: not a group's name.

        """
        name, consumer, left = tenant_group(self._context, group), default_consumer(), limit
        partitions = [self._partition]
        self._run(join_group(partitions, name, start))
        next_takeover = time.monotonic()
        while left is None or left > 0:
            count = _BATCH if left is None else min(_BATCH, left)
            taken = []
            if time.monotonic() >= next_takeover:
                taken = self._run(take_over(partitions, name, consumer, self._takeover_s, count))
            if not taken:
                next_takeover = time.monotonic() + self._takeover_s / 2
                block_s = self._block_s if follow else _SHORTEST_S
                taken = self._run(read_new(partitions, name, consumer, count, block_s))
            if not taken and not follow:
                return
            for each in taken:
                if self._is_ours(each[1]):
                    yield each[1]
                    left = None if left is None else left - 1
                self._run(acknowledge([each], name))

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def _run(self, operation: Operation[T]) -> T:
        return operation.parse(self._transport.execute([operation])[0])

    def _is_ours(self, event: Event) -> bool:
        return event.tenant == self._context.tenant

    def _stretch(self, command: str, first: str, last: str, count: int = _PAGE) -> Operation[list[tuple[str, Event]]]:
        def parse(replies: list[Any]) -> list[tuple[str, Event]]:
            raise_for(replies[0], "-", "-")
            return [self._entry(*each) for each in replies[0]]

        return Operation(((command, self._partition.events, first, last, "COUNT", count),), parse)

    def _read_streams(self, replies: list[Any]) -> list[tuple[str, Event]]:
        raise_for(replies[0], "-", "-")
        return [self._entry(*each) for _, entries in replies[0] or [] for each in entries]

    def _entry(self, stream_id: str, fields: list[str]) -> tuple[str, Event]:
        return stream_id, Event.from_stream(self._partition.number, stream_id, pairs(fields))
