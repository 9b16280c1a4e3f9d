"""The asynchronous client, the twin of `client.SessionStore`: the same names and signatures, awaited."""

from __future__ import annotations

import asyncio
import builtins
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from sojourn.cache.near import Near
from sojourn.cache.settings import Cache
from sojourn.cache.transports import AsyncNearTransport
from sojourn.cleanup.report import CleanupReport, DueReport, Progress
from sojourn.cleanup.run import BATCH
from sojourn.cleanup.runners import TaskRunner
from sojourn.cleanup.schedule import STOP_S, CleanupScheduler
from sojourn.errors import LimitError, SessionError, StoreError
from sojourn.events import Event, Start, Taken
from sojourn.facade import (
    ASTRAY,
    DEFAULT,
    Default,
    Facade,
    all_created,
    astray,
    checked,
    created_or_full,
    found_or_none,
    kept,
    once,
    result_or_error,
    told_moved,
)
from sojourn.limits import Ttl
from sojourn.mcp import AsyncMcpCalls
from sojourn.metrics.tenant import TenantMetrics
from sojourn.models import Log, Session, Status
from sojourn.operations import listing, quotas, read, write
from sojourn.operations.admin import administered
from sojourn.operations.core import Operation
from sojourn.operations.flows import Ask, Draft, Pause, edit_flow
from sojourn.operations.listing import Page
from sojourn.operations.rotation import rotate_flow
from sojourn.peek import EventPage, From, peek_flow
from sojourn.quotas import TenantLimits, Usage
from sojourn.settings import Settings
from sojourn.telemetry.observing import Observer, operation_of
from sojourn.tokens.aio import AsyncTokens
from sojourn.transport.asynchronous import AsyncTransport

if TYPE_CHECKING:
    from sojourn.archive import AsyncArchive

