"""What claiming what is due would come to: for people who look before they do it. Nothing is changed.

The scripts that do it decide each session for itself, in the moment that they come to it; this only counts.
"""

# ruff: noqa: SLF001 (it is the store's own, apart only for the reader's sake)
from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sojourn.operations.core import Context, Operation, all_of
from sojourn.operations.record import now_ms

if TYPE_CHECKING:
    from sojourn.client import SessionStore

__all__ = ["DueOutlook", "would_expire"]

_AT_ONCE: Final = 1_000
"""Entries that one command looks at: some 0.2 ms of Redis."""

Counting = Generator[Operation[list[Any]], list[Any], int]


@dataclass(frozen=True)
class DueOutlook:
    """How many sessions are due.

    Example:
        >>> DueOutlook(expired=2, removed=1).removed
        1
    """

    expired: int
    """Live ones past their deadline; a few of them may turn out to be lost or damaged."""
    removed: int
    """Ended ones that were kept for long enough, and that no archive waits for."""


def would_expire(store: SessionStore[Any]) -> DueOutlook:
    """What `SessionStore.expire_due` would do now.

    Raises:
        InvalidInput: the store is the view of one owner.
        StoreUnavailable: Redis did not answer in time.

    Example:
        >>> would_expire(store).expired  # doctest: +SKIP
        3
    """
    archived = store.settings.archive_url is not None

    def flow() -> Generator[Operation[list[Any]], list[Any], DueOutlook]:
        context = store._whole_tenant
        expired = yield from _count(context, context.keys.partition.deadlines, archived=False)
        removed = yield from _count(context, context.keys.partition.removals, archived=archived)
        return DueOutlook(expired, removed)

    return store._drive(lambda: store._settled(flow))


def _count(context: Context, key: str, *, archived: bool) -> Counting:
    """The tenant's entries whose time has come; where they are `archived` first, without those that still wait."""
    place, count = 0, 0
    while True:
        clock, flat = yield all_of((("TIME",), ("ZRANGE", key, place, place + _AT_ONCE - 1, "WITHSCORES")))
        now = now_ms(clock)
        entries = list(zip(flat[::2], map(float, flat[1::2]), strict=True))
        due = [member for member, at_ms in entries if at_ms <= now]
        own = [each for each in due if each.startswith(f"{context.tenant}/")]
        count += len(own) - ((yield from _waiting(context, own)) if archived else 0)
        if len(due) < _AT_ONCE:
            return count
        place += _AT_ONCE


def _waiting(context: Context, members: Sequence[str]) -> Counting:
    if not members:
        return 0
    scores = yield all_of([("ZSCORE", context.keys.partition.dirty, each) for each in members])
    return sum(each is not None for each in scores)
