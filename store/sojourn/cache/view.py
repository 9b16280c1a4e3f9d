"""A near cache as observers see it."""

from __future__ import annotations

import weakref

from sojourn.cache.settings import CacheInfo
from sojourn.cache.table import Counts, Table, info_of

__all__ = ["CacheView"]


class CacheView:
    """How a store's near cache fares, for who is told of its calls. It outlives the cache, of which it holds nothing.

    Args:
        tenant: the store's own; the cache may hold sessions of others as well, of its views.
        table: what is looked at.
    """

    def __init__(self, tenant: str, table: Table) -> None:
        self.tenant = tenant
        self._counts: Counts = table.counts
        self._table = weakref.ref(table)

    @property
    def is_gone(self) -> bool:
        """Whether the store is there no more, and the counts are its last."""
        return self._table() is None

    @property
    def info(self) -> CacheInfo:
        """How it fares now."""
        table = self._table()
        return info_of(self._counts) if table is None else table.info
