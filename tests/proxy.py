"""A TCP proxy that goes wrong on demand: lost replies, delays, cut and refused connections."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

__all__ = ["Proxy"]

T = TypeVar("T")
_HOST = "127.0.0.1"
_CHUNK = 65_536


class _Connection:
    """One client's connection and, once there is one, its counterpart to the server."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.writers = [client]
        self.mute = False
        self.tail = b""

    def abort(self) -> None:
        for writer in self.writers:
            writer.transport.abort()


class Proxy:
    """Forwards a port of its own on 127.0.0.1 to the server of ``url``, in a thread of its own; with TLS, if asked to.

    Example:
        with Proxy(redis_url) as proxy:
            client = redis.Redis.from_url(proxy.url, socket_timeout=1)
            proxy.drop_replies(1, to=b"INCR")
            client.incr("n")  # the server counts it, the client never hears so
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._parts = urlsplit(url)
        assert self._parts.hostname, url
        assert self._parts.port, url
        self._target = (self._parts.hostname, self._parts.port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._drops = 0
        self._drops_to = b""
        self._delay_s = 0.0
        self.port = 0
        self.accepted = 0
        self.dropped = 0

    @property
    def url(self) -> str:
        """The server's URL with the proxy's address in it."""
        credentials, at, _ = self._parts.netloc.rpartition("@")
        scheme = "rediss" if self._tls else self._parts.scheme
        return urlunsplit(self._parts._replace(scheme=scheme, netloc=f"{credentials}{at}{_HOST}:{self.port}"))

    def drop_replies(self, count: int = 1, *, to: bytes = b"") -> None:
        """Swallow the replies to the next ``count`` requests that contain ``to``, which do reach the server.

        After a lost reply that connection stays mute, since its client would take the next reply for the lost
        one. ``dropped`` counts the requests whose replies were swallowed.
        """
        self._drops_to = to
        self._drops = count

    def delay(self, seconds: float) -> None:
        """Hold back everything that the server sends from now on by ``seconds``; 0 for no longer."""
        self._delay_s = seconds

    def cut(self) -> None:
        """Reset all connections there are; new ones are accepted."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Reset all connections, and refuse new ones until :meth:`accept`."""
        self._run(self._close_listener())
        self.cut()

    def accept(self) -> None:
        """Accept connections again, on the same port."""
        self._run(self._listen())

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._shut_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accepted, _HOST, self.port, ssl=self._tls)
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _close_listener(self) -> None:
        if self._listener is not None:
            for each in self._listener.sockets:
                self._loop.remove_reader(each.fileno())
            await asyncio.sleep(0)  # a connection that was accepted by now is lost unclosed if its listener goes first
            self._listener.close()
            self._listener = None

    async def _cut(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _shut_down(self) -> None:
        await self._close_listener()
        this = asyncio.current_task()
        while others := asyncio.all_tasks() - {this}:  # besides ours, those that shake hands with new clients
            for task in others:
                task.cancel()
            await asyncio.wait(others)
        # Further turns, in which the transports close their sockets; with TLS there are two to a connection.
        for _ in range(3):
            await asyncio.sleep(0)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        connection = _Connection(writer)
        task = self._loop.create_task(self._serve(connection, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(lambda _: connection.abort())  # also of one that was cancelled before it began
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return
        connection.writers.append(server_writer)
        pumps = [
            asyncio.ensure_future(self._to_server(connection, reader, server_writer)),
            asyncio.ensure_future(self._to_client(connection, server_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)  # either direction's end is the end of both
        finally:
            for pump in pumps:  # also where this task is cancelled: nothing may be pending when the loop is closed
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _to_server(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await _read(reader):
            # The name of a command may lie across two reads.
            seen = connection.tail + data
            if self._drops and not connection.mute and self._drops_to in seen:
                self._drops -= 1
                self.dropped += 1
                connection.mute = True
            keep = len(self._drops_to) - 1
            connection.tail = seen[-keep:] if keep > 0 else b""
            writer.write(data)

    async def _to_client(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await _read(reader):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            if not connection.mute:
                writer.write(data)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(_CHUNK)
    except ConnectionError:
        return b""
