"""The role `listen`: hears of expired leases and claims their sessions, and sweeps for those it did not hear of."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from sojourn import redis_urls
from sojourn.codec import Models
from sojourn.errors import LayoutMismatch, SojournError, StoreError, StoreUnavailable
from sojourn.keys import Homes, parse_key
from sojourn.notifications import NOTIFICATIONS, missing_flags
from sojourn.operations.core import Command, Operation
from sojourn.operations.expiry import claim_session
from sojourn.operations.strays import miss_session
from sojourn.settings import Settings
from sojourn.transport import policy
from sojourn_worker.logs import LOG
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.stop import Outage, Stop
from sojourn_worker.sweep import Sweeper

__all__ = ["Listener", "listen"]

_CHECK_EVERY_S: Final = 3.0
_SILENCE_S: Final = 10.0
_WAIT_S: Final = 0.2
_BATCH: Final = 200
_MANY: Final = 50
"""So many leases at once are rather claimed by sweeps: one script for many costs each a third."""


class Listener:
    """Claims the sessions whose leases Redis says have expired, and tells of those whose records it evicted.

    Notifications get lost: with each connection that breaks, when the server forgets its setting. So after every
    gap that it notices, the listener looks once through all deadlines.
    """

    def __init__(self, settings: Settings, link: RedisLink) -> None:
        options = {**policy.connection_options(settings, Retry), "decode_responses": False}
        self._pool = redis_urls.pool(settings.redis_url, **options)
        database = self._pool.connection_kwargs.get("db", 0)
        self._channels = [f"__keyevent@{database}__:{event}" for event in ("expired", "evicted")]
        self._link = link
        self._homes = Homes(settings.partitions)
        self._context = settings.context(Models([]))  # claims read no model
        self._sweeper = Sweeper(settings, link)
        self._may_configure = True

    def run(self, stop: Stop) -> None:
        """Listen until asked to stop, whatever happens to Redis."""
        outage = Outage("Redis' notifications")
        while not stop.requested:
            try:
                with self._subscribed() as pubsub:
                    self._link.open()
                    self._sweeper.reconnect()
                    self._switch_on()
                    outage.over()
                    self._sweeper.sweep()
                    self._listen(pubsub, stop)
            except (StoreUnavailable, RedisError, OSError) as error:
                stop.wait(outage.failed(error))
        self._pool.disconnect()

    @contextmanager
    def _subscribed(self) -> Iterator[PubSub]:
        pubsub = redis.Redis(connection_pool=self._pool).pubsub()  # type: ignore[no-untyped-call]
        try:
            pubsub.subscribe(*self._channels)
            yield pubsub
        finally:
            pubsub.close()

    def _listen(self, pubsub: PubSub, stop: Stop) -> None:
        check_at = time.monotonic() + _CHECK_EVERY_S
        heard_at = time.monotonic()
        while not stop.requested:
            messages = _received(pubsub)
            now = time.monotonic()
            if messages:
                heard_at = now
                self._claim([each["data"] for each in messages if each["type"] == "message"])
            if now >= check_at:
                if now - heard_at > _SILENCE_S:
                    raise RedisConnectionError(f"the subscription has not answered for {_SILENCE_S:g} s")
                pubsub.ping()
                if self._switch_on():
                    self._sweeper.sweep()
                check_at = time.monotonic() + _CHECK_EVERY_S

    def _claim(self, gone: list[bytes]) -> None:
        operations: list[Operation[str]] = []
        about: list[tuple[str, str]] = []
        leases = 0
        for key in dict.fromkeys(gone):
            found = parse_key(key.decode(errors="replace"))
            if found is None:
                continue  # the channels tell of every key in the database
            what, number, tenant, session_id = found
            keys = self._homes.within(tenant, number)
            if keys is None:
                continue
            about.append((tenant, session_id))
            if what == "lease":
                leases += 1
                operations.append(claim_session(self._context, keys, session_id))
            else:
                operations.append(miss_session(keys, session_id))
        if not operations:
            return
        if leases >= _MANY:
            self._sweeper.sweep()  # one script for many; each of them then finds its session claimed
        found_replies = self._link.execute(operations)
        for (tenant, session_id), operation, replies in zip(about, operations, found_replies, strict=True):
            try:
                outcome = operation.parse(replies)
            except StoreUnavailable:
                raise
            except SojournError as error:
                LOG.error("claim failed", tenant=tenant, session_id=session_id, error=error)
            else:
                LOG.debug("key is gone", tenant=tenant, session_id=session_id, by="notification", outcome=outcome)

    def _switch_on(self) -> bool:
        """Have Redis notify of expiries, keeping the flags it has; whether that took a change."""
        try:
            flags = self._link.run(_configuration("CONFIG", "GET", NOTIFICATIONS))[1]
            missing = missing_flags(flags)
            if missing:
                self._link.run(_configuration("CONFIG", "SET", NOTIFICATIONS, flags + missing))
                LOG.info("notifications switched on", option=NOTIFICATIONS, value=flags + missing)
        except StoreUnavailable:
            raise
        except (StoreError, IndexError) as error:
            if self._may_configure:
                self._may_configure = False
                told = f"make sure that {NOTIFICATIONS} contains Exe, or rely on the sweeper"
                LOG.warning("notifications cannot be switched on", error=error, then=told)
            return False
        self._may_configure = True
        return bool(missing)


def _received(pubsub: PubSub) -> list[dict[str, Any]]:
    """Waits a moment for a message; all that have come by then, up to a batch."""
    messages: list[dict[str, Any]] = []
    message = pubsub.get_message(timeout=_WAIT_S)
    while message is not None:
        messages.append(message)
        if len(messages) == _BATCH:
            break
        message = pubsub.get_message(timeout=0)
    return messages


def _configuration(*command: str) -> Operation[list[str]]:
    def parse(replies: list[Any]) -> list[str]:
        reply = replies[0]
        if isinstance(reply, ResponseError):
            raise StoreError(str(reply))
        return list(reply) if isinstance(reply, list) else []

    command_: Command = command
    return Operation((command_,), parse)


def listen(settings: Settings, stop: Stop, *, notifications: bool = True, sweep: bool = True) -> int:
    """Claim expired sessions until asked to stop; the exit code.

    Args:
        settings: the settings.
        stop: asks to stop.
        notifications: whether to listen to Redis' notifications.
        sweep: whether to sweep. Either suffices; one of the two it must be.
    """
    if not (notifications or sweep):
        raise ValueError("a listener with neither notifications nor sweeps would find nothing")
    link = RedisLink(settings)
    try:
        link.open()
    except LayoutMismatch as error:
        LOG.error("settings do not fit", error=error)
        return 2
    except StoreUnavailable as error:
        LOG.debug("Redis is away at the start", error=error)
    loops: list[Callable[[Stop], None]] = []
    if notifications:
        loops.append(Listener(settings, link).run)
    if sweep:
        loops.append(Sweeper(settings, link).run)
    crashed: list[BaseException] = []

    def guarded(loop: Callable[[Stop], None]) -> None:
        try:
            loop(stop)
        except Exception as error:  # noqa: BLE001 - a half-dead role must end as a whole, to be started again
            crashed.append(error)
            LOG.critical("crashed", error=error)
            stop.request()

    LOG.info("listening", notifications=notifications, sweeps=sweep)
    threads = [threading.Thread(target=guarded, args=(each,), daemon=True) for each in loops]
    for thread in threads:
        thread.start()
    stop.wait(math.inf)  # a join is not woken by a signal that comes just before it begins
    for thread in threads:
        thread.join()
    link.close()
    return 1 if crashed else 0
