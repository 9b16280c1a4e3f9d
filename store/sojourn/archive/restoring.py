"""Earlier states of a session: read from the archive, and made live again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from sojourn.archive.database import connected, statement
from sojourn.archive.exact import from_jsonb
from sojourn.archive.history import ROTATED_TO, State, difference, find_state, live_again
from sojourn.archive.rows import archived_event
from sojourn.archive.schema import check_schema
from sojourn.archive.staging import Entries, archived_entries, stage_logs
from sojourn.errors import (
    InvalidField,
    InvalidInput,
    SessionCorrupt,
    SessionNotFound,
    SettingsError,
    StoreUnavailable,
)
from sojourn.events import Event
from sojourn.keys import check_id
from sojourn.models import Session, Status
from sojourn.operations.core import Context, new_operation_id
from sojourn.operations.flows import Ask, Flow
from sojourn.operations.listing import moment_in_utc
from sojourn.operations.record import check_stored, decode_record
from sojourn.operations.revival import new_token, restore
from sojourn.settings import Settings

__all__ = ["check_when", "past_state", "restore_flow"]

S = TypeVar("S", bound=Session)
_TRIES = 3
_RENEWED = ("ttl_ms", "expires_at_ms", "max_lifetime_ms", "accessed_at_ms")
"""What a restored session has anew, whatever it was."""


@dataclass(frozen=True)
class _Found:
    held: Mapping[str, str]
    """What the archive holds as the newest state."""
    state: State
    """What was asked for."""
    live: dict[str, str]
    """The same as a live session's; empty where that was not asked for."""


def check_when(version: int | None, at: datetime | None) -> None:
    """Refuse what names no state.

    Raises:
        InvalidInput: both are given, or one is no good.
    """
    if version is not None and at is not None:
        raise InvalidInput("name the state by its version or by a moment, not by both")
    if version is not None and (type(version) is not int or version < 1):
        raise InvalidField("version", "is a positive integer")
    if at is not None:
        moment_in_utc("at", at)


def past_state(settings: Settings, tenant: str, session_id: str, version: int | None, at: datetime | None) -> State:
    """A session's state at a version or a moment; both None: as it was last archived.

    Raises:
        SessionNotFound: the archive does not hold the session.
        VersionNotFound: it does not hold what leads back to that state.
    """
    return _find(settings, tenant, session_id, version, at, live=False).state


def restore_flow(
    context: Context,
    settings: Settings,
    model: type[S],
    session_id: str,
    version: int | None,
    at: datetime | None,
    lifetimes: tuple[int | None, int | None] | None,
) -> Flow[S]:
    """Make the state at a version or a moment the session's newest version, live; what `past_state` raises, too.

    `lifetimes`: TTL and max_lifetime in ms; None: those that the state had.
    """
    session_id = check_id(session_id)
    check_when(version, at)
    found: _Found = yield Ask(partial(_find, settings, context.tenant, session_id, version, at, live=True))
    texts = found.live | _counted(found.held)
    check_stored(context, model, found.held, session_id)
    decode_record(context, model, texts, session_id)  # what cannot be read is not written
    ttl_ms, max_ms = lifetimes or (_integer(texts.get("ttl_ms")), _integer(texts.get("max_lifetime_ms")))
    before = difference(found.held, texts) | {name: found.held.get(name) for name in _RENEWED}
    operation_id, token = new_operation_id(), new_token()
    logs = [name for name in texts.get("_logs", "").split(",") if name]
    staged = {name: context.keys.partition.staged(token, name) for name in logs}
    for _ in range(_TRIES):
        session: S | None = yield restore(
            context, model, session_id, operation_id, texts, staged, restored=found.state.version, held=found.held,
            before=before, ttl_ms=ttl_ms, max_lifetime_ms=max_ms,
        )  # fmt: skip
        if session is not None:
            return session
        # Redis does not hold the session, so its logs come from the archive as well.
        staged, told = yield from stage_logs(
            texts, {name: context.keys.partition.staged(token, name) for name in logs},
            partial(_entries, settings, context.tenant, session_id),
        )  # fmt: skip
        texts = {**texts, **told}
    raise StoreUnavailable(f"the logs of session {session_id} do not stay in Redis for long enough: try again")


def _counted(held: Mapping[str, str]) -> dict[str, str]:
    """The fields that count entries of a log, as they are: all that was appended stays."""
    return {name: held[name] for name in held.get("_counted", "").split(",") if name in held}


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)


def _find(
    settings: Settings, tenant: str, session_id: str, version: int | None, at: datetime | None, *, live: bool
) -> _Found:
    if settings.archive_url is None:
        raise SettingsError("archive_url is not set: there is no archive to restore from")
    key = {"tenant": tenant, "id": session_id}
    with connected(settings.archive_url, settings.archive_timeout) as connection:
        check_schema(connection, settings.archive_url)
        with connection.transaction():  # one view of all three
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            newest = connection.execute(statement("get_session"), key).fetchall()
            older = connection.execute(statement("get_snapshots"), key).fetchall()
            rows = connection.execute(statement("get_events"), key).fetchall()
    if not newest:
        raise SessionNotFound(session_id, tenant)
    bases = [_texts(stored) for (stored,) in (*newest, *older)]
    for name in ("version", "updated_at_ms", "status"):
        if not all(_is_sound(name, base.get(name, "")) for base in bases):
            raise SessionCorrupt(session_id, tenant, name)
    if live and ROTATED_TO in bases[0]:
        raise SessionNotFound(session_id, tenant)  # it goes on under another id, and this one shall open nothing
    events: list[Event] = [archived_event(row) for row in rows]
    state, before = find_state(bases, events, session_id, tenant, version=version, at=at)
    return _Found(bases[0], state, live_again(state, before) if live else {})


def _is_sound(name: str, text: str) -> bool:
    return text in set(Status) if name == "status" else text.isascii() and text.isdecimal() and len(text) < 16


def _texts(stored: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: from_jsonb(value) for name, value in (stored or {}).items()}


def _entries(settings: Settings, tenant: str, session_id: str, log: str, start: int, newest: int | None) -> Entries:
    with connected(settings.archive_url or "", settings.archive_timeout) as connection:
        return archived_entries(connection, tenant, session_id, log, start, newest)
