"""Finding sessions by the beginning of their ids, for people who do not type 36 characters. Nothing else is searched.

Ids are random, so a beginning says nothing of the time of creation: the tenant's status indexes are walked, with Redis
choosing among their entries, up to a million of them. The keyspace is never scanned.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from sojourn.errors import InvalidId, InvalidInput
from sojourn.keys import check_id, is_id
from sojourn.models import Status
from sojourn.operations.core import Command, Context, Operation, all_of

if TYPE_CHECKING:
    from sojourn.client import SessionStore
    from sojourn.settings import Settings

__all__ = ["SHORTEST", "check_beginning", "find", "find_archived", "find_flow"]

SHORTEST: Final = 4
"""Characters of an id that are a beginning worth looking up."""
_AT_ONCE: Final = 1_000
"""Entries that one command looks at: some 0.2 ms of Redis."""
_MOST: Final = 1_000_000
_LONGEST: Final = 36
_TEMPLATE: Final = "00000000-0000-4000-8000-000000000000"


def check_beginning(text: str) -> str:
    """Return `text` if a session's id may begin so, with at least four characters.

    Raises:
        InvalidId: it may not.

    Example:
        >>> check_beginning("0b0e7f0e-6c")
        '0b0e7f0e-6c'
    """
    if not isinstance(text, str) or len(text) >= _LONGEST or "_" in text:  # a token, perhaps, which is not to be told
        check_id(text)
    if len(text) < SHORTEST or not is_id(text + _rest(text)):
        raise InvalidId(f"{text!r} is neither a session id nor the beginning of one (at least {SHORTEST} characters)")
    return text


def _rest(text: str) -> str:
    """What makes a whole id of a beginning."""
    return _TEMPLATE[len(text) :]


def find_flow(context: Context, beginning: str, limit: int) -> Generator[Operation[list[Any]], list[Any], list[str]]:
    """The ids that begin so, in order; up to `limit` of them.

    Raises:
        InvalidId: no id begins so.
        InvalidInput: the tenant has too many sessions to look through.
    """
    pattern, keys = f"{check_beginning(beginning)}*", context.keys
    kinds = (yield all_of((("SMEMBERS", keys.kinds),)))[0]
    places = [(keys.status_index(kind, status), "0") for kind, status in product(sorted(kinds), Status)]
    found: set[str] = set()
    looked = 0
    while places and len(found) < limit:
        scans: list[Command] = [("ZSCAN", key, at, "MATCH", pattern, "COUNT", _AT_ONCE) for key, at in places]
        replies = yield all_of(scans)
        found.update(each for _, entries in replies for each in entries[::2] if is_id(each))
        places = [(key, at) for (key, _), (at, _) in zip(places, replies, strict=True) if str(at) != "0"]
        looked += _AT_ONCE * len(places)
        if looked > _MOST and places:
            raise InvalidInput(
                f"tenant '{context.tenant}' has too many sessions to look for ids that begin with {beginning}: give "
                "the whole id"
            )
    return sorted(found)[:limit]


def find(store: SessionStore[Any], beginning: str, *, limit: int = 6) -> list[str]:
    """The ids of the tenant's sessions in Redis that begin so, in order; up to `limit` of them.

    Of ended ones, too, and of those whose deadline has passed and that nobody has claimed yet.

    Raises:
        InvalidId: no id begins so; at least four characters are needed.
        InvalidInput: the tenant has more than about a million sessions.
        StoreUnavailable: Redis did not answer in time.

    Example:
        >>> find(store, "0b0e")  # doctest: +SKIP
        ['0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b']
    """
    return store._drive(lambda: find_flow(store._context, beginning, limit))  # noqa: SLF001 (the store's own flow)


def find_archived(settings: Settings, beginning: str, *, tenant: str | None = None, limit: int = 6) -> list[str]:
    """The ids of the tenant's archived sessions that begin so, in order; up to `limit` of them, from the primary key.

    Raises:
        InvalidId: no id begins so; at least four characters are needed.
        SettingsError: no archive is set.
        ArchiveUnavailable, ArchiveSchemaMismatch: it cannot be read.
    """
    from sojourn.archive.database import connected, statement
    from sojourn.errors import SettingsError
    from sojourn.keys import check_tenant

    rest = _rest(check_beginning(beginning))
    if settings.archive_url is None:
        raise SettingsError("archive_url is not set: there is no archive")
    bounds = {
        "tenant": check_tenant(tenant or settings.tenant), "first": beginning + re.sub("[0-9]", "0", rest),
        "last": beginning + re.sub("[0-9]", "f", rest), "limit": limit,
    }  # fmt: skip
    with connected(settings.archive_url, settings.archive_timeout) as connection:
        return [str(each) for (each,) in connection.execute(statement("find_sessions"), bounds).fetchall()]
