"""Reading the archive from an event loop: the twin of `reader.Archive`, with the same names and signatures, awaited."""

from __future__ import annotations

import asyncio
import builtins
import copy
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, Self, TypeVar, overload

from sojourn.archive.audit import Audit, AuditPage, ChainReport
from sojourn.archive.reader import Archive
from sojourn.codec import Models
from sojourn.events import Event
from sojourn.models import Log, Session
from sojourn.operations.listing import Page
from sojourn.settings import Settings

__all__ = ["AsyncArchive", "AsyncAudit"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")


class AsyncAudit:
    """The audit trail of one tenant. See `Audit` for arguments and methods.

    Example:
        >>> (await store.archive.audit.verify()).is_sound  # doctest: +SKIP
        True
    """

    def __init__(self, settings: Settings, *, tenant: str | None = None) -> None:
        self._audit = Audit(settings, tenant=tenant)

    @property
    def settings(self) -> Settings:
        """See `Audit.settings`."""
        return self._audit.settings

    @property
    def tenant(self) -> str:
        """See `Audit.tenant`."""
        return self._audit.tenant

    def __repr__(self) -> str:
        return f"Async{self._audit!r}"

    async def list(
        self,
        *,
        action: str | Iterable[str] | None = None,
        actor: str | None = None,
        session_id: str | None = None,
        trace_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> AuditPage:
        """See `Audit.list`."""
        return await asyncio.to_thread(
            self._audit.list, action=action, actor=actor, session_id=session_id, trace_id=trace_id, since=since,
            until=until, limit=limit, cursor=cursor,
        )  # fmt: skip

    async def verify(
        self, *, expect: str | None = None, progress: Callable[[int, int], None] | None = None
    ) -> ChainReport:
        """See `Audit.verify`; `progress` is called in another thread."""
        return await asyncio.to_thread(self._audit.verify, expect=expect, progress=progress)

    async def verify_all(self, *, progress: Callable[[int, int], None] | None = None) -> tuple[ChainReport, ...]:
        """See `Audit.verify_all`; `progress` is called in another thread."""
        return await asyncio.to_thread(self._audit.verify_all, progress=progress)


class AsyncArchive(Generic[S]):
    """The archived sessions of one tenant and one model. See `Archive` for arguments and methods.

    Each call is made in a thread of asyncio's own, so the loop goes on meanwhile.

    Example:
        >>> archive = AsyncArchive("postgresql://ada:secret@db/sojourn")  # doctest: +SKIP
        >>> (await archive.get("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")).end_reason  # doctest: +SKIP
        'deadline'
    """

    @overload
    def __init__(
        self: AsyncArchive[Session], source: Settings | str | None = None, models: Models | None = None, *,
        tenant: str | None = None,
    ) -> None: ...  # fmt: skip

    @overload
    def __init__(
        self, source: Settings | str | None = None, models: Models | None = None, *, model: type[S],
        tenant: str | None = None,
    ) -> None: ...  # fmt: skip

    def __init__(
        self, source: Settings | str | None = None, models: Models | None = None, *, model: Any = Session,
        tenant: str | None = None,
    ) -> None:  # fmt: skip
        self._archive: Archive[S] = Archive(source, models, model=model, tenant=tenant)

    @property
    def settings(self) -> Settings:
        """See `Archive.settings`."""
        return self._archive.settings

    @property
    def tenant(self) -> str:
        """See `Archive.tenant`."""
        return self._archive.tenant

    @property
    def model(self) -> type[S]:
        """See `Archive.model`."""
        return self._archive.model

    @property
    def audit(self) -> AsyncAudit:
        """See `Archive.audit`."""
        return AsyncAudit(self.settings, tenant=self.tenant)

    def __repr__(self) -> str:
        return f"Async{self._archive!r}"

    def for_tenant(self, tenant: str) -> Self:
        """See `Archive.for_tenant`."""
        view = copy.copy(self)
        view._archive = self._archive.for_tenant(tenant)  # noqa: SLF001
        return view

    async def get(self, session_id: str, *, tenant: str | None = None) -> S:
        """See `Archive.get`."""
        return await asyncio.to_thread(self._archive.get, session_id, tenant=tenant)

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
        """See `Archive.list`; the predicate is called in another thread."""
        return await asyncio.to_thread(
            self._archive.list, status=status, kind=kind, owner=owner, client_type=client_type, tag=tag,
            created_after=created_after, created_before=created_before, where=where, predicate=predicate, limit=limit,
            cursor=cursor,
        )  # fmt: skip

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
        """See `Archive.count`."""
        return await asyncio.to_thread(
            self._archive.count, status=status, kind=kind, owner=owner, client_type=client_type, tag=tag,
            created_after=created_after, created_before=created_before, where=where,
        )  # fmt: skip

    async def entries(
        self, session_id: str, log: Log[E], *, start: int = 0, count: int | None = None
    ) -> builtins.list[E]:
        """See `Archive.entries`."""
        return await asyncio.to_thread(self._archive.entries, session_id, log, start=start, count=count)

    async def restore(self, session_id: str, *, version: int | None = None, at: datetime | None = None) -> S:
        """See `Archive.restore`."""
        return await asyncio.to_thread(self._archive.restore, session_id, version=version, at=at)

    async def history(self, session_id: str) -> builtins.list[Event]:
        """See `Archive.history`."""
        return await asyncio.to_thread(self._archive.history, session_id)

    async def counts(self) -> dict[str, dict[str, int]]:
        """See `Archive.counts`."""
        return await asyncio.to_thread(self._archive.counts)