__all__ = ["AsyncSessionStore"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")
R = TypeVar("R")


class AsyncSessionStore(Facade[S, AsyncTransport]):
    """Sessions of one tenant and one model in Redis, for one event loop. See `SessionStore` for arguments and methods.

    Example:
        >>> store = AsyncSessionStore("redis://127.0.0.1:6379/0")  # doctest: +SKIP
        >>> session = await store.create(owner="ada", ttl=1800)  # doctest: +SKIP
    """

    @overload
    def __init__(
        self: AsyncSessionStore[Session], url: str | None = None, *, tenant: str | None = None,
        settings: Settings | None = None, actor: str = "", trace_id: str = "", observers: Iterable[Observer] = (),
        cache: Cache | None = None,
    ) -> None: ...  # fmt: skip

    @overload
    def __init__(
        self, url: str | None = None, *, model: type[S], tenant: str | None = None,
        settings: Settings | None = None, actor: str = "", trace_id: str = "", observers: Iterable[Observer] = (),
        cache: Cache | None = None,
    ) -> None: ...  # fmt: skip

    def __init__(
        self, url: str | None = None, *, model: Any = Session, tenant: str | None = None,
        settings: Settings | None = None, actor: str = "", trace_id: str = "", observers: Iterable[Observer] = (),
        cache: Cache | None = None,
    ) -> None:  # fmt: skip
        near = None if cache is None else Near(cache)
        transport = AsyncTransport if near is None else partial(AsyncNearTransport, near)
        super().__init__(url, model, tenant, settings, actor, trace_id, transport, observers, near)

    # One session

    async def create(
        self, /, *, ttl: Ttl | Default = DEFAULT, max_lifetime: Ttl | Default = DEFAULT, **fields: Any
    ) -> S:
        """See `SessionStore.create`."""
        return await self._run(lambda: self._create(ttl, max_lifetime, fields))

    async def get(self, session_id: str) -> S:
        """See `SessionStore.get`."""
        hit = self._hit
        if hit is not None and (found := hit(session_id)) is not None:
            return found  # type: ignore[no-any-return]
        return await self._run(lambda: self._get(session_id))

    async def update(self, session_id: str, /, *, version: int | None = None, **changes: Any) -> S:
        """See `SessionStore.update`."""
        return await self._run(lambda: self._update(session_id, version, changes))

    async def mutate(self, session_id: str, change: Callable[[S], Mapping[str, Any]]) -> S:
        """See `SessionStore.mutate`."""
        return await self._drive(lambda: self._noting(self._mutate(session_id, change)))

    @asynccontextmanager
    async def editing(self, session_id: str) -> AsyncIterator[Draft]:
        """See `SessionStore.editing`."""
        draft = Draft(await self.get(session_id))
        yield draft
        await self._drive(lambda: edit_flow(self._context, self._codec, draft))

    async def touch(self, session_id: str) -> datetime | None:
        """See `SessionStore.touch`."""
        return await self._run(lambda: write.touch(self._context, self.model, session_id))

    async def set_ttl(self, session_id: str, ttl: Ttl) -> S:
        """See `SessionStore.set_ttl`."""
        return await self._run(lambda: write.set_lifetime(self._context, self.model, session_id, ttl))

    async def persist(self, session_id: str) -> S:
        """See `SessionStore.persist`."""
        return await self._run(lambda: write.set_lifetime(self._context, self.model, session_id, None))

    async def increment(self, session_id: str, /, **amounts: int) -> dict[str, int]:
        """See `SessionStore.increment`."""
        return await self._run(lambda: write.increment(self._context, self._codec, session_id, amounts))

    async def append(self, session_id: str, log: Log[E], *entries: E) -> int:
        """See `SessionStore.append`."""
        return await self._run(lambda: write.append(self._context, self.model, session_id, log, entries))

    async def entries(
        self, session_id: str, log: Log[E], *, start: int = 0, count: int | None = None
    ) -> builtins.list[E]:
        """See `SessionStore.entries`."""
        return await self._run(lambda: read.entries(self._context, self.model, session_id, log, start, count))

    async def complete(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """See `SessionStore.complete`."""
        return await self._run(
            lambda: write.end(self._context, self.model, session_id, Status.COMPLETED, version, reason)
        )

    async def fail(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """See `SessionStore.fail`."""
        return await self._run(lambda: write.end(self._context, self.model, session_id, Status.FAILED, version, reason))

    async def terminate(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """See `SessionStore.terminate`."""
        return await self._run(
            lambda: write.end(self._context, self.model, session_id, Status.TERMINATED, version, reason)
        )

    async def delete(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """See `SessionStore.delete`."""
        return await self._run(
            lambda: write.end(self._context, self.model, session_id, Status.DELETED, version, reason)
        )

    async def rotate_id(self, session_id: str, *, version: int | None = None) -> S:
        """See `SessionStore.rotate_id`."""
        return await self._drive(lambda: rotate_flow(self._context, self.model, session_id, version))

    @property
    def tokens(self) -> AsyncTokens[S]:
        """See `SessionStore.tokens`."""
        return AsyncTokens(self)

    # Many sessions

    async def create_many(
        self,
        sessions: Iterable[Mapping[str, Any]],
        *,
        ttl: Ttl | Default = DEFAULT,
        max_lifetime: Ttl | Default = DEFAULT,
    ) -> builtins.list[S]:
        """See `SessionStore.create_many`."""
        given = kept(sessions)
        return all_created(await self._run_many(lambda: self._create_many(given, ttl, max_lifetime), created_or_full))

    async def get_many(self, session_ids: Iterable[str]) -> builtins.list[S | None]:
        """See `SessionStore.get_many`."""
        given = kept(session_ids)
        return await self._run_many(lambda: self._get_many(given), found_or_none)

    async def update_many(
        self, updates: Mapping[str, Mapping[str, Any]]
    ) -> builtins.list[S | SessionError | LimitError]:
        """See `SessionStore.update_many`."""
        return await self._run_many(lambda: self._update_many(updates), result_or_error)

    async def list(
        self,
        *,
        status: str | Iterable[str] | None = None,
        kind: str | None = None,
        owner: str | None = None,
        client_type: str | None = None,
        tag: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        where: Mapping[str, Any] | None = None,
        predicate: Callable[[S], bool] | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[S]:
        """See `SessionStore.list`."""
        wanted = listing.filters(
            self._context, self._codec, status=status, kind=kind, owner=owner, client_type=client_type, tag=tag,
            created_after=created_after, created_before=created_before, where=where,
        )  # fmt: skip
        return await self._drive(
            lambda: self._noting(
                self._settled(lambda: listing.list_flow(self._context, self._codec, wanted, predicate, limit, cursor))
            )
        )

    async def count(
        self,
        *,
        status: str | Iterable[str] | None = None,
        kind: str | None = None,
        owner: str | None = None,
        client_type: str | None = None,
        tag: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> int:
        """See `SessionStore.count`."""
        wanted = listing.filters(
            self._context, self._codec, status=status, kind=kind, owner=owner, client_type=client_type, tag=tag,
            created_after=created_after, created_before=created_before, where=where,
        )  # fmt: skip
        return await self._drive(lambda: self._settled(lambda: listing.count_flow(self._context, wanted)))

    # The tenant

    async def tenant_limits(self) -> TenantLimits:
        """See `SessionStore.tenant_limits`."""
        found: TenantLimits = await self._drive(lambda: self._settled(lambda: once(quotas.read_limits(self._context))))
        return found

    async def set_tenant_limits(self, **limits: Any) -> TenantLimits:
        """See `SessionStore.set_tenant_limits`."""
        return await self._drive(lambda: self._settled(lambda: quotas.set_limits_flow(self._whole_tenant, limits)))

    async def usage(self, *, owner: str | None = None) -> Usage:
        """See `SessionStore.usage`."""
        found: Usage = await self._drive(lambda: self._settled(lambda: once(quotas.usage(self._context, owner))))
        return found

    async def metrics(self) -> TenantMetrics:
        """See `SessionStore.metrics`."""
        found: TenantMetrics = await self._drive(self._metrics)
        return found

    # Cleanup

    async def expire_due(self, *, limit: int | None = None, progress: Progress | None = None) -> DueReport:
        """See `SessionStore.expire_due`."""
        return await self._drive(lambda: self._expire_due(limit, progress))

    async def cleanup_inactive(
        self,
        max_age: Ttl,
        *,
        status: str | Iterable[str] | None = None,
        kind: str | None = None,
        reason: str = "inactive",
        dry_run: bool = False,
        batch: int = BATCH,
        progress: Progress | None = None,
    ) -> CleanupReport:
        """See `SessionStore.cleanup_inactive`."""
        return await self._drive(
            lambda: self._cleanup_inactive(max_age, status, kind, reason, batch, progress, dry_run=dry_run)
        )

    def start_cleanup_scheduler(
        self, interval: Ttl = 60.0, *, max_age: Ttl = None, jitter: float = 0.1
    ) -> CleanupScheduler:
        """See `SessionStore.start_cleanup_scheduler`. It begins when the caller awaits something."""
        return self._start_cleanup(lambda status: TaskRunner(status, self._cleanup_run), interval, max_age, jitter)

    async def _cleanup_run(self, *run: Any) -> None:
        await self._drive(lambda: self._scheduled(*run))

    async def stop_cleanup_scheduler(self, timeout: float = STOP_S) -> bool:  # noqa: ASYNC109
        """See `SessionStore.stop_cleanup_scheduler`."""
        runner: TaskRunner | None = self._scheduler_to_stop(timeout)
        return runner is None or await runner.stop(timeout)

    # Events

    async def events(
        self,
        group: str,
        *,
        consumer: str | None = None,
        start: Start = "new",
        timeout: float | None = None,  # noqa: ASYNC109
        limit: int | None = None,
    ) -> AsyncIterator[Event]:
        """See `SessionStore.events`."""
        held: Taken = []
        await self._open()
        flow = self._events(group, consumer, start, timeout, limit, held)
        result: Any = None
        try:
            while True:
                try:
                    step = flow.send(result)
                except StopIteration:
                    return
                result = None
                if isinstance(step, Event):
                    yield step
                else:
                    result = await self._execute(step)
        except GeneratorExit:
            # The caller has had enough. Should Redis be away, others get the rest after `takeover_after`.
            if held:
                with suppress(StoreError):
                    await self._execute(self._hand_back(group, consumer, held))
            raise

    async def peek_events(self, *, start: From = "recent", cursor: str | None = None, limit: int = 100) -> EventPage:
        """See `SessionStore.peek_events`."""
        return await self._drive(lambda: self._settled(lambda: peek_flow(self._whole_tenant, start, cursor, limit)))

    async def forget_events(self, group: str) -> bool:
        """See `SessionStore.forget_events`."""
        return await self._drive(lambda: self._forget_events(group))

    # MCP sessions

    @property
    def mcp(self) -> AsyncMcpCalls:
        """See `SessionStore.mcp`."""
        return AsyncMcpCalls(self)

    async def administered(self, action: str, /, **detail: Any) -> None:
        """See `SessionStore.administered`."""
        return await self._run(lambda: administered(self._whole_tenant, action, **detail))

    # The archive

    @property
    def archive(self) -> AsyncArchive[S]:
        """See `SessionStore.archive`."""
        from sojourn.archive import AsyncArchive

        return AsyncArchive(self.settings, self._whole_tenant.models, model=self.model, tenant=self.tenant)

    async def restore(
        self, session_id: str, *, version: int | None = None, at: datetime | None = None,
        ttl: Ttl | Default = DEFAULT, max_lifetime: Ttl | Default = DEFAULT,
    ) -> S:  # fmt: skip
        """See `SessionStore.restore`."""
        return await self._drive(lambda: self._restore(session_id, version, at, ttl, max_lifetime))

    # How it runs

    # Each call goes through one of these three. The operation is called as the public method that calls, which is one
    # frame up; nothing is looked at unless somebody observes.

    def _run(self, build: Callable[[], Operation[R]]) -> Awaitable[R]:
        observers = self._shared.observers
        if observers is None:
            return self._perform(build)
        return observers.await_call(operation_of(sys._getframe(1).f_code), self.tenant, self._perform, build)  # noqa: SLF001

    def _run_many(
        self,
        build: Callable[[], Sequence[Operation[R]]],
        finish: Callable[[Operation[R], builtins.list[Any]], E],
    ) -> Awaitable[builtins.list[E]]:
        observers = self._shared.observers
        if observers is None:
            return self._perform_many(build, finish)
        perform = partial(self._perform_many, finish=finish)
        return observers.await_call(operation_of(sys._getframe(1).f_code), self.tenant, perform, build)  # noqa: SLF001

    def _drive(self, build: Callable[[], Generator[Operation[Any] | Pause | Ask, Any, R]]) -> Awaitable[R]:
        observers = self._shared.observers
        if observers is None:
            return self._perform_flow(build)
        return observers.await_call(operation_of(sys._getframe(1).f_code), self.tenant, self._perform_flow, build)  # noqa: SLF001

    async def _perform(self, build: Callable[[], Operation[R]]) -> R:
        if not self._ready:
            build()  # what is not acceptable is told without asking anybody
            await self._open()
        looked_in = self._context.keys
        try:
            return await self._execute(build())
        except ASTRAY as error:
            if not await self._follow(self._relocated(error, looked_in)):
                raise
        await self._open()
        return await self._execute(build())

    async def _perform_many(
        self,
        build: Callable[[], Sequence[Operation[R]]],
        finish: Callable[[Operation[R], builtins.list[Any]], E],
    ) -> builtins.list[E]:
        if not self._ready:
            build()  # what is not acceptable is told without asking anybody
            await self._open()
        looked_in = self._context.keys
        found = await self._batch(build(), finish)
        doubtful = astray(found)
        moved: bool = bool(doubtful) and await self._follow(self._relocated(told_moved(found), looked_in))
        if moved:
            await self._open()
            fresh = build()
            again = await self._batch([fresh[index] for index in doubtful], finish)
            for index, each in zip(doubtful, again, strict=True):
                found[index] = each
        return found

    async def _perform_flow(self, build: Callable[[], Generator[Operation[Any] | Pause | Ask, Any, R]]) -> R:
        if not self._ready:
            checked(build())
            await self._open()
        looked_in = self._context.keys
        try:
            return await self._follow(build())
        except ASTRAY as error:
            if not await self._follow(self._relocated(error, looked_in)):
                raise
        await self._open()
        return await self._follow(build())

    async def _open(self) -> None:
        if not self._ready:
            await self._follow(self._opening())

    async def _batch(
        self, operations: Sequence[Operation[R]], finish: Callable[[Operation[R], builtins.list[Any]], E]
    ) -> builtins.list[E]:
        found = []
        for operation, replies in zip(operations, await self._shared.transport.execute(operations), strict=True):
            if quotas.needs_room(replies):
                operation, replies = await self._in_room(operation, replies)
            found.append(finish(operation, replies))
        return found

    async def _execute(self, operation: Operation[R]) -> R:
        replies = await self._shared.transport.execute_one(operation)
        if quotas.needs_room(replies):
            operation, replies = await self._in_room(operation, replies)
        return operation.parse(replies)

    async def _in_room(
        self, operation: Operation[R], replies: builtins.list[Any]
    ) -> tuple[Operation[R], builtins.list[Any]]:
        return await self._follow(quotas.in_room_flow(self._context, operation, replies))

    async def _follow(self, flow: Generator[Operation[Any] | Pause | Ask, Any, R]) -> R:
        result: Any = None
        failure: Exception | None = None
        while True:
            try:
                step = flow.send(result) if failure is None else flow.throw(failure)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            result = failure = None
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
                continue
            try:
                result = await (asyncio.to_thread(step.function) if isinstance(step, Ask) else self._execute(step))
            except (SessionError, LimitError) as error:
                failure = error

    async def close(self) -> None:
        """See `SessionStore.close`."""
        try:
            for runner in self._shared.cleaners.values():
                await runner.stop(STOP_S)
            if self._shared.observers is not None:
                await asyncio.to_thread(self._shared.observers.flush)
        finally:
            await self._shared.transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
