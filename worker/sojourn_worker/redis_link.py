"""The workers' way to the sessions' Redis."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, TypeVar

from sojourn.keys import Homes
from sojourn.operations.core import Operation
from sojourn.operations.homes import homes
from sojourn.operations.read import open_layout
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["RedisLink"]

T = TypeVar("T")
_PATIENCE_S: Final = 5.0


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

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """Send commands that were packed before, and read their `count` replies.

        Raises:
            StoreUnavailable: no reply.
        """
        return self._send(packed, count)
