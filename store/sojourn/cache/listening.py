"""What goes over the connection on which Redis tells of changes. No input or output happens here."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from sojourn.cache.clock import CLOCK, WHICH
from sojourn.cache.table import Table
from sojourn.operations.core import Command
from sojourn.transport import policy

__all__ = ["Listening", "RefusedError"]

_BEATS: Final = 4
"""So often within `max_stale` Redis is asked for its time."""
_PATIENCE_S: Final = 1.0
"""For so long an answer is waited for at least: a connection that is only slow is better than a new one."""


class RefusedError(RedisError):
    """Redis does not tell of changes."""


class Listening:
    """One connection, from its beginning on: what is sent, and what the replies and messages mean for the table.

    RESP3 lets messages come between replies, each in its place: once Redis has answered what was asked after a change
    was acknowledged, the message of that change has come before.

    Args:
        table: told of all.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._connection = table.connected()
        self._reader = policy.reply_reader()
        self._interval_s = table.limits.max_stale / _BEATS
        self._longest_s = max(table.limits.max_stale, _PATIENCE_S)
        self._awaited: deque[tuple[str, Any]] = deque()
        self._next_s = 0.0
        self._asked: set[str] = set()

    def begin(self) -> bytes:
        """What is sent first."""
        self._awaited.append(("hello", None))
        return policy.pack([("HELLO", "3")])

    def due(self, wanted: Iterable[str]) -> bytes:
        """What is to be sent now, where changes to all keys that begin so are wanted.

        Raises:
            ConnectionResetError: Redis has been silent for too long.
        """
        now_s = CLOCK(WHICH)
        commands: list[Command] = []
        for prefix in sorted(set(wanted) - self._asked):
            self._asked.add(prefix)
            self._awaited.append(("track", prefix))
            commands.append(("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", prefix))
        asked_s = next((each for what, each in self._awaited if what == "time"), now_s)
        if now_s - asked_s > self._longest_s:
            raise ConnectionResetError(f"Redis did not answer for {self._longest_s:g} s")
        if commands or now_s >= self._next_s:
            self._next_s = now_s + self._interval_s
            self._awaited.append(("time", now_s))
            commands.append(("TIME",))
        return policy.pack(commands)

    @property
    def wait_s(self) -> float:
        """For how long there is nothing to send."""
        return max(0.0, self._next_s - CLOCK(WHICH))

    def feed(self, data: bytes) -> None:
        """Take what came.

        Raises:
            RefusedError: Redis does not do what was asked.
        """
        came_s = CLOCK(WHICH)
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not policy.MORE:
            if isinstance(reply, hiredis.PushNotification):
                self._message(reply)
            else:
                self._reply(reply, came_s)

    def _message(self, message: Any) -> None:
        if message[0] != "invalidate":
            return
        if message[1] is None:  # Redis was flushed
            self._table.clear()
        else:
            self._table.told(message[1])

    def _reply(self, reply: Any, came_s: float) -> None:
        if not self._awaited:
            raise RedisConnectionError("a reply that nothing was asked for")
        what, told = self._awaited.popleft()
        if isinstance(reply, ResponseError):
            if what == "time" and str(reply).startswith(("BUSY", "LOADING")):
                return  # a script runs for long; what was heard until now holds for as long as it does
            raise RefusedError(str(reply))
        if what == "track":
            self._table.track(self._connection, told)
        elif what == "time":
            self._table.heard(self._connection, told, came_s, int(reply[0]) * 1000 + int(reply[1]) / 1000)
