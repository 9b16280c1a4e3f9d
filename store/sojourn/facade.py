"""What the synchronous and the asynchronous store have in common: everything but the waiting."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Final, Generic, Self, TypeVar

from sojourn.cache.near import Near
from sojourn.cache.settings import CacheInfo
from sojourn.cleanup.report import CleanupReport, DueReport, Progress, Tally
from sojourn.cleanup.run import Run, inactive_sessions
from sojourn.cleanup.runners import Runner, check_none_runs, check_timeout
from sojourn.cleanup.schedule import CleanupScheduler, scheduler
from sojourn.clients import STORE, tell_client
from sojourn.codec import Codec, check_indexed, codec_for
from sojourn.errors import (
    InvalidField,
    InvalidInput,
    InvalidTtl,
    LimitError,
    SessionError,
    SessionNotFound,
    SojournError,
    StoreFull,
    TenantMoved,
    TokenInvalid,
)
from sojourn.events import Event, Start, Taken, default_consumer, event_flow, forget_flow, hand_back, tenant_group
from sojourn.keys import TenantKeys
from sojourn.limits import LONGEST_BATCH, Ttl, at_most, milliseconds
from sojourn.metrics.tenant import TenantMetrics, read_tenant
from sojourn.models import Session
from sojourn.operations import quotas, read, write
from sojourn.operations import tokens as token_operations
from sojourn.operations.cleanup import add_counts
from sojourn.operations.core import Context, Operation, together
from sojourn.operations.flows import Flow, Pause, mutate_flow
from sojourn.operations.homes import Home, find_home, is_open
from sojourn.quotas import TenantLimits
from sojourn.settings import Settings, load_settings
from sojourn.telemetry.observing import Observer, Observers
from sojourn.telemetry.to_redis import ToRedis
from sojourn.tokens.model import TokenPair

__all__ = [
    "ASTRAY",
    "DEFAULT",
    "Default",
    "Facade",
    "all_created",
    "astray",
    "checked",
    "created_or_full",
    "found_or_none",
    "kept",
    "once",
    "result_or_error",
    "told_moved",
]

S = TypeVar("S", bound=Session)
E = TypeVar("E")
R = TypeVar("R")
T = TypeVar("T")


class Default:
    """Stands for what the settings say."""

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = Default()
ASTRAY: Final = (SessionNotFound, TenantMoved, TokenInvalid)
"""What a call hears that looks for a tenant where it is no longer."""
_CONTEXT_BYTES: Final = 256
_OBSERVERS: Final = 100
_HOME_S: Final = 1.0
"""What is known of a tenant's home is that old at most when it is relied on for something not being there."""
_MOVE_S: Final = 10.0
"""For so long a call waits for its session, which is on the way to its tenant's own partition."""
_LOOK_S: Final = 0.02


@dataclass(frozen=True)
class _Known:
    home: Home
    at_s: float
    """When it was read; monotonic."""

    def is_fresh_at(self, now_s: float) -> bool:
        return not self.home.moving and now_s - self.at_s < _HOME_S


@dataclass
class Shared(Generic[T]):
    """What all views of one store share."""

    transport: T
    opened: bool = False
    """Whether the layout of this Redis has been checked."""
    tenants: dict[str, float] = field(default_factory=dict)
    """When tenants were known to be in the set of tenants; monotonic. One may be deleted, and come again."""
    begun: set[str] = field(default_factory=set)
    """Tenants that had the chance to get the limits that the settings have for new ones."""
    paces: dict[str, quotas.Pace] = field(default_factory=dict)
    homes: dict[str, _Known] = field(default_factory=dict)
    """Where tenants' keys are, as far as that was asked."""
    near: Near | None = None
    """The near cache; None: there is none."""
    observers: Observers | None = None
    """Who is told of each call; None: nobody."""
    cleaners: dict[str, Any] = field(default_factory=dict)
    """What runs the cleanup of a tenant; see `sojourn.cleanup.runners`."""
    starting: threading.Lock = field(default_factory=threading.Lock)
    """Held while one of them is started, so that no thread starts another meanwhile."""
    moves: int = 0
    """How often a tenant was found elsewhere than before: then each view makes sure of its own anew."""

    def know(self, home: Home) -> Home:
        """Note where a tenant's keys are."""
        tenant = home.keys.tenant
        known = self.homes.get(tenant)
        self.homes[tenant] = _Known(home, time.monotonic())
        if known is not None and known.home.keys != home.keys:
            self.moves += 1
            self.tenants.pop(tenant, None)
        return home


