"""Reading the archive."""

from __future__ import annotations

import builtins
import copy
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Generic, Self, TypeVar, overload

from sojourn.archive.audit import Audit
from sojourn.archive.database import connected, statement
from sojourn.archive.exact import from_jsonb
from sojourn.archive.restoring import check_when, past_state
from sojourn.archive.rows import archived_event, index_entry
from sojourn.codec import Models, check_log, codec_for, datetime_from, decode_entry, ms_from
from sojourn.errors import InvalidInput, SessionCorrupt, SessionNotFound, SettingsError, WrongKind
from sojourn.events import Event
from sojourn.keys import TenantKeys, check_id, check_tenant
from sojourn.models import Log, Session, Status
from sojourn.operations.listing import Filters, Page, filters
from sojourn.operations.listing import read_cursor as read_cursor
from sojourn.operations.listing import write_cursor as write_cursor
from sojourn.operations.read import check_stretch
from sojourn.operations.record import decode_record
from sojourn.settings import Settings, load_settings

__all__ = ["Archive"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")
_PER_LOOK: Final = 500
"""Sessions read at a time where a predicate chooses among them."""


class Archive(Generic[S]):
    """The archived sessions of one tenant and one model. Reads only; safe to share between threads.

    Each call opens a connection of its own (some 5 to 10 ms). Every method raises `ArchiveUnavailable` if PostgreSQL
    does not answer in time, and `ArchiveSchemaMismatch` if its tables are not those of this version.

    Args:
        source: all settings, or the archive's URL; None: read from environment and ``sojourn.yaml``.
        models: the known models; by default those that the settings name. Sessions of other kinds are told as
            `UnknownSession`.
        model: the model of the sessions; `Session` sees those of every model.
        tenant: whose sessions; None: what the settings say.

    Raises:
        SettingsError: no archive is set, or the settings are no good.
        InvalidModel: the model cannot be stored.
        InvalidName: not a tenant's name.

    Example:
        >>> archive = Archive("postgresql://ada:secret@db/sojourn")  # doctest: +SKIP
        >>> archive.get("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77").end_reason  # doctest: +SKIP
        'deadline'
    """

    @overload
    def __init__(
        self: Archive[Session], source: Settings | str | None = None, models: Models | None = None, *,
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
        self.settings = source if isinstance(source, Settings) else load_settings(archive_url=source)
        if self.settings.archive_url is None:
            raise SettingsError("archive_url is not set: there is no archive")
        self._url = self.settings.archive_url
        self._codec = codec_for(model)
        self._context = self.settings.context(self.settings.load_models(model) if models is None else models)
        if tenant is not None:
            self._context = self._context.of(TenantKeys.of(tenant, self.settings.partitions))

    @property
    def tenant(self) -> str:
        """The tenant whose sessions this archive shows."""
        return self._context.tenant

    @property
    def model(self) -> type[S]:
        """The model whose sessions this archive shows."""
        return self._codec.model

    @property
    def audit(self) -> Audit:
        """The tenant's audit trail: who did what, when, and from where.

        Example:
            >>> [entry.action for entry in archive.audit.list(actor="ada").entries]  # doctest: +SKIP
            ['deleted', 'created']
        """
        return Audit(self.settings, tenant=self.tenant)

    def __repr__(self) -> str:
        return f"Archive(model={self.model.__name__}, tenant={self.tenant!r})"

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

    def get(self, session_id: str, *, tenant: str | None = None) -> S:
        """The session as it was when it was last archived; expired and deleted ones too.

        Args:
            session_id: which session.
            tenant: whose, if not this archive's tenant's.

        Raises:
            SessionNotFound: the archive does not hold it.
            SessionCorrupt: it was damaged before it was archived.
            WrongKind: it is of another model.
            InvalidId: not a session id.

        Example:
            >>> archive.get(session.id) == session  # doctest: +SKIP
            True
        """
        if tenant is not None and check_tenant(tenant) != self.tenant:
            return self.for_tenant(tenant).get(session_id)
        rows = self._fetch("get_session", {"id": check_id(session_id)})
        if not rows:
            raise SessionNotFound(session_id, self.tenant)
        texts = _texts(rows[0][0])
        kind = texts.get("kind", "")
        if not issubclass(self._context.models.codec(kind).model, self.model):
            raise WrongKind(session_id, self.tenant, kind)
        return self._session(texts, session_id)

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
        """A page of the tenant's archived sessions that match all of the filters, newest first.

        Args:
            status: one or several; by default all, expired and deleted ones too.
            kind: by default the model's own; all kinds for an archive of `Session`.
            owner: its owner.
            client_type: its client type.
            tag: one of its tags.
            created_after: created at or after this moment.
            created_before: created at or before this moment.
            where: indexed fields of the model, or of the kind's, and the value that each must have.
            predicate: a function that says whether a session is wanted.
            limit: sessions on the page, at most the setting ``limits.batch``.
            cursor: where the page before left off.

        Raises:
            InvalidField: a filter is no good.
            InvalidCursor: the cursor is damaged, or comes from another query.

        Example:
            >>> archive.list(owner="ada", status="expired").sessions  # doctest: +SKIP
        """
        at_most = self._context.limits.batch
        if type(limit) is not int or not 1 <= limit <= at_most:
            raise InvalidInput(f"a page holds 1 to {at_most} sessions")
        if predicate is not None and not callable(predicate):
            raise InvalidInput(f"a predicate is a function, not {type(predicate).__name__}")
        wanted = self._filters(
            status=status, kind=kind, owner=owner, client_type=client_type, tag=tag, created_after=created_after,
            created_before=created_before, where=where,
        )  # fmt: skip
        newest_ms, after_id = (wanted.newest, None) if cursor is None else read_cursor(cursor, wanted.digest)
        page: builtins.list[S] = []
        damaged: builtins.list[SessionCorrupt] = []
        at_once = limit if predicate is None else max(limit, _PER_LOOK)
        with connected(self._url, self.settings.archive_timeout) as connection:
            while True:
                values = self._values(wanted, newest_ms) | {"after_id": after_id, "limit": at_once + 1}
                rows = connection.execute(statement("list_sessions"), values).fetchall()
                for number, (found_id, created_at, stored) in enumerate(rows[:at_once], 1):
                    newest_ms, after_id = ms_from(created_at), str(found_id)
                    try:
                        session = self._session(_texts(stored), after_id)
                    except SessionCorrupt as error:
                        damaged.append(error)
                        continue
                    if predicate is None or predicate(session):
                        page.append(session)
                    if len(page) == limit:
                        more = write_cursor(wanted.digest, newest_ms, after_id) if number < len(rows) else None
                        return Page(tuple(page), more, tuple(damaged))
                if len(rows) <= at_once:
                    return Page(tuple(page), None, tuple(damaged))

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
        """How many archived sessions match all of the filters, which are those of `list`.

        Example:
            >>> archive.count(status="expired")  # doctest: +SKIP
            2
        """
        wanted = self._filters(
            status=status, kind=kind, owner=owner, client_type=client_type, tag=tag, created_after=created_after,
            created_before=created_before, where=where,
        )  # fmt: skip
        return int(self._fetch("count_matching", self._values(wanted, wanted.newest))[0][0])

    def entries(self, session_id: str, log: Log[E], *, start: int = 0, count: int | None = None) -> builtins.list[E]:
        """Up to `count` entries of a log from the `start`th on, which is 0 for the oldest.

        Raises:
            SessionNotFound: the archive does not hold the session.
            SessionCorrupt: an entry cannot be read.

        Example:
            >>> archive.entries(session.id, DocumentationSession.notes, count=1)[0].status  # doctest: +SKIP
            'ok'
        """
        check_log(log)
        check_stretch(start, count)
        stop = None if count is None else start + count
        rows = self._fetch("get_entries", {"id": check_id(session_id), "log": log.name, "start": start, "stop": stop})
        if not rows:
            raise SessionNotFound(session_id, self.tenant)
        return [decode_entry(log, from_jsonb(row[0]), session_id, self.tenant) for row in rows if row[0] is not None]

    def restore(self, session_id: str, *, version: int | None = None, at: datetime | None = None) -> S:
        """The session as it was at a version, or at a moment; `SessionStore.restore` makes it live again.

        What touches alone changed, which are no versions, is as it was when it was last archived.

        Args:
            session_id: which session.
            version: which version; where it was given out twice, since Redis was restored from an older copy and went
                on from there, the later one. Neither given: as it was last archived.
            at: the moment.

        Raises:
            SessionNotFound: the archive does not hold the session.
            VersionNotFound: it does not hold what leads back to that state, or there was none.
            SessionCorrupt: it was damaged then.
            WrongKind: it is of another model.

        Example:
            >>> archive.restore(session.id, version=3).summary  # doctest: +SKIP
            'a greeting'
        """
        check_when(version, at)
        texts = past_state(self.settings, self.tenant, check_id(session_id), version, at).texts
        return decode_record(self._context, self.model, texts, session_id)

    def history(self, session_id: str) -> builtins.list[Event]:
        """What happened to a session, in order; empty where the archive knows of nothing.

        Example:
            >>> [event.type for event in archive.history(session.id)]  # doctest: +SKIP
            ['created', 'updated', 'ended']
        """
        rows = self._fetch("get_events", {"id": check_id(session_id)})
        return [archived_event(row) for row in rows]

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

    def _filters(self, *, status: str | Iterable[str] | None, **others: Any) -> Filters:
        return filters(self._context, self._codec, status=tuple(Status) if status is None else status, **others)

    def _values(self, wanted: Filters, newest_ms: int) -> dict[str, Any]:
        """What the statements want to know; what filters nothing is None."""
        where = dict(wanted.where)
        owner = where.pop("owner", None)  # has an index in the order of pages
        return {
            "tenant": self.tenant,
            "statuses": None if len(wanted.statuses) == len(Status) else builtins.list(wanted.statuses),
            "kinds": builtins.list(wanted.kinds) or None,
            "owner": owner,
            "client_type": wanted.client_type or None,
            "indexed": [index_entry(self.tenant, *each) for each in where.items()] or None,
            "oldest": datetime_from(wanted.oldest),
            "newest": datetime_from(newest_ms),
        }

    def _session(self, texts: Mapping[str, str], session_id: str) -> S:
        session: S = self._context.models.codec(texts.get("kind", "")).decode(
            texts, session_id, self.tenant, self._context.keyring
        )
        return session


def _texts(stored: Mapping[str, Any] | None) -> dict[str, str]:
    """A record's fields as Redis had them; none where the archive holds no object."""
    return {name: from_jsonb(value) for name, value in (stored or {}).items()}
