"""A connection of the asynchronous transport, which many calls share: their replies come in the order of the calls."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, Final, cast

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sojourn.transport import policy

__all__ = ["Line", "NotSent"]

_CALLS: Final = 1_024
"""Calls in flight on a connection; further ones wait for their turn."""
_BYTES: Final = 4 * 1024 * 1024
"""The same for what these calls send. A call that is larger than that goes out alone."""


_AT_ONCE: Final = 32
"""Calls that go out in one write at most: Redis works on the first ones while the next are made."""


class NotSent(RedisConnectionError):
    """The connection broke before a call was written to it: it can be sent on another one as if nothing had been."""


class Line(asyncio.Protocol):
    """One connection, taken over from redis-py once that has made it and logged in.

    Calls that are made in the same turn of the event loop go out in one write; one that nothing else is under way with
    goes out at once. A caller that is cancelled, or gives up, leaves its place: the reply is read, and dropped.

    Args:
        connection: of redis-py, connected. It is left without its streams.
        timeout_s: how long a call waits for its reply.
    """

    def __init__(self, connection: Any, timeout_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_open = True
        self._timeout_s = timeout_s
        self._reader = policy.reply_reader()
        self._sent: deque[tuple[asyncio.Future[list[Any]], int, int, float]] = deque()
        """Who waits: for how many replies, having sent how many bytes, at which time."""
        self._replies: list[Any] = []
        """Those to the first of them, as long as some are missing."""
        self._outgoing: list[bytes] = []
        """What the last calls wrote, until the end of this turn of the loop."""
        self._alone = True
        """Whether the last replies were one caller's, so that its next call has nobody to wait for."""
        self._bytes = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        """Callers for whom there was no room."""
        self._admitted = 0
        """Of these, how many were told that there is room now, and have not taken it yet."""
        self._paused = False
        self._heard_at_s = 0.0
        self._is_answering = False
        """Whether what was heard last is of the first one's replies, which are coming then, however long they take."""
        self._timer: asyncio.TimerHandle | None = None
        self._writer: asyncio.StreamWriter = connection._writer  # noqa: SLF001
        connection._writer = connection._reader = None  # noqa: SLF001 - it would close them when it goes
        self._transport = cast("asyncio.Transport", self._writer.transport)
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)

    @property
    def is_full(self) -> bool:
        """Whether a call has to wait for its turn: see `enter`."""
        return bool(self._queue) or not self._has_room()

    def _has_room(self) -> bool:
        return len(self._sent) + self._admitted < _CALLS and self._bytes < _BYTES and not self._paused

    @property
    def is_idle(self) -> bool:
        """Whether no call is in flight."""
        return not self._sent

    async def enter(self) -> None:
        """Wait, in the order of coming, until `post` may be called; returns too where the connection has broken."""
        turn: asyncio.Future[None] = self.loop.create_future()
        self._queue.append(turn)
        try:
            await turn
        finally:
            if not turn.cancelled():
                self._admitted -= 1
                self.loop.call_soon(self._admit)  # the next one, if this one was cancelled and takes no place

    def _admit(self) -> None:
        while self._queue and (self._has_room() or not self.is_open):
            turn = self._queue.popleft()
            if not turn.done():  # else it was cancelled
                self._admitted += 1
                turn.set_result(None)

    def post(self, packed: bytes, count: int) -> asyncio.Future[list[Any]]:
        """Send commands; `count` replies to them are the result, error replies among them as values."""
        future: asyncio.Future[list[Any]] = self.loop.create_future()
        now_s = time.monotonic()
        if self._alone:
            self._alone = False
            self._transport.write(packed)
        else:
            if not self._outgoing:
                self.loop.call_soon(self._flush)
            self._outgoing.append(packed)
            if len(self._outgoing) == _AT_ONCE:
                self._flush()
        self._bytes += len(packed)
        self._sent.append((future, count, len(packed), now_s))
        if self._timer is None:
            self._start_timer(self._timeout_s)
        return future

    def _start_timer(self, wait_s: float) -> None:
        due_s = self.loop.time() + wait_s
        self._timer = self.loop.call_at(due_s, self._check, due_s)

    def _flush(self) -> None:
        if self._outgoing:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def data_received(self, data: bytes) -> None:
        """Give replies to those who wait for them."""
        self._heard_at_s = time.monotonic()
        reader, sent, replies, ended = self._reader, self._sent, self._replies, 0
        reader.feed(data)
        try:
            while (reply := reader.gets()) is not policy.MORE:
                replies.append(reply)
                future, count, size, _ = sent[0]
                if len(replies) < count:
                    continue
                sent.popleft()
                self._bytes -= size
                ended += 1
                if not future.done():
                    future.set_result(replies)
                replies = self._replies = []
        except IndexError:
            self.close(RedisConnectionError("Redis sent a reply that nobody waits for"))
        except RedisConnectionError as error:  # not by Redis's protocol
            self.close(error)
        self._alone = ended == 1 and not sent
        self._is_answering = not ended or reader.has_data()
        if self._queue:
            self._admit()
        if not self.is_open and not sent:
            self.close()

    def retire(self) -> None:
        """Take no more calls, and close the connection once nobody waits for those in flight."""
        self.is_open = False
        self._admit()
        if all(future.done() for future, *_ in self._sent):
            self.close()

    def _check(self, due_s: float | None) -> None:
        """Give up calls that have waited for too long; and the connection, if nothing came on it for as long.

        `due_s`: when this was to happen. For how long the loop was held up does not count: replies may have come since,
        and it takes its time to read them.
        """
        self._timer = None
        now_s = self.loop.time()
        if due_s is not None and now_s - due_s > self._timeout_s / 4:
            self._timer = self.loop.call_at(now_s + self._timeout_s, self._check, None)
            return
        late_s = time.monotonic() - self._timeout_s
        oldest_s = self._sent[0][3] if self._sent else late_s + self._timeout_s
        if oldest_s <= late_s and self._heard_at_s <= late_s:
            self.close(RedisTimeoutError(f"no reply in {self._timeout_s:g} s"))
            return
        next_s = late_s + self._timeout_s
        for index, (future, _, _, since_s) in enumerate(self._sent):
            if since_s > late_s:
                next_s = since_s
                break
            if not future.done() and not (index == 0 and self._is_answering):
                future.set_exception(RedisTimeoutError(f"no reply in {self._timeout_s:g} s, as others got theirs"))
        if self._sent:
            wait_s = max(0.0, min(next_s, max(oldest_s, self._heard_at_s)) - late_s)
            self._start_timer(wait_s)

    def eof_received(self) -> None:
        """Take no more calls: Redis closed the connection."""
        self.is_open = False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell those who wait that they wait in vain."""
        self.close(error or RedisConnectionError("Redis closed the connection"))
        cast("asyncio.Protocol", self._before).connection_lost(error)  # redis-py's, which waits for it when closing

    def pause_writing(self) -> None:
        """Take no more calls for now: Redis does not read what was sent."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._admit()

    def close(self, error: Exception | None = None) -> None:
        """Close the connection; calls in flight end with that error, which says that it is no good any more."""
        self.is_open = False
        if error is None:
            self._transport.close()
        else:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        error = error or RedisConnectionError("the connection was closed")
        written = len(self._sent) - len(self._outgoing)
        for index, (future, *_) in enumerate(self._sent):
            if not future.done():
                future.set_exception(error if index < written else NotSent(str(error)))
        self._sent.clear()
        self._outgoing.clear()
        self._bytes = 0
        self._admit()

    async def wait_closed(self) -> None:
        """Wait until a connection that was closed is."""
        with contextlib.suppress(OSError):  # it broke before: it is closed
            await self._writer.wait_closed()
