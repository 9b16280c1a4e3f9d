"""The workers' way to the sessions' Redis."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from sojourn.keys import Homes
from sojourn.operations.core import Operation
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.settings import Settings
from sojourn.transport import policy
from sojourn.transport.blocking import Line, Transport

__all__ = ["RedisLink"]

K = TypeVar("K")
T = TypeVar("T")
_PATIENCE_S: Final = 5.0
_AHEAD: Final = 2


class RedisLink(Transport):
    """The library's transport with more patience and no tries of its own: each role knows best how to go on.

    A read that waits in a consumer group must not be sent again blindly, since its lost reply held events.
    """

    def __init__(self, settings: Settings) -> None:
        patient = settings.model_copy(
            update={"socket_timeout": max(settings.socket_timeout, _PATIENCE_S), "retries": 0}
        )
        super().__init__(patient)
        self._partitions = settings.partitions

    def open(self) -> None:
        """Check that this Redis is laid out as the settings say.

        Raises:
            LayoutMismatch: it is not.
            StoreUnavailable: it did not answer.
        """
        for step in open_layout(self._partitions):
            if self.run(step):
                break

    def homes(self) -> Homes:
        """Where all tenants' keys are.

        Raises:
            StoreUnavailable: Redis did not answer.
        """
        return self.run(homes(self._partitions))

    def run(self, operation: Operation[T]) -> T:
        """Execute one operation; raises what it raises, and `StoreUnavailable`."""
        return operation.parse(self.execute([operation])[0])

    def drive(self, flow: Generator[Operation[Any], Any, T]) -> T:
        """Execute what a flow yields; its result."""
        result: Any = None
        while True:
            try:
                result = self.run(flow.send(result))
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]

    def run_many(self, operations: Sequence[Operation[T]]) -> list[T]:
        """Execute operations in one write; raises what the first to fail raises."""
        found = zip(operations, self.execute(operations), strict=True)
        return [operation.parse(replies) for operation, replies in found]

    def run_ahead(self, waiting: deque[tuple[K, Operation[T]]]) -> Iterator[tuple[K, Callable[[], T]]]:
        """Execute operations one after another, where Redis works on one while what came of the last is looked at.

        Each goes out on another connection than the one before, so that Redis may serve others between the two. Where
        there is no other to be had, each waits for the one before.

        Args:
            waiting: operations with what they are called; more may be added while these are executed.

        Returns:
            For each what it is called, and what gives its result, or raises what it raises.

        Raises:
            StoreUnavailable: no reply.
        """
        lines = self._own_lines()
        under_way: deque[tuple[K, Operation[T], Line]] = deque()
        most = _AHEAD
        try:
            while waiting or under_way:
                while waiting and len(under_way) < most:
                    is_ahead = bool(under_way)
                    line = lines.borrow(0) if is_ahead else self._borrow(lines, self._longest_s)
                    if line is None:
                        break  # others have all the rest
                    name, operation = waiting.popleft()
                    under_way.append((name, operation, line))
                    try:
                        if is_ahead:  # it may have been idle for as long as Redis, or what lies between, allows
                            line.check_is_open()
                        line.send(policy.pack(operation.commands))
                    except policy.BROKEN:
                        if not is_ahead:
                            raise
                        # Redis may have no room for one more client; if it is gone, the one under way tells.
                        most = 1
                        waiting.appendleft((name, operation))
                        under_way.pop()
                        lines.give_back(line)
                name, operation, line = under_way[0]
                replies = line.receive(len(operation.commands))
                if self._by_sentinel:
                    line.check_is_master(replies)
                under_way.popleft()
                lines.give_back(line)
                if policy.lacks_script(replies[-1]):
                    replies = self.execute([operation])[0]
                yield name, partial(operation.parse, replies)
        except policy.BROKEN as error:
            raise policy.unavailable(self._settings, error, 1) from error
        finally:
            for _, _, line in under_way:
                line.connection.disconnect()
                lines.give_back(line)

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands that were packed before, and read their `count` replies.

        Raises:
            StoreUnavailable: no reply.
        """
        try:
            return self._exchange(packed, count, self._longest_s)
        except policy.BROKEN as error:
            raise policy.unavailable(self._settings, error, 1) from error