class Facade(Generic[S, T]):
    """Builds the operations behind each method of a store; knows nothing of waiting."""

    _shared: Shared[T]
    _opened_at: int | None = None
    """The count of moves for which `_opening` was gone through."""
    _hit: Callable[[str], Any] | None = None
    """What the near cache has of a session id; None where there is no cache."""

    def __init__(
        self,
        url: str | None,
        model: type[S],
        tenant: str | None,
        settings: Settings | None,
        actor: str,
        trace_id: str,
        transport: Callable[[Settings], T],
        observers: Iterable[Observer],
        near: Near | None,
    ) -> None:
        given: object = url  # whoever does without a type checker passes settings first
        if isinstance(given, Settings) or not (settings is None or isinstance(settings, Settings)):
            raise InvalidInput("settings are passed by name, and are sojourn's: SessionStore(settings=load_settings())")
        if settings is None:
            settings = load_settings(redis_url=url, tenant=tenant)
        elif url is not None:
            raise InvalidInput("pass a url or settings, not both")
        actor, trace_id = _checked_context("actor", actor), _checked_context("trace_id", trace_id)
        self.settings = settings
        self._codec: Codec[S] = codec_for(model)
        context = settings.context(
            settings.load_models(model), actor=actor or settings.actor, trace=trace_id or settings.trace_id
        )
        self._context = context if tenant is None else context.of(TenantKeys.of(tenant, settings.partitions))
        self._shared = Shared(transport(settings), near=near)
        observers = at_most(observers, _OBSERVERS, "observers")
        if settings.operation_metrics and not any(isinstance(each, ToRedis) for each in observers):
            observers.append(ToRedis(settings))
        if observers:
            self._shared.observers = Observers(observers, settings)
            self._context = replace(self._context, current_trace=self._shared.observers.trace_id)
            if near is not None:
                self._shared.observers.cached(near.view(self.tenant))

    @property
    def tenant(self) -> str:
        """The tenant whose sessions this store sees."""
        return self._context.tenant

    @property
    def model(self) -> type[S]:
        """The model whose sessions this store sees."""
        return self._codec.model

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model.__name__}, tenant={self.tenant!r})"

    def for_tenant(self, tenant: str) -> Self:
        """The same store for another tenant; it shares this one's connections.

        Raises:
            InvalidName: not a tenant's name.

        Example:
            >>> store.for_tenant("acme").tenant  # doctest: +SKIP
            'acme'
        """
        view = self._view(self._context.of(TenantKeys.of(tenant, self.settings.partitions)))
        view._opened_at = None  # noqa: SLF001
        return view

    def acting(self, *, actor: str = "", trace_id: str = "") -> Self:
        """The same store, but its events tell who acted and in which trace; each up to 256 bytes.

        Example:
            >>> store.acting(actor="ada", trace_id="4bf92f35").delete(session.id)  # doctest: +SKIP
        """
        actor, trace_id = _checked_context("actor", actor), _checked_context("trace_id", trace_id)
        return self._view(replace(self._context, actor=actor, given_trace=trace_id))

    def owned_by(self, owner: str) -> Self:
        """The same store, but it sees, and changes, that owner's sessions alone, and creates sessions for it.

        An id is a handle, not a proof: for another owner's session every method raises `WrongOwner`, which is a
        `SessionNotFound` and says no more than that. The tenant's events and archive, which are not one owner's, are
        not to be had from this view.

        Raises:
            InvalidField: not an owner, or another than the one whose view this is.

        Example:
            >>> store.owned_by("ada").get(session.id)  # doctest: +SKIP
        """
        return self._view(self._for_owner(owner))

    def _for_owner(self, owner: str | None) -> Context:
        """On behalf of the owner that a call names; None: it names none."""
        if owner is None:
            return self._context
        owner = check_indexed("owner", owner, self._context.limits)
        return replace(self._context, owner=self._context.own(owner) or "")

    @property
    def _whole_tenant(self) -> Context:
        """The context of what is not one owner's.

        Raises:
            InvalidInput: this is the view of one.
        """
        if self._context.owner:
            raise InvalidInput("events, limits and archive are the whole tenant's: a store that is owned_by() has none")
        return self._context

    def _view(self, context: Context) -> Self:
        view = copy.copy(self)
        view._context = context  # noqa: SLF001
        view._look_near()  # noqa: SLF001
        return view

    # The near cache

    @property
    def cache(self) -> CacheInfo | None:
        """How the near cache of the store and all its views fares; None: it has none.

        Example:
            >>> store.cache.hit_rate  # doctest: +SKIP
            0.98
        """
        near = self._shared.near
        return None if near is None else near.info

    def _look_near(self) -> None:
        """Look where this view's sessions are, for its owner."""
        shared = self._shared
        self._hit = None if shared.near is None else shared.near.reader(self._context, shared.observers)

    def _seeing(self, operation: Operation[S]) -> Operation[S]:
        """A read by other ways than through the cache, which then has nothing older."""
        near = self._shared.near
        return operation if near is None else near.seeing(self._context, operation)

    def _noting(self, flow: Generator[Any, Any, R]) -> Generator[Any, Any, R]:
        """The same for a flow that ends with a session or a page of them."""
        found = yield from flow
        near = self._shared.near
        if near is not None:
            near.seen(self._context, [found] if isinstance(found, Session) else getattr(found, "sessions", ()))
        return found

    # What the methods of the stores execute

    @property
    def _ready(self) -> bool:
        """Whether it is known where the tenant's keys are."""
        return self._opened_at == self._shared.moves

    def _opening(self) -> Generator[Operation[Any], Any, None]:
        """What comes before the first operation of a store, and of each of its views."""
        shared, partitions = self._shared, self.settings.partitions
        moves = shared.moves
        known = shared.homes.get(self.tenant)
        home = None if known is None else known.home
        if not shared.opened:
            look, lay_out = read.open_layout(partitions)
            laid_out, home = yield together(look, find_home(self.tenant, partitions))
            if not laid_out:
                yield lay_out
            shared.opened = True
            shared.know(home)
            if self.settings.tells_settings:
                yield tell_client(self.settings, STORE)
        elif home is None:
            home = shared.know((yield find_home(self.tenant, partitions)))
        self._context = self._context.of(home.keys)
        if self.settings.tenant_limits != TenantLimits() and self.tenant not in shared.begun:
            yield quotas.begin(self._context, self.settings.tenant_limits)
            shared.begun.add(self.tenant)
        self._opened_at = moves
        self._look_near()

    def _relocated(
        self, error: SojournError | None = None, looked_in: TenantKeys | None = None
    ) -> Generator[Operation[Any] | Pause, Any, bool]:
        """Whether the tenant's keys are elsewhere than this view looked; waits while its sessions are on the way.

        `error`: what came of it. `looked_in`: where that was, for another thread may have moved the view on since. Who
        has asked within the last second does not ask again because of a session that is not there: moving begins more
        than a second after it was announced.
        """
        if isinstance(error, TokenInvalid) and error.reason != "unknown":
            return False
        looked_in, waited = looked_in or self._context.keys, False
        gives_up_at = time.monotonic() + _MOVE_S
        while True:
            known = self._shared.homes.get(self.tenant)
            if known is None or not known.is_fresh_at(time.monotonic()) or isinstance(error, TenantMoved):
                self._shared.know((yield find_home(self.tenant, self.settings.partitions)))
                known = self._shared.homes[self.tenant]
            if not known.home.moving or (isinstance(error, TenantMoved) and (yield is_open(known.home.keys))):
                return waited or known.home.keys != looked_in
            if time.monotonic() > gives_up_at:
                raise TenantMoved(self.tenant)
            waited = True
            yield Pause(_LOOK_S)

    def _settled(self, build: Callable[[], Generator[Any, Any, R]]) -> Generator[Any, Any, R]:
        """The flow that `build` makes, once all sessions are in one place: nothing tells it that some are elsewhere."""
        checked(build())
        if (yield from self._relocated()):
            yield from self._opening()
        return (yield from build())

    def _create(self, ttl: Ttl | Default, max_lifetime: Ttl | Default, fields: Mapping[str, Any]) -> Operation[S]:
        lives = self.settings.ttl if isinstance(ttl, Default) else ttl
        at_most = self.settings.max_lifetime if isinstance(max_lifetime, Default) else max_lifetime
        if time.monotonic() - self._shared.tenants.get(self._context.tenant, -_HOME_S) < _HOME_S:
            return write.create(self._context, self._codec, lives, at_most, fields, register=False)
        operation = write.create(self._context, self._codec, lives, at_most, fields, register=True)

        def parse(replies: list[Any]) -> S:
            session = operation.parse(replies)
            self._shared.tenants[session.tenant] = time.monotonic()  # Redis has answered, so it knows the tenant now
            return session

        return replace(operation, parse=parse)

    def _get(self, session_id: str) -> Operation[S]:
        context, shared = self._context, self._shared
        operation = read.get(context, self._codec.model, session_id)
        pace = shared.paces.get(context.tenant)
        if pace is None or time.monotonic() >= pace.plain_until_s:
            operation = self._paced(operation, session_id)
        near = shared.near
        return operation if near is None or not self._ready else near.loading(self._context, operation, session_id)

    def _paced(self, operation: Operation[R], session_id: str) -> Operation[R]:
        """A read, counted where the tenant has a rate of operations."""
        return quotas.paced(self._context, operation, session_id, self._pace, time.monotonic())

    @property
    def _pace(self) -> quotas.Pace:
        tenant, paces = self._context.tenant, self._shared.paces
        pace = paces.get(tenant)
        return paces.setdefault(tenant, quotas.Pace()) if pace is None else pace

    def _create_many(
        self, sessions: Iterable[Mapping[str, Any]], ttl: Ttl | Default, max_lifetime: Ttl | Default
    ) -> list[Operation[S]]:
        return self._bounded(
            [self._create(ttl, max_lifetime, _mapping(fields)) for fields in self._several(sessions, "create_many")]
        )

    def _update(self, session_id: str, version: int | None, changes: Mapping[str, Any]) -> Operation[S]:
        sealer = self._codec.sealer(self._context.keyring, self._context.tenant, session_id)
        encoded = self._codec.encode_changes(changes, self._context.limits, sealer)
        return write.update(self._context, self._codec, session_id, version, encoded)

    def _mutate(self, session_id: str, change: Callable[[S], Mapping[str, Any]]) -> Flow[S]:
        if not callable(change):
            raise InvalidInput(f"mutate() takes a function, not {type(change).__name__}")
        return mutate_flow(self._context, self._codec, session_id, change)

    def _issue_tokens(
        self, session_id: str, access_ttl: Ttl | Default, refresh_ttl: Ttl | Default, fingerprint: str | None
    ) -> Operation[TokenPair]:
        settings = self.settings
        access = milliseconds(
            settings.token_access_ttl if isinstance(access_ttl, Default) else access_ttl, "access_ttl", none=""
        )
        if access is None:
            raise InvalidTtl("access_ttl cannot be None: every access token is over some time")
        refresh = milliseconds(
            settings.token_refresh_ttl if isinstance(refresh_ttl, Default) else refresh_ttl, "refresh_ttl",
            none="for no refresh token pass None",
        )  # fmt: skip
        return token_operations.issue(self._context, self.model, session_id, access, refresh, fingerprint)

    def _refresh_tokens(self, token: str, fingerprint: str | None) -> Operation[TokenPair]:
        return token_operations.refresh(self._context, self.model, token, fingerprint)

    def _verify_token(self, token: str, fingerprint: str | None) -> Operation[S]:
        context, shared, now_s = self._context, self._shared, time.monotonic()
        pace = shared.paces.get(context.tenant) or self._pace
        operation = token_operations.verify(context, self._codec.model, token, fingerprint, counts=pace.counts)
        if now_s >= pace.plain_until_s:
            operation = quotas.paced(context, operation, "-", pace, now_s, spends=False)
        if shared.near is not None:
            operation = self._seeing(operation)
        known = shared.homes.get(context.tenant)
        return operation if known is not None and known.is_fresh_at(now_s) else self._locating(operation)

    def _locating(self, operation: Operation[R]) -> Operation[R]:
        """It also tells where the tenant's keys are, so that what finds nothing there needs no second question."""
        look = find_home(self.tenant, self.settings.partitions)

        def parse(replies: list[Any]) -> R:
            self._shared.know(look.parse(replies[:1]))
            return operation.parse(replies[1:])

        return Operation((*look.commands, *operation.commands), parse, operation.source)

    def _revoke(self, build: Callable[[], Operation[int]]) -> Generator[Any, Any, int]:
        """A revocation, which cannot tell what is not there from what is elsewhere."""
        return self._settled(lambda: once(build()))

    def _revoke_owner(self, owner: str) -> Generator[Any, Any, int]:
        count = 0
        while True:
            looked_in = self._context.keys
            count += yield from self._settled(
                lambda: token_operations.revoke_owner_flow(self._context, self._codec, owner)
            )
            if not (yield from self._relocated(looked_in=looked_in)):
                return count
            yield from self._opening()  # sessions that were moved meanwhile were passed over

    def _expire_due(self, limit: int | None, progress: Progress | None) -> Generator[Any, Any, DueReport]:
        tally = yield from self._clean(self._due(limit=limit, progress=progress), Tally())
        return tally.due_report()

    def _due(self, **options: Any) -> Run:
        """A run of all that is due of the tenant."""
        _ = self._whole_tenant
        return Run(due=True, archived=self.settings.archive_url is not None, **options)

    def _cleanup_inactive(
        self, max_age: Ttl, status: str | Iterable[str] | None, kind: str | None, reason: str, batch: int,
        progress: Progress | None, *, dry_run: bool,
    ) -> Generator[Any, Any, CleanupReport]:  # fmt: skip
        inactive = inactive_sessions(self._context, self._codec, max_age, status, kind, reason, dry_run=dry_run)
        run = Run(inactive=inactive, batch=batch, progress=progress)
        tally = yield from self._clean(run, Tally(), counted=not dry_run)
        return tally.cleanup_report(dry_run=dry_run)

    def _clean(self, run: Run, tally: Tally, *, counted: bool = True, missed: int = 0) -> Generator[Any, Any, Tally]:
        """Clean up wherever the tenant's sessions are, and count the run, with those `missed` that could not be."""
        while True:
            looked_in = self._context.keys
            yield from self._settled(lambda: run.flow(self._context, self._codec, tally))
            if tally.more or not (yield from self._relocated(looked_in=looked_in)):
                break
            yield from self._opening()  # sessions that were moved meanwhile were passed over
        if counted:
            failures = missed + bool(tally["failed"])
            counts = {"cleanup|runs": 1 + missed} | ({"cleanup|failures": failures} if failures else {})
            told = add_counts(self._context, self._context.keys.stats, counts, stamp="cleanup|last_ms")
            # What was done is done, whether or not it could be counted.
            yield replace(told, parse=lambda _: False)
        return tally

    def _scheduled(
        self, status: CleanupScheduler, tally: Tally, stopping: Callable[[], bool]
    ) -> Generator[Any, Any, Tally]:
        """One run of the cleanup that runs by itself."""
        inactive = None
        if status.max_age_s is not None:
            inactive = inactive_sessions(
                self._context, self._codec, status.max_age_s, None, None, "inactive", dry_run=False
            )
        run = self._due(inactive=inactive, stopping=stopping)
        return (yield from self._clean(run, tally, missed=status.missed))

    def _start_cleanup(
        self, start: Callable[[CleanupScheduler], Runner], interval: Ttl, max_age: Ttl, jitter: float
    ) -> CleanupScheduler:
        """Have a new cleanup run by itself.

        Raises:
            InvalidInput: one of the arguments is no good, there is one already, or this is the view of one owner.
        """
        _ = self._whole_tenant
        with self._shared.starting:
            check_none_runs(self._shared.cleaners.get(self.tenant))
            status = scheduler(self.tenant, interval, max_age, jitter)
            self._shared.cleaners[self.tenant] = start(status)
        return status

    def _scheduler_to_stop(self, timeout_s: float) -> Any:
        check_timeout(timeout_s)
        return self._shared.cleaners.get(self.tenant)

    @property
    def cleanup_scheduler(self) -> CleanupScheduler | None:
        """How the tenant's cleanup that was started last fares; None: none was.

        Example:
            >>> store.cleanup_scheduler.last_error  # doctest: +SKIP
        """
        runner: Runner | None = self._shared.cleaners.get(self.tenant)
        return None if runner is None else runner.status

    def _add_calls(self, counts: Mapping[str, int], operation: str) -> Operation[bool]:
        """Add to the counts of the tenant's calls."""
        return add_counts(self._context, self._context.keys.calls, counts, operation=operation)

    def _update_many(self, updates: Mapping[str, Mapping[str, Any]]) -> list[Operation[S]]:
        return self._bounded(
            [
                self._update(session_id, each.get("version"), {k: v for k, v in each.items() if k != "version"})
                for session_id, each in ((session_id, _mapping(each)) for session_id, each in _mapping(updates).items())
            ]
        )

    def _get_many(self, session_ids: Iterable[str]) -> list[Operation[S]]:
        return self._bounded([self._get(each) for each in self._several(session_ids, "get_many")])

    def _several(self, values: Iterable[E], method: str) -> Iterable[E]:
        return at_most(values, self._context.limits.batch, f"{method}()")

    def _bounded(self, operations: list[Operation[R]]) -> list[Operation[R]]:
        at_most = self._context.limits.batch
        if len(operations) > at_most:
            raise InvalidInput(f"a batch holds at most {at_most} sessions, not {len(operations)} or more")
        return operations

    def _events(
        self, group: str, consumer: str | None, start: Start, timeout: float | None, limit: int | None, held: Taken
    ) -> Generator[Operation[Any] | Event, Any, None]:
        # A blocking read must come back before the socket's own timeout takes it for a failure.
        block_s = min(self.settings.dispatch_block, self.settings.socket_timeout / 2)
        return event_flow(
            self._whole_tenant,
            group,
            consumer=consumer,
            start=start,
            timeout_s=timeout,
            limit=limit,
            block_s=block_s,
            takeover_s=self.settings.takeover_after,
            shared=self.settings.partitions,
            held=held,
        )

    def _forget_events(self, group: str) -> Generator[Operation[Any], Any, bool]:
        return forget_flow(self._whole_tenant, group, self.settings.partitions)

    def _restore(
        self, session_id: str, version: int | None, at: datetime | None, ttl: Ttl | Default, max_lifetime: Ttl | Default
    ) -> Flow[S]:
        # Where one of the two is given, the other is what it is for a new session.
        lifetimes = None
        if not (isinstance(ttl, Default) and isinstance(max_lifetime, Default)):
            lives = self.settings.ttl if isinstance(ttl, Default) else ttl
            at_most = self.settings.max_lifetime if isinstance(max_lifetime, Default) else max_lifetime
            lifetimes = milliseconds(lives), milliseconds(at_most, "max_lifetime")
        try:
            from sojourn.archive.restoring import restore_flow
        except ImportError as error:
            raise SojournError(f"the archive needs psycopg ({error}): pip install 'sojourn[worker]'") from None
        return restore_flow(self._context, self.settings, self.model, session_id, version, at, lifetimes)

    def _metrics(self) -> Generator[Any, Any, TenantMetrics]:
        return self._settled(lambda: once(read_tenant(self._whole_tenant.keys)))

    def _hand_back(self, group: str, consumer: str | None, held: Taken) -> Operation[None]:
        return hand_back(held, tenant_group(self._context, group), consumer or default_consumer())


