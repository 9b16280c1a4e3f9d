"""The synchronous client. `aio.AsyncSessionStore` is its twin: the same names and signatures, awaited."""

from __future__ import annotations

import builtins
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from sojourn.cache.near import Near
from sojourn.cache.settings import Cache
from sojourn.cache.transports import NearTransport
from sojourn.cleanup.report import CleanupReport, DueReport, Progress
from sojourn.cleanup.run import BATCH
from sojourn.cleanup.runners import ThreadRunner
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
from sojourn.mcp import McpCalls
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
from sojourn.tokens.client import Tokens
from sojourn.transport.blocking import Transport

if TYPE_CHECKING:
    from sojourn.archive import Archive

__all__ = ["SessionStore"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")
R = TypeVar("R")


class SessionStore(Facade[S, Transport]):
    """Sessions of one tenant and one model in Redis. Safe to share between threads.

    Every method raises `StoreUnavailable` if Redis does not answer in time, and `InvalidInput` for what it cannot
    accept; then nothing was written.

    Args:
        url: the Redis to use; None: what the settings say.
        model: the model of the sessions; `Session` sees those of every model.
        tenant: whose sessions; None: what the settings say.
        settings: all settings; None: read from environment and ``sojourn.yaml``.
        actor: who acts, for the events.
        trace_id: in which trace, for the events.
        observers: who is told of each call; see `sojourn.telemetry`.
        cache: keep sessions that were read in this process, for as long as nobody changes them; None: read each time.

    Raises:
        SettingsError: the settings are no good.
        InvalidModel: the model cannot be stored.

    Example:
        >>> store = SessionStore("redis://127.0.0.1:6379/0")  # doctest: +SKIP
        >>> session = store.create(owner="ada", ttl=1800)  # doctest: +SKIP
        >>> store.get(session.id).owner  # doctest: +SKIP
        'ada'
    """

    @overload
    def __init__(
        self: SessionStore[Session], url: str | None = None, *, tenant: str | None = None,
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
        transport = Transport if near is None else partial(NearTransport, near)
        super().__init__(url, model, tenant, settings, actor, trace_id, transport, observers, near)

    # One session

    def create(self, /, *, ttl: Ttl | Default = DEFAULT, max_lifetime: Ttl | Default = DEFAULT, **fields: Any) -> S:
        """A new session with these fields.

        Args:
            ttl: how long it lives: seconds, a timedelta, or None for ever; by default what the settings say.
            max_lifetime: the longest that it can be kept alive.
            **fields: fields of the model.

        Raises:
            InvalidField: a field is unknown, missing, of a wrong type or too large.
            InvalidTtl: the TTL is zero, negative or too long.
            StoreFull: Redis is out of memory.

        Example:
            >>> store.create(owner="ada", tags=["beta"], ttl=None).expires_at is None  # doctest: +SKIP
            True
        """
        return self._run(lambda: self._create(ttl, max_lifetime, fields))

    def get(self, session_id: str) -> S:
        """The session. Slides its deadline where the settings say that sessions slide.

        Raises:
            SessionNotFound: there is none, it is past its deadline, or it was deleted.
            SessionCorrupt: its record was damaged by other hands.
            WrongKind: it is of another model.

        Example:
            >>> store.get(session.id).status  # doctest: +SKIP
            <Status.PENDING: 'pending'>
        """
        hit = self._hit
        if hit is not None and (found := hit(session_id)) is not None:
            return found  # type: ignore[no-any-return]
        return self._run(lambda: self._get(session_id))

    def update(self, session_id: str, /, *, version: int | None = None, **changes: Any) -> S:
        """Change the named fields, and no others.

        Args:
            session_id: which session.
            version: the version it must still have; None: whichever it has.
            **changes: fields and their new values.

        Raises:
            SessionNotFound, SessionEnded: it can no longer be changed.
            VersionConflict: it is at another version.
            InvalidTransition: the model does not allow that change of status.
            InvalidField: a field is unknown, read-only, of a wrong type or too large.

        Example:
            >>> store.update(session.id, version=session.version, status="in_progress")  # doctest: +SKIP
        """
        return self._run(lambda: self._update(session_id, version, changes))

    def mutate(self, session_id: str, change: Callable[[S], Mapping[str, Any]]) -> S:
        """Read the session, and write the changed fields that `change` returns; again if somebody else came first.

        Raises:
            VersionConflict: somebody else came first 20 times in a row.
            SojournError: what `get` and `update` raise.

        Example:
            >>> store.mutate(session.id, lambda s: {"tags": (*s.tags, "seen")})  # doctest: +SKIP
        """
        return self._drive(lambda: self._noting(self._mutate(session_id, change)))

    @contextmanager
    def editing(self, session_id: str) -> Iterator[Draft]:
        """Edit a session in a block; what was assigned is written at its end, unless it raises.

        Where another writer came first, the changes stand if they are to other fields than that writer's.

        Raises:
            VersionConflict: another writer changed one of the same fields.
            SojournError: what `get` and `update` raise.

        Example:
            >>> with store.editing(session.id) as draft:  # doctest: +SKIP
            ...     draft.owner = "ada"
        """
        draft = Draft(self.get(session_id))
        yield draft
        self._drive(lambda: edit_flow(self._context, self._codec, draft))

    def touch(self, session_id: str) -> datetime | None:
        """Note that the session was used, and move its deadline to now + ttl; the deadline is the result.

        Raises:
            SessionNotFound, SessionEnded: it can no longer be kept alive.
        """
        return self._run(lambda: write.touch(self._context, self.model, session_id))

    def set_ttl(self, session_id: str, ttl: Ttl) -> S:
        """Give the session another TTL, from now on; it still ends when its max_lifetime is over.

        Raises:
            InvalidTtl: the TTL is zero, negative or too long.
            SessionNotFound, SessionEnded: it can no longer be kept alive.
        """
        return self._run(lambda: write.set_lifetime(self._context, self.model, session_id, ttl))

    def persist(self, session_id: str) -> S:
        """Let the session live for ever, or as long as its max_lifetime allows.

        Raises:
            SessionNotFound, SessionEnded: it can no longer be kept alive.
        """
        return self._run(lambda: write.set_lifetime(self._context, self.model, session_id, None))

    def increment(self, session_id: str, /, **amounts: int) -> dict[str, int]:
        """Add to counters; their new values are the result. Never conflicts, and loses nothing to other writers.

        Raises:
            InvalidField: not a counter of the model, or not an amount.
            CounterOutOfRange: a counter would leave the range of exact integers.
            SessionNotFound, SessionEnded: it can no longer be changed.

        Example:
            >>> store.increment(session.id, processed_files=1)  # doctest: +SKIP
            {'processed_files': 1}
        """
        return self._run(lambda: write.increment(self._context, self._codec, session_id, amounts))

    def append(self, session_id: str, log: Log[E], *entries: E) -> int:
        """Append entries to a log; how many it has had with these is the result.

        Raises:
            InvalidField: an entry is of a wrong type or too large.
            LogFull: the log, not a bounded one, would exceed its limit.
            SessionNotFound, SessionEnded: it can no longer be changed.

        Example:
            >>> store.append(session.id, DocumentationSession.notes, note)  # doctest: +SKIP
            1
        """
        return self._run(lambda: write.append(self._context, self.model, session_id, log, entries))

    def entries(self, session_id: str, log: Log[E], *, start: int = 0, count: int | None = None) -> builtins.list[E]:
        """Up to `count` entries of a log from the `start`th on, which is 0 for the session's very first.

        A bounded log has let go of its oldest: of those that were asked for, the ones that Redis has are the result.
        The archive has all (``store.archive.entries``). A long log is read 2,000 entries at a time, so that nobody
        waits for it: what is appended meanwhile is not in the result.

        Raises:
            SessionNotFound: there is no such session.
            WrongKind: it is of another model.
            SessionCorrupt: an entry cannot be read.
        """
        return self._drive(lambda: read.entries_flow(self._context, self.model, session_id, log, start, count))

    def complete(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """End the session as completed.

        Raises:
            SessionNotFound, SessionEnded: it is no longer live.
            VersionConflict: it is at another version than `version`.
            InvalidTransition: the model does not allow it.
        """
        return self._run(lambda: write.end(self._context, self.model, session_id, Status.COMPLETED, version, reason))

    def fail(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """End the session as failed. Raises what `complete` does."""
        return self._run(lambda: write.end(self._context, self.model, session_id, Status.FAILED, version, reason))

    def terminate(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """End the session as terminated. Raises what `complete` does."""
        return self._run(lambda: write.end(self._context, self.model, session_id, Status.TERMINATED, version, reason))

    def delete(self, session_id: str, *, version: int | None = None, reason: str | None = None) -> S:
        """Delete the session, ended or not: nobody finds it any more. Its last state is the result, and is archived.

        Raises:
            SessionNotFound: there is no such session.
            VersionConflict: it is at another version than `version`.
        """
        return self._run(lambda: write.end(self._context, self.model, session_id, Status.DELETED, version, reason))

    def rotate_id(self, session_id: str, *, version: int | None = None) -> S:
        """Give the session another id, so that whoever had learned the old one is left with nothing.

        The record, its logs and its deadline go on under the new id. All its tokens end. The old id is no session's
        any more, and never will be; what the archive holds of it ends with the rotation. Secrets are bound to the id:
        they are sealed anew, for which their keys are needed.

        Args:
            session_id: which session.
            version: the version that it must still have; None: whichever it has.

        Raises:
            SessionNotFound, SessionEnded: it is no longer live, or was given another id before.
            SecretUnreadable: the key of one of its secrets is not in the keyring; give it a new value, or None, first.
            VersionConflict: it is at another version than `version`.
            StoreFull: Redis is out of memory.

        Example:
            >>> store.rotate_id(session.id).id == session.id  # doctest: +SKIP
            False
        """
        return self._drive(lambda: rotate_flow(self._context, self.model, session_id, version))

    @property
    def tokens(self) -> Tokens[S]:
        """Access and refresh tokens of the sessions.

        Example:
            >>> pair = store.tokens.issue(session.id)  # doctest: +SKIP
            >>> store.tokens.verify(pair.access).id == session.id  # doctest: +SKIP
            True
        """
        return Tokens(self)

    # Many sessions

    def create_many(
        self,
        sessions: Iterable[Mapping[str, Any]],
        *,
        ttl: Ttl | Default = DEFAULT,
        max_lifetime: Ttl | Default = DEFAULT,
    ) -> builtins.list[S]:
        """A new session for each mapping of fields, in one round trip.

        Raises:
            InvalidField: one of them is no good; none was created.
            StoreFull: Redis ran out of memory on the way; its `created` are those that there are nevertheless.
        """
        given = kept(sessions)
        return all_created(self._run_many(lambda: self._create_many(given, ttl, max_lifetime), created_or_full))

    def get_many(self, session_ids: Iterable[str]) -> builtins.list[S | None]:
        """The sessions in the order of their ids, in one round trip; None for those that `get` would not find.

        Raises:
            SessionCorrupt, WrongKind: one of them is damaged, or of another model; `list` passes over such.
        """
        given = kept(session_ids)
        return self._run_many(lambda: self._get_many(given), found_or_none)

    def update_many(self, updates: Mapping[str, Mapping[str, Any]]) -> builtins.list[S | SessionError | LimitError]:
        """Named fields of several sessions, in one round trip; ``version`` among them is the one expected.

        Each update stands or falls for itself: the results, in order, are the sessions, or the errors.

        Raises:
            InvalidField: one of them is no good; none was written.
        """
        return self._run_many(lambda: self._update_many(updates), result_or_error)

    def list(
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
        """A page of the tenant's sessions that match all of the filters, newest first.

        Args:
            status: one or several; by default all that `get` finds, so neither expired nor deleted ones.
            kind: by default the model's own; all kinds for a store of `Session`.
            owner: its owner.
            client_type: its client type.
            tag: one of its tags.
            created_after: created at or after this moment.
            created_before: created at or before this moment.
            where: indexed fields of the model, and the value that each must have.
            predicate: a function that says whether a session is wanted.
            limit: sessions on the page, at most the setting ``limits.batch``.
            cursor: where the page before left off.

        Raises:
            InvalidField: a filter is no good.
            InvalidCursor: the cursor is damaged, or comes from another query.

        Example:
            >>> store.list(owner="ada", status="pending").sessions  # doctest: +SKIP
        """
        wanted = listing.filters(
            self._context, self._codec, status=status, kind=kind, owner=owner, client_type=client_type, tag=tag,
            created_after=created_after, created_before=created_before, where=where,
        )  # fmt: skip
        return self._drive(
            lambda: self._noting(
                self._settled(lambda: listing.list_flow(self._context, self._codec, wanted, predicate, limit, cursor))
            )
        )

    def count(
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
        """How many sessions match all of the filters, which are those of `list`."""
        wanted = listing.filters(
            self._context, self._codec, status=status, kind=kind, owner=owner, client_type=client_type, tag=tag,
            created_after=created_after, created_before=created_before, where=where,
        )  # fmt: skip
        return self._drive(lambda: self._settled(lambda: listing.count_flow(self._context, wanted)))

    # The tenant

    def tenant_limits(self) -> TenantLimits:
        """The tenant's limits, as they are in force for all clients.

        Example:
            >>> store.tenant_limits().sessions  # doctest: +SKIP
            1000
        """
        found: TenantLimits = self._drive(lambda: self._settled(lambda: once(quotas.read_limits(self._context))))
        return found

    def set_tenant_limits(self, **limits: Any) -> TenantLimits:
        """Set the named limits of the tenant, for all clients; None removes one. All of them are the result.

        When it returns, the sessions that were there before are counted. What is over a new limit stays; nothing is
        added until there is room again, or, where the policy says so, the least recently used sessions end for it.

        Args:
            **limits: fields of `TenantLimits`.

        Raises:
            InvalidField: there is no such limit, or it cannot have that value.

        Example:
            >>> store.set_tenant_limits(sessions=1000, owner_sessions=20, creates="10/s:50")  # doctest: +SKIP
        """
        return self._drive(lambda: self._settled(lambda: quotas.set_limits_flow(self._whole_tenant, limits)))

    def usage(self, *, owner: str | None = None) -> Usage:
        """What the tenant takes of its limits, or one owner of them.

        Example:
            >>> store.usage(owner="ada").sessions  # doctest: +SKIP
            3
        """
        found: Usage = self._drive(lambda: self._settled(lambda: once(quotas.usage(self._context, owner))))
        return found

    def metrics(self) -> TenantMetrics:
        """How the tenant's sessions are doing: numbers that Redis keeps, exact whatever clients and workers there are.

        Example:
            >>> store.metrics().active_sessions  # doctest: +SKIP
            3
        """
        found: TenantMetrics = self._drive(self._metrics)
        return found

    # Cleanup

    def expire_due(self, *, limit: int | None = None, progress: Progress | None = None) -> DueReport:
        """Claim what is past its deadline, and remove what has ended and was kept long enough: what workers do.

        For services that run no worker. It claims this tenant's sessions only, also where several share a partition; a
        deployment of many tenants calls it for each. The work is done in small steps, between which Redis serves
        others. Whether or not anybody calls this, no session is found past its deadline.

        Args:
            limit: sessions to claim, and to remove, at most; None: all.
            progress: is told after each step how many are done, and None, for it is not known of how many.

        Raises:
            StoreUnavailable: Redis did not answer in time; what was done until then stays done.

        Example:
            >>> store.expire_due().expired  # doctest: +SKIP
            12
        """
        return self._drive(lambda: self._expire_due(limit, progress))

    def cleanup_inactive(
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
        """End, as ``terminated``, live sessions that nobody has used for so long, also those that never expire.

        Used is what was created, touched or written; reading counts where sessions slide (the setting ``sliding``) and
        have a TTL, and elsewhere not, for it leaves no trace. Redis's clock decides, and each session is looked at and
        ended in one step: one that is used meanwhile stays. One that cannot be ended stops none of the others.

        Args:
            max_age: for how long: seconds or a timedelta.
            status: only ``pending`` or only ``in_progress`` ones; by default both.
            kind: by default the model's own; all kinds for a store of `Session`.
            reason: why, for the sessions and their events.
            dry_run: end nothing, but tell what would.
            batch: sessions that one script ends at most, 1 to 100. More take less time, and keep others waiting longer.
            progress: is told after each step how many are done, and of how many.

        Raises:
            InvalidTtl: the age is none.
            InvalidField: a filter or the reason is no good.
            StoreUnavailable: Redis did not answer in time; what was done until then stays done.

        Example:
            >>> store.cleanup_inactive(timedelta(days=7)).ended  # doctest: +SKIP
            3
        """
        return self._drive(
            lambda: self._cleanup_inactive(max_age, status, kind, reason, batch, progress, dry_run=dry_run)
        )

    def start_cleanup_scheduler(
        self, interval: Ttl = 60.0, *, max_age: Ttl = None, jitter: float = 0.1
    ) -> CleanupScheduler:
        """Have `expire_due`, and with a `max_age` `cleanup_inactive`, run by itself: at once, and then every so often.

        For services that run no worker. It runs in a thread that does not keep the process from ending; of the
        asynchronous store in a task of the running event loop. Where Redis is away it tries again soon, then later and
        later. Each run that did something, or failed, is one line of the logger ``sojourn.cleanup``. A process that
        forks others starts it in those. Any number of services may do so for one tenant.

        Args:
            interval: seconds, or a timedelta, from the end of one run to the next.
            max_age: for how long a session is not used before it ends; None: inactive sessions stay.
            jitter: by what part of it each wait is longer or shorter.

        Raises:
            InvalidInput: one is running for this tenant, an argument is no good, or no event loop is running.

        Example:
            >>> store.start_cleanup_scheduler(30, max_age=timedelta(days=7)).running  # doctest: +SKIP
            True
        """
        return self._start_cleanup(lambda status: ThreadRunner(status, self._cleanup_run), interval, max_age, jitter)

    def _cleanup_run(self, *run: Any) -> None:
        self._drive(lambda: self._scheduled(*run))

    def stop_cleanup_scheduler(self, timeout: float = STOP_S) -> bool:
        """Stop the tenant's cleanup after the step that is under way; whether it came to rest in time, or did not run.

        One that does not in that many seconds is cancelled, if it is a task, and else ends as soon as it can. Closing
        the store stops those of all its tenants.
        """
        runner: ThreadRunner | None = self._scheduler_to_stop(timeout)
        return runner is None or runner.stop(timeout)

    # Events

    def events(
        self,
        group: str,
        *,
        consumer: str | None = None,
        start: Start = "new",
        timeout: float | None = None,
        limit: int | None = None,
    ) -> Iterator[Event]:
        """The tenant's events as a consumer group of your own: each goes to one consumer of the group, at least once.

        An event is acknowledged when the next one is asked for. Whoever leaves the loop hands back what is not
        acknowledged; what a consumer had that died, or was slower than the setting ``takeover_after``, goes to another.
        A group keeps its events from being trimmed: see `forget_events`.

        Args:
            group: the group's name.
            consumer: this consumer's name; by default host and process.
            start: where a new group begins: at ``"new"`` events, or at the ``"oldest"`` that are still there.
            timeout: seconds without an event after which the iteration ends; None: never.
            limit: events after which it ends; None: never.

        Raises:
            InvalidName: not a group's name.

        Example:
            >>> for event in store.events("billing"):  # doctest: +SKIP
            ...     print(event.type, event.session_id)
        """
        held: Taken = []
        self._open()
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
                    result = self._execute(step)
        except GeneratorExit:
            # The caller has had enough. Should Redis be away, others get the rest after `takeover_after`.
            if held:
                with suppress(StoreError):
                    self._execute(self._hand_back(group, consumer, held))
            raise

    def peek_events(self, *, start: From = "recent", cursor: str | None = None, limit: int = 100) -> EventPage:
        """Look at the tenant's events without taking them from anybody; those that all groups have read may be gone.

        Args:
            start: without a cursor: the most ``"recent"`` ones, those from the ``"oldest"`` on, or none, but a cursor
                to ``"new"`` ones.
            cursor: go on after that page.
            limit: events on the page, at most 10,000.

        Raises:
            InvalidCursor: not a cursor that a page gave out.

        Example:
            >>> [event.type for event in store.peek_events(limit=2).events]  # doctest: +SKIP
            ['created', 'expired']
        """
        return self._drive(lambda: self._settled(lambda: peek_flow(self._whole_tenant, start, cursor, limit)))

    def forget_events(self, group: str) -> bool:
        """Remove a group, so that it no longer keeps events from being trimmed; whether there was one."""
        return self._drive(lambda: self._forget_events(group))

    # MCP sessions

    @property
    def mcp(self) -> McpCalls:
        """What is done with MCP sessions: recording executions of tools, and what came of them.

        Raises:
            InvalidInput: the store's model is none of MCP sessions.

        Example:
            >>> store.mcp.metrics(session.id).total  # doctest: +SKIP
            3
        """
        return McpCalls(self)

    def administered(self, action: str, /, **detail: Any) -> None:
        """Tell that an operator did something to this tenant: an event ``administered``, which the archive audits.

        Args:
            action: what was done, as ``noun.verb``.
            **detail: with what; JSON values, and never a secret.

        Raises:
            InvalidField: the action is not of that form, or the detail is no JSON, or too large.

        Example:
            >>> store.acting(actor="ada").administered("invoices.purge", count=12)  # doctest: +SKIP
        """
        return self._run(lambda: administered(self._whole_tenant, action, **detail))

    # The archive

    @property
    def archive(self) -> Archive[S]:
        """The archive of the same sessions, where they stay after Redis has let go of them.

        Raises:
            SettingsError: no archive is set.
            SojournError: the packages of the extra ``worker`` are missing.

        Example:
            >>> store.archive.list(owner="ada", status="expired").sessions  # doctest: +SKIP
        """
        from sojourn.archive import Archive

        return Archive(self.settings, self._whole_tenant.models, model=self.model, tenant=self.tenant)

    def restore(
        self, session_id: str, *, version: int | None = None, at: datetime | None = None,
        ttl: Ttl | Default = DEFAULT, max_lifetime: Ttl | Default = DEFAULT,
    ) -> S:  # fmt: skip
        """Make an earlier state of a session, read from the archive, its newest version, live, ended or not.

        A state at which it had ended gets the status that it had until then. Logs keep all that was appended to them.

        Args:
            session_id: which session.
            version: which version; neither this nor `at`: as it was last archived.
            at: the moment whose state it is to have.
            ttl: how long it lives from now on; by default as long as that state said.
            max_lifetime: the longest that it can be kept alive, from now on.

        Raises:
            SessionNotFound: the archive does not hold the session.
            VersionNotFound: it does not hold what leads back to that state.
            WrongKind: it is of another model.
            SettingsError: no archive is set.
            ArchiveUnavailable: the archive did not answer in time.

        Example:
            >>> store.restore(session.id, version=3, ttl=3600).version  # doctest: +SKIP
            8
        """
        return self._drive(lambda: self._restore(session_id, version, at, ttl, max_lifetime))

    # How it runs

    # Each call goes through one of these three. The operation is called as the public method that calls, which is one
    # frame up; nothing is looked at unless somebody observes.

    def _run(self, build: Callable[[], Operation[R]]) -> R:
        observers = self._shared.observers
        if observers is None:
            return self._perform(build)
        return observers.call(operation_of(sys._getframe(1).f_code), self.tenant, self._perform, build)  # noqa: SLF001

    def _run_many(
        self,
        build: Callable[[], Sequence[Operation[R]]],
        finish: Callable[[Operation[R], builtins.list[Any]], E],
    ) -> builtins.list[E]:
        observers = self._shared.observers
        if observers is None:
            return self._perform_many(build, finish)
        perform = partial(self._perform_many, finish=finish)
        return observers.call(operation_of(sys._getframe(1).f_code), self.tenant, perform, build)  # noqa: SLF001

    def _drive(self, build: Callable[[], Generator[Operation[Any] | Pause | Ask, Any, R]]) -> R:
        observers = self._shared.observers
        if observers is None:
            return self._perform_flow(build)
        return observers.call(operation_of(sys._getframe(1).f_code), self.tenant, self._perform_flow, build)  # noqa: SLF001

    def _perform(self, build: Callable[[], Operation[R]]) -> R:
        """Execute the operation that `build` makes once it is known where the tenant's keys are."""
        if self._opened_at != self._shared.moves:
            build()  # what is not acceptable is told without asking anybody
            self._open()
        looked_in = self._context.keys
        try:
            return self._execute(build())
        except ASTRAY as error:
            if not self._follow(self._relocated(error, looked_in)):
                raise
        self._open()
        return self._execute(build())

    def _perform_many(
        self,
        build: Callable[[], Sequence[Operation[R]]],
        finish: Callable[[Operation[R], builtins.list[Any]], E],
    ) -> builtins.list[E]:
        if not self._ready:
            build()  # what is not acceptable is told without asking anybody
            self._open()
        looked_in = self._context.keys
        found = self._batch(build(), finish)
        doubtful = astray(found)
        moved: bool = bool(doubtful) and self._follow(self._relocated(told_moved(found), looked_in))
        if moved:
            self._open()
            fresh = build()
            again = self._batch([fresh[index] for index in doubtful], finish)
            for index, each in zip(doubtful, again, strict=True):
                found[index] = each
        return found

    def _perform_flow(self, build: Callable[[], Generator[Operation[Any] | Pause | Ask, Any, R]]) -> R:
        if not self._ready:
            checked(build())
            self._open()
        looked_in = self._context.keys
        try:
            return self._follow(build())
        except ASTRAY as error:
            if not self._follow(self._relocated(error, looked_in)):
                raise
        self._open()
        return self._follow(build())

    def _open(self) -> None:
        if not self._ready:
            self._follow(self._opening())

    def _batch(
        self, operations: Sequence[Operation[R]], finish: Callable[[Operation[R], builtins.list[Any]], E]
    ) -> builtins.list[E]:
        found = []
        for operation, replies in zip(operations, self._shared.transport.execute(operations), strict=True):
            if quotas.needs_room(replies):
                operation, replies = self._in_room(operation, replies)
            found.append(finish(operation, replies))
        return found

    def _execute(self, operation: Operation[R]) -> R:
        replies = self._shared.transport.execute_one(operation)
        if operation.source is not None and quotas.needs_room(replies):
            operation, replies = self._in_room(operation, replies)
        return operation.parse(replies)

    def _in_room(self, operation: Operation[R], replies: builtins.list[Any]) -> tuple[Operation[R], builtins.list[Any]]:
        """An operation and its replies, once there was room for it within the tenant's limits."""
        return self._follow(quotas.in_room_flow(self._context, operation, replies))

    def _follow(self, flow: Generator[Operation[Any] | Pause | Ask, Any, R]) -> R:
        result: Any = None
        failure: Exception | None = None
        while True:
            try:
                step = flow.send(result) if failure is None else flow.throw(failure)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            result = failure = None
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                continue
            try:
                result = step.function() if isinstance(step, Ask) else self._execute(step)
            except (SessionError, LimitError) as error:
                failure = error

    def close(self) -> None:
        """Close the connections; those of views made by `for_tenant` and `acting` are the same ones."""
        for runner in self._shared.cleaners.values():
            runner.stop(STOP_S)
        if self._shared.observers is not None:
            self._shared.observers.flush()
        self._shared.transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
