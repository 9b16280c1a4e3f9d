"""A Redis in this process: fakeredis behind the stores' own transports, with a clock that tests may set."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final, Self, cast

from redis import Redis
from redis.exceptions import ConnectionError, ResponseError  # noqa: A004 - Redis's own

from sojourn.errors import SojournError
from sojourn.testing.clock import Clock
from sojourn.testing.server import TestRedis
from sojourn.transport.stand_in import standing_in

try:
    # Its sockets and databases are not in what it promises to keep; tests/store/testing holds this against it.
    from fakeredis import FakeServer
    from fakeredis._core import Database
    from fakeredis._helpers import SimpleError, SimpleString
    from fakeredis._socket import FakeSocket
except ImportError as error:
    raise SojournError(f"sojourn.testing needs {error.name}: pip install 'sojourn[testing]'") from None

__all__ = ["FakeRedis"]

_NUMBERS: Final = itertools.count(1)
_VERSION: Final = (7, 0)


class FakeRedis(TestRedis):
    """A stand-in for Redis in this process: no server, no port, no file; gone with the block.

    Stores and all that Sojourn does through them, Lua scripts included, behave as on a real one. What it cannot show:
    notifications of expired keys (`clock.advance` and `expire_due` do what workers would do), being full or evicting,
    users and ACLs, persistence, other processes (workers among them), clients other than Sojourn's, and how long
    anything takes.

    Args:
        **settings: of the stores on it, over those of environment and ``sojourn.yaml``: see `use`.

    Example:
        >>> from sojourn import SessionStore
        >>> with FakeRedis() as fake, SessionStore(fake.url) as store:
        ...     store.create(owner="ada").owner
        'ada'
    """

    def __init__(self, **settings: Any) -> None:
        self._host = f"fake-{next(_NUMBERS)}.invalid"  # a name that no network ever resolves (RFC 2606)
        self.url = f"redis://{self._host}:6379/0"
        self._clock = Clock(self._expire)
        self._stack = ExitStack()
        self._away = False
        self._sockets: list[_Socket] = []
        self._server = _Server(self._clock)
        self.use(**settings)

    @property
    def clock(self) -> Clock:
        """Its clock; what falls due by moving it expires at once."""
        return self._clock

    def _expire(self) -> None:
        if not self._away:
            self.expire_due()

    def clear(self) -> None:
        """Remove all that is in it."""
        self._server, self._sockets = _Server(self._clock), []

    @contextmanager
    def away(self) -> Iterator[None]:
        """Do not answer within the block: stores raise `StoreUnavailable`, after their usual attempts."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """The replies to packed commands; the transports call this."""
        if self._away:
            raise ConnectionError("the stand-in was told not to answer")
        server, sockets = self._server, self._sockets
        try:
            socket = sockets.pop()
        except IndexError:
            socket = _Socket(server, 0, client_class=Redis)
        socket.sendall(packed)
        replies = [socket.responses.get_nowait() for _ in range(count)]
        sockets.append(socket)
        return replies

    def __enter__(self) -> Self:
        self._stack.enter_context(standing_in(self._host, self))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class _Server(FakeServer):
    def __init__(self, clock: Clock) -> None:
        super().__init__(version=_VERSION)
        self.clock = clock
        self.dbs = defaultdict(lambda: _Database(self.lock, clock))


class _Database(Database):
    """Expires keys by the given clock."""

    def __init__(self, lock: threading.Lock, clock: Clock) -> None:
        self._clock = clock
        super().__init__(lock)

    @property
    def time(self) -> float:
        return self._clock.now_s

    @time.setter
    def time(self, value: float) -> None:
        """Stay with the clock: fakeredis sets it to the machine's before each command."""


class _Socket(FakeSocket):
    """Tells that clock's time, and answers as the transports' parser of replies would."""

    responses: Any
    _server: _Server

    def time(self) -> list[bytes]:
        seconds, micros = divmod(round(self._server.clock.now_s * 1_000_000), 1_000_000)
        return [b"%d" % seconds, b"%d" % micros]

    def _decode_result(self, result: object) -> object:
        match result:
            case bytes():
                return result.decode("utf-8", "surrogateescape")
            case list():
                return [self._decode_result(each) for each in cast("list[object]", result)]
            case SimpleString():
                return result.value.decode()
            case SimpleError():
                return ResponseError(result.value)
            case _:
                return result
