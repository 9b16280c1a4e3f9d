"""What both transports share: how connections are made, what is packed, and when to try again."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import hiredis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from sojourn.errors import SettingsError, StoreError, StoreUnavailable
from sojourn.operations.core import CLOCK, Command, Operation
from sojourn.settings import Settings, masked

__all__ = [
    "BROKEN",
    "FORKS",
    "MORE",
    "READ_BYTES",
    "batches",
    "check_is_master",
    "congested",
    "connection_options",
    "crowded",
    "dealt",
    "gathered",
    "invalid_url",
    "is_last",
    "lacks_script",
    "longest_s",
    "pack",
    "patience_s",
    "pause_before",
    "refused",
    "reply_reader",
    "unavailable",
    "with_source",
    "without_script",
]

BROKEN: Final = (RedisConnectionError, RedisTimeoutError, OSError)
"""What a lost connection or reply looks like. Everything is safe to send again: see the operation ids."""

READ_BYTES: Final = 65_536
_OPERATION_MEMORY_S: Final = 30.0
"""For how long Redis keeps the id of an operation: see lua/include/operation.lua."""
_REPLIES_PER_WRITE: Final = 1_000
"""A longer batch goes out in several writes: beyond it both sides might wait for the other to read."""


class _Forks:
    """How many forks there are between this process and the first: connections from before one are its parent's."""

    count = 0

    def happened(self) -> None:
        self.count += 1


FORKS: Final = _Forks()
os.register_at_fork(after_in_child=FORKS.happened)


def connection_options(settings: Settings, retry: type[Any]) -> dict[str, Any]:
    """Options for redis-py's connections; `retry` is its sync or async Retry class.

    RESP2, because hiredis parses flat replies a third faster than RESP3's maps.
    """
    return {
        "protocol": 2,
        "socket_timeout": settings.socket_timeout,
        "socket_connect_timeout": settings.socket_timeout,
        "retry": retry(NoBackoff(), 0),
        "client_name": "sojourn",
    }


MORE: Final = object()
"""What a reply reader answers while a reply is not complete."""


def reply_reader() -> hiredis.Reader:
    """A parser for one connection's replies; error replies are values.

    redis-py makes and keeps the connections, but its reading and writing cost as much again as Redis takes to answer.
    Undecodable bytes become lone surrogates, which the codec then tells as damage, instead of an error in mid-reply.
    """
    return hiredis.Reader(
        protocolError=RedisConnectionError,
        replyError=ResponseError,
        encoding="utf-8",
        errors="surrogateescape",
        notEnoughData=MORE,
    )


_pack: Final[Callable[[Command], bytes]] = hiredis.pack_command  # type: ignore[assignment]


_PACKED_CLOCK: Final = _pack(CLOCK)


def pack(commands: Sequence[Command]) -> bytes:
    """Commands as they go over the wire."""
    if len(commands) == 1:
        return _pack(commands[0])
    if 2 <= len(commands) <= 3 and commands[-1] is CLOCK:  # a plain read, or a token's verification
        packed = _pack(commands[0])
        if len(commands) == 3:
            packed += _pack(commands[1])
        return packed + _PACKED_CLOCK
    return b"".join([_pack(each) for each in commands])


def batches(operations: Sequence[Operation[Any]]) -> Iterable[Sequence[Operation[Any]]]:
    """The operations in stretches that go out in one write each."""
    for start in range(0, len(operations), _REPLIES_PER_WRITE):
        yield operations[start : start + _REPLIES_PER_WRITE]


def gathered(operations: Sequence[Operation[Any]]) -> list[Command]:
    """The commands of all operations; where several end by asking for the time, it is asked once, at the end."""
    if len(operations) == 1:
        return list(operations[0].commands)
    commands: list[Command] = []
    asks = False
    for operation in operations:
        own = operation.commands
        if own and own[-1] is CLOCK:
            own, asks = own[:-1], True
        commands += own
    if asks:
        commands.append(CLOCK)
    return commands


def dealt(operations: Sequence[Operation[Any]], flat: list[Any]) -> list[list[Any]]:
    """Each operation's own replies, out of all those to `gathered` commands."""
    if len(operations) == 1:
        return [flat]
    found: list[list[Any]] = []
    start = 0
    for operation in operations:
        own = operation.commands
        asks = bool(own) and own[-1] is CLOCK
        end = start + len(own) - asks
        found.append([*flat[start:end], flat[-1]] if asks else flat[start:end])
        start = end
    return found