def found_or_none(operation: Operation[R], replies: list[Any]) -> R | None:
    """The operation's result; None where there is no such session."""
    try:
        return operation.parse(replies)
    except SessionNotFound:
        return None


def result_or_error(operation: Operation[R], replies: list[Any]) -> R | SessionError | LimitError:
    """The operation's result, or what went wrong with its session."""
    try:
        return operation.parse(replies)
    except (SessionError, LimitError) as error:
        return error


def created_or_full(operation: Operation[R], replies: list[Any]) -> R | StoreFull | LimitError | TenantMoved:
    """The new session, or why there is no room for it here: Redis is full, or the tenant at a limit, or elsewhere."""
    try:
        return operation.parse(replies)
    except (StoreFull, LimitError, TenantMoved) as error:
        return error


def kept(values: Iterable[T]) -> Iterable[T]:
    """What can be gone through once as a list: an operation that is built anew goes through it again.

    Of what may have no end one more than any batch holds, so that it is refused.
    """
    return list(islice(values, LONGEST_BATCH + 1)) if isinstance(values, Iterator) else values


def checked(flow: Generator[Any, Any, Any]) -> None:
    """Let a flow refuse what it does not accept, before its first step."""
    with closing(flow):
        next(flow, None)


def astray(found: list[Any]) -> list[int]:
    """Which results of a batch may be others at the tenant's own partition, if it was moved there."""
    return [
        index for index, each in enumerate(found) if each is None or isinstance(each, (SessionNotFound, TenantMoved))
    ]


