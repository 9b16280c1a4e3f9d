"""Reading the archive."""

from __future__ import annotations

import builtins
import copy
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

from sojourn.archive.database import connected, statement
from sojourn.archive.exact import from_jsonb
from sojourn.codec import Models, codec_for, datetime_from, decode_entry, ms_from
from sojourn.errors import InvalidInput, SessionNotFound, SettingsError
from sojourn.events import Event
from sojourn.keys import TenantKeys, check_id
from sojourn.models import Log, Session, Status
from sojourn.operations.listing import Page, filters
from sojourn.operations.listing import read_cursor as read_cursor
from sojourn.operations.listing import write_cursor as write_cursor
from sojourn.settings import Settings, load_settings

__all__ = ["Archive"]

E = TypeVar("E")


class Archive:
    """The archived sessions of one tenant. Reads only; safe to share between threads.

    Each call opens a connection of its own (some 5 to 10 ms). Every method raises `ArchiveUnavailable` if PostgreSQL
    does not answer in time, and `ArchiveSchemaMismatch` if its tables are not those of this version.

    Args:
        source: all settings, or the archive's URL; None: read from environment and ``sojourn.yaml``.
        models: the known models; by default those that the settings name. Sessions of other kinds are told as
            `UnknownSession`.
        tenant: whose sessions; None: what the settings say.

    Raises:
        SettingsError: no archive is set, or the settings are no good.
        InvalidName: not a tenant's name.

    Example:
        >>> archive = Archive("postgresql://ada:secret@db/sojourn")  # doctest: +SKIP
        >>> archive.get("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77").end_reason  # doctest: +SKIP
        'deadline'
    """

    def __init__(
        self, source: Settings | str | None = None, models: Models | None = None, *, tenant: str | None = None
    ) -> None:
        self.settings = source if isinstance(source, Settings) else load_settings(archive_url=source)
        if self.settings.archive_url is None:
            raise SettingsError("archive_url is not set: there is no archive")
        self._url = self.settings.archive_url
        self._context = self.settings.context(self.settings.load_models() if models is None else models)
        if tenant is not None:
            self._context = self._context.of(TenantKeys.of(tenant, self.settings.partitions))

    @property
    def tenant(self) -> str:
        """The tenant whose sessions this archive shows."""
        return self._context.tenant

    def __repr__(self) -> str:
        return f"Archive(tenant={self.tenant!r})"

    def for_tenant(self, tenant: str) -> Self:
        """The same archive for another tenant.

        Raises:
            InvalidName: not a tenant's name.

        Example:
            >>> archive.for_tenant("acme").tenant  # doctest: +SKIP
            'acme'
        """
        view = copy.copy(self)
        view._context = self._context.of(TenantKeys.of(tenant, self.settings.partitions))  # noqa: SLF001
        return view

    def get(self, session_id: str, *, tenant: str | None = None) -> Session:
        """The session as it was when it was last archived; expired and deleted ones too.

        Args:
            session_id: which session.
            tenant: whose, if not this archive's tenant's.

        Raises:
            SessionNotFound: the archive does not hold it.
            SessionCorrupt: it was damaged before it was archived.
            InvalidId: not a session id.

        Example:
            >>> archive.get(session.id) == session  # doctest: +SKIP
            True
        """
        if tenant is not None and tenant != self.tenant:
            return self.for_tenant(tenant).get(session_id)
        rows = self._fetch("get_session", {"id": check_id(session_id)})
        if not rows:
            raise SessionNotFound(session_id, self.tenant)
        return self._session(rows[0][0], session_id)

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
        limit: int = 100,
        cursor: str | None = None,
    ) -> Page[Session]:
        """A page of the tenant's archived sessions that match all of the filters, newest first.

        Args:
            status: one or several; by default all, expired and deleted ones too.
            kind: by default all.
            owner: its owner.
            client_type: its client type.
            tag: one of its tags.
            created_after: created at or after this moment.
            created_before: created at or before this moment.
            limit: sessions on the page, at most the setting ``limits.batch``.
            cursor: where the page before left off.

        Raises:
            InvalidField: a filter is no good.
            InvalidCursor: the cursor is damaged, or comes from another query.
            SessionCorrupt: one was damaged before it was archived.

        Example:
            >>> archive.list(owner="ada", status="expired").sessions  # doctest: +SKIP
        """
        at_most = self._context.limits.batch
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= at_most:
            raise InvalidInput(f"a page holds 1 to {at_most} sessions")
        wanted = filters(
            self._context, codec_for(Session), status=tuple(Status) if status is None else status, kind=kind,
            owner=owner, client_type=client_type, tag=tag, created_after=created_after, created_before=created_before,
            where=None,
        )  # fmt: skip
        newest_ms, after_id = (wanted.newest, None) if cursor is None else read_cursor(cursor, wanted.digest)
        rows = self._fetch(
            "list_sessions",
            {
                "statuses": None if len(wanted.statuses) == len(Status) else builtins.list(wanted.statuses),
                "kinds": builtins.list(wanted.kinds) or None,
                "owner": owner,
                "client_type": client_type,
                "tag": tag,
                "oldest": datetime_from(wanted.oldest),
                "newest": datetime_from(newest_ms),
                "after_id": after_id,
                "limit": limit + 1,
            },
        )
        page = tuple(self._session(stored, str(session_id)) for session_id, _, stored in rows[:limit])
        if len(rows) <= limit:
            return Page(page)
        last_id, last_created, _ = rows[limit - 1]
        return Page(page, write_cursor(wanted.digest, ms_from(last_created), str(last_id)))

    def entries(self, session_id: str, log: Log[E], *, start: int = 0, count: int | None = None) -> builtins.list[E]:
        """Up to `count` entries of a log from the `start`th on, which is 0 for the oldest.

        Raises:
            SessionNotFound: the archive does not hold the session.
            SessionCorrupt: an entry cannot be read.

        Example:
            >>> archive.entries(session.id, DocumentationSession.notes, count=1)[0].status  # doctest: +SKIP
            'ok'
        """
        if start < 0 or (count is not None and count < 1):
            raise InvalidInput("entries() takes a start of 0 or more and a count of 1 or more")
        stop = None if count is None else start + count
        rows = self._fetch("get_entries", {"id": check_id(session_id), "log": log.name, "start": start, "stop": stop})
        if not rows:
            raise SessionNotFound(session_id, self.tenant)
        return [decode_entry(log, from_jsonb(row[0]), session_id, self.tenant) for row in rows if row[0] is not None]

    def events(self, session_id: str) -> builtins.list[Event]:
        """What happened to a session, in order; empty where the archive knows of nothing.

        Example:
            >>> [event.type for event in archive.events(session.id)]  # doctest: +SKIP
            ['created', 'updated', 'ended']
        """
        rows = self._fetch("get_events", {"id": check_id(session_id)})
        return [
            Event(
                id=event_id, type=type_, tenant=tenant, session_id=str(found_id), kind=kind, version=version,
                at=at.astimezone(UTC), actor=actor, trace_id=trace_id, changes=json.loads(from_jsonb(changes)),
                before=json.loads(from_jsonb(before)),
            )
            for event_id, type_, tenant, found_id, kind, version, at, actor, trace_id, changes, before in rows
        ]  # fmt: skip

    def counts(self) -> dict[str, dict[str, int]]:
        """How many archived sessions the tenant has, by kind and status.

        Example:
            >>> archive.counts()  # doctest: +SKIP
            {'documentation': {'completed': 19, 'expired': 2}}
        """
        found: dict[str, dict[str, int]] = {}
        for kind, status, count in self._fetch("count_sessions", {}):
            found.setdefault(kind, {})[status] = count
        return found

    def _fetch(self, name: str, values: Mapping[str, Any]) -> builtins.list[tuple[Any, ...]]:
        with connected(self._url, self.settings.archive_timeout) as connection:
            return connection.execute(statement(name), {"tenant": self.tenant, **values}).fetchall()

    def _session(self, stored: Mapping[str, Any], session_id: str) -> Session:
        texts = {name: from_jsonb(value) for name, value in stored.items()}
        session: Session = self._context.models.codec(texts.get("kind", "")).decode(texts, session_id, self.tenant)
        return session
