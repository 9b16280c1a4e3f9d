"""A store's near cache: what a read finds there, what it puts there, and what a write takes out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache as once
from typing import Any, Final, TypeVar

from sojourn.cache.clock import CLOCK, MARGIN_MS, WHICH
from sojourn.cache.frozen import shareable
from sojourn.cache.settings import Cache, CacheInfo
from sojourn.cache.table import Table
from sojourn.cache.tracker import Tracker
from sojourn.cache.view import CacheView
from sojourn.codec import ms_from
from sojourn.errors import InvalidInput, SessionError
from sojourn.models import Session
from sojourn.operations.core import Context, Operation
from sojourn.scripts import script
from sojourn.settings import Settings
from sojourn.telemetry.observing import Observers

__all__ = ["KEEPING", "Load", "Near", "encoded_size", "read_again_ms"]

S = TypeVar("S", bound=Session)
KEEPING: Final = (
    "add_counts", "count_tenant", "issue_tokens", "list_sessions", "list_tokens", "place_sessions", "read_log",
    "refresh_tokens", "revoke_token", "revoke_tokens", "set_limits", "spend_operation", "tell_client", "tell_event",
    "verify_counted",
)  # fmt: skip
"""The scripts of clients that change no record, but for a deadline that slides; a test holds them to that."""


class Load(Operation[S]):
    """A read whose result the cache takes."""

    __slots__ = ()


class Near:
    """The near cache of one store and its views.

    Args:
        limits: how large it may be.

    Raises:
        InvalidInput: they are none.
    """

    def __init__(self, limits: Cache) -> None:
        if not isinstance(limits, Cache):
            raise InvalidInput(f"cache is a sojourn.Cache, not {type(limits).__name__}")
        self._table = Table(limits)
        self._tracker: Tracker | None = None

    def serve(self, settings: Settings) -> None:
        """Be the cache of a store with these settings; nothing is connected to before it is used."""
        self._tracker = Tracker(settings, self._table)

    def reader(self, context: Context, observers: Observers | None) -> Callable[[str], Any]:
        """A function that gives the session of an id, if it is there, may be seen, and is not to be read again.

        It is the whole of what a read costs that the cache answers, and takes no lock.
        """
        table, prefix, owner = self._table, context.keys.sessions, context.owner
        counts = table.counts
        look_up, clock, which = table.entries.get, CLOCK, WHICH

        def found(session_id: str) -> Any:
            try:
                entry = look_up(session_id)
            except TypeError:  # what cannot be hashed is no id: the read that follows tells so
                return None
            if entry is None or entry.prefix != prefix:
                return None
            now_s = clock(which)
            if now_s >= entry.until_s or now_s >= table.trusted_until_s:
                return None
            session = entry.session
            if owner and session.owner != owner:
                return None
            entry.used_s = now_s
            counts.hits += 1
            return session

        if observers is None:
            return found
        tenant = context.tenant

        def observed(session_id: str) -> Any:
            session = found(session_id)
            return None if session is None else observers.call("get", tenant, _same, session)

        return observed

    def loading(self, context: Context, operation: Operation[S], session_id: str) -> Operation[S]:
        """A read that also puts what it finds into the cache."""
        table, prefix = self._table, context.keys.sessions
        token = table.token(prefix)
        if token is None and self._tracker is not None:
            self._tracker.want(prefix)

        def parse(replies: list[Any]) -> S:
            try:
                session = operation.parse(replies)
            except SessionError:
                table.end((prefix + session_id,))
                raise
            if token is not None:
                self._keep(context, prefix, token, session, replies)
            return session

        return Load(operation.commands, parse, operation.source, operation.alone)

    def _keep(self, context: Context, prefix: str, token: int, session: Session, replies: list[Any]) -> None:
        until_ms = read_again_ms(session, context)
        if shareable(session) is None:
            self._table.seen(prefix, session.id, stamp_of(session))
            return
        self._table.keep(prefix, token, session, encoded_size(replies), stamp_of(session), until_ms)

    def seeing(self, context: Context, operation: Operation[S]) -> Operation[S]:
        """A read by other ways than through the cache, which then answers with nothing older."""

        def parse(replies: list[Any]) -> S:
            session = operation.parse(replies)
            self.seen(context, (session,))
            return session

        return Operation(operation.commands, parse, operation.source, operation.alone)

    def seen(self, context: Context, sessions: Iterable[Session]) -> None:
        """These states were read so."""
        for each in sessions:
            self._table.seen(context.keys.sessions, each.id, stamp_of(each))

    def wrote(self, operations: Sequence[Operation[Any]], replies: Sequence[list[Any]] | None) -> None:
        """These were carried out, or may have been: what they may have changed is read again.

        `replies`: None where there were none.
        """
        for index, each in enumerate(operations):
            if each.source is None or isinstance(each, Load):
                continue
            _, sha, count, *rest = each.commands[-1]
            if sha in _keeping():
                continue
            keys = [str(key) for key in rest[: int(count)] if ":session:" in str(key)]
            if not keys or (sha == _creating() and _ended_others(None if replies is None else replies[index][-1])):
                self._table.clear()  # which ones it changed only the script knows
            else:
                self._table.end(keys)

    def close(self) -> None:
        """Hold nothing, and end the connection; it begins again if the store is used again."""
        if self._tracker is not None:
            self._tracker.close()
        self._table.lost("")

    def view(self, tenant: str) -> CacheView:
        """What observers of a store of that tenant are given."""
        return CacheView(tenant, self._table)

    @property
    def info(self) -> CacheInfo:
        """How it fares."""
        return self._table.info


def _same(session: Any) -> Any:
    return session


@once
def _keeping() -> frozenset[str]:
    return frozenset(script(name).sha for name in KEEPING)


@once
def _creating() -> str:
    return script("create_session").sha


def _ended_others(reply: Any) -> bool:
    """Whether sessions may have ended to make room for a new one. With an error none did, or it says ROOM."""
    return reply is None or (isinstance(reply, list) and (len(reply) < 3 or reply[2] != 0))


def stamp_of(session: Session) -> tuple[float, int]:
    """What orders the states of a session: ADR 6."""
    return session.updated_at.timestamp(), session.version


def read_again_ms(session: Session, context: Context) -> float | None:
    """From when on a session is to be read from Redis, by Redis's clock; None: never.

    A live one at its deadline; where sessions slide, as soon as reading it would move the deadline.
    """
    if not session.is_live or session.expires_at is None:
        return None
    expires_ms = ms_from(session.expires_at)
    if not context.sliding or session.ttl is None:
        return expires_ms
    ttl_ms = session.ttl.total_seconds() * 1000
    gain_ms = max(context.slide_gain * ttl_ms // 1, 1)
    if session.max_lifetime is not None:
        latest_ms = ms_from(session.created_at) + session.max_lifetime.total_seconds() * 1000
        if latest_ms - expires_ms < gain_ms:
            return expires_ms  # it has come as far as it may
    # That moment need not be met exactly, so what is taken off for the clocks is given back.
    return min(expires_ms, expires_ms - ttl_ms + gain_ms + MARGIN_MS)


def encoded_size(replies: Iterable[Any]) -> int:
    """The bytes of all that was told."""
    size = 0
    for each in replies:
        if isinstance(each, str):
            size += len(each) if each.isascii() else len(each.encode("utf-8", "surrogateescape"))
        elif isinstance(each, bytes):
            size += len(each)
        elif isinstance(each, dict):
            size += encoded_size(each) + encoded_size(each.values())
        elif isinstance(each, list):
            size += encoded_size(each)
    return size