def once(operation: Operation[R]) -> Generator[Operation[Any], Any, R]:
    """A flow of one step."""
    found: R = yield operation
    return found


def told_moved(found: list[Any]) -> TenantMoved | None:
    """The first result of a batch that says for certain that the tenant was moved."""
    return next((each for each in found if isinstance(each, TenantMoved)), None)


def all_created(outcomes: list[S | StoreFull | LimitError | TenantMoved]) -> list[S]:
    """The new sessions, if all there are.

    Raises:
        StoreFull, LimitError: some are not; those that are come with it, since they live on.
    """
    created = [each for each in outcomes if not isinstance(each, (StoreFull, LimitError, TenantMoved))]
    for each in outcomes:
        if isinstance(each, LimitError):
            each.created = tuple(created)
        if isinstance(each, (LimitError, TenantMoved)):
            raise each
    if len(created) < len(outcomes):
        raise StoreFull(
            f"Redis is out of memory (maxmemory): {len(created)} of {len(outcomes)} sessions were created, see the "
            "attribute `created`; raise it, or end sessions",
            tuple(created),
        )
    return created


def _mapping(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"the fields of a session are a mapping, not {type(value).__name__}")
    return value


def _checked_context(name: str, value: str) -> str:
    text = str.__str__(value) if isinstance(value, str) else "\x00"
    if not text.isprintable() or len(text.encode(errors="replace")) > _CONTEXT_BYTES:
        raise InvalidField(name, f"is printable text of at most {_CONTEXT_BYTES} bytes")
    return text