def without_script(operations: Sequence[Operation[Any]], replies: Sequence[list[Any]]) -> list[int]:
    """Which operations Redis refused because it does not know their script."""
    return [
        index
        for index, (operation, reply) in enumerate(zip(operations, replies, strict=True))
        if operation.source is not None and lacks_script(reply[-1])
    ]


def lacks_script(reply: Any) -> bool:
    """Whether Redis answered that it does not know a script."""
    return isinstance(reply, ResponseError) and str(reply).startswith("NOSCRIPT")


def with_source(operations: Sequence[Operation[Any]]) -> list[Command]:
    """The commands of operations whose script Redis does not know: the first of each script brings its source."""
    commands: list[Command] = []
    sent: set[str] = set()
    for operation in operations:
        command = operation.commands[-1]
        sha = str(command[1])
        if sha not in sent and operation.source is not None:
            sent.add(sha)
            command = ("EVAL", operation.source, *command[2:])
        commands.append(command)
    return commands


def check_is_master(replies: Iterable[Any]) -> None:
    """Refuse the replies of a Redis that has become a replica: sentinels know of another by now.

    Raises:
        RedisConnectionError: it has.
    """
    if any(isinstance(reply, ResponseError) and "READONLY " in str(reply) for reply in replies):
        raise RedisConnectionError("the Redis that sentinels had named is a replica now")


def pause_before(attempt: int) -> float:
    """Seconds to wait before attempt 1, 2, ...: 25 ms doubling to 0.4 s, with jitter."""
    return random.uniform(0.5, 1.0) * min(0.4, 0.025 * 2.0**attempt)  # noqa: S311


def unavailable(settings: Settings, error: BaseException, attempts: int) -> StoreUnavailable:
    """The error for a caller when all attempts failed."""
    problem = type(error).__name__ if not str(error) else str(error).splitlines()[0]
    many = "an attempt" if attempts == 1 else f"{attempts} attempts"
    told = StoreUnavailable(
        f"Redis at {masked(settings.redis_url)} did not answer in {many} of {settings.socket_timeout:g} s: {problem}"
    )
    told.__cause__ = error
    return told


def is_last(settings: Settings, error: BaseException, attempt: int, started_s: float) -> bool:
    """Whether attempt 0, 1, ... was the last one; `started_s` is when the first one began, in monotonic seconds.

    Trying again is pointless after a wrong password, and wrong once Redis may have forgotten the operation's id.
    """
    if attempt >= settings.retries or isinstance(error, (AuthenticationError, AuthorizationError)):
        return True
    return time.monotonic() - started_s + 2 * settings.socket_timeout > _OPERATION_MEMORY_S


def longest_s(settings: Settings) -> float:
    """Seconds after which the longest call has ended, one way or the other."""
    return (settings.retries + 1) * settings.socket_timeout + 0.4 * settings.retries


def patience_s(settings: Settings, started_s: float) -> float:
    """For how many seconds a further attempt may wait until it can be sent; `started_s` as for `is_last`.

    It has to be sent before Redis has forgotten the operation's id.
    """
    left_s = started_s + _OPERATION_MEMORY_S - settings.socket_timeout - time.monotonic()
    return max(0.0, min(longest_s(settings), left_s))


def crowded(settings: Settings, waited_s: float) -> StoreUnavailable:
    """The error for a caller that found all connections taken for as long as it could wait."""
    return StoreUnavailable(
        f"all {settings.max_connections} connections to Redis at {masked(settings.redis_url)} were taken for "
        f"{waited_s:.3g} s (see the setting max_connections)"
    )


def congested(settings: Settings, waited_s: float) -> StoreUnavailable:
    """The error for a caller for whom there was no room among the calls in flight for as long as it could wait."""
    return StoreUnavailable(
        f"Redis at {masked(settings.redis_url)} was too slow for so many calls at a time: there was no room for one "
        f"more in {waited_s:.3g} s"
    )


def refused(settings: Settings, error: RedisError) -> StoreError:
    """The error for a caller where Redis took the connection but not what was said on it."""
    told = StoreError(f"Redis at {masked(settings.redis_url)} refused the connection: {error}")
    told.__cause__ = error
    return told


def invalid_url(settings: Settings) -> SettingsError:
    """The error for a URL that redis-py does not take. What it says itself may quote a password."""
    return SettingsError(
        f"redis_url {masked(settings.redis_url)} is not a URL for Redis: redis://host:port/db, rediss:// or unix://, "
        "with options that redis-py knows"
    )
