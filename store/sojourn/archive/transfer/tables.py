"""The tables that can be exported and imported, and the SQL that reads them: names from here, values as literals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from psycopg import sql

from sojourn.archive.transfer.filters import Filters

__all__ = ["TABLES", "Column", "Kind", "Table", "table_with"]


class Kind(Enum):
    """What a column holds."""

    TEXT = "text"
    UUID = "uuid"
    INTEGER = "integer"
    BIGINT = "bigint"
    TEXTS = "text[]"
    MOMENT = "timestamptz"
    INTERVAL = "interval"
    JSON = "jsonb"


@dataclass(frozen=True)
class Column:
    """A column."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Table:
    """A table."""

    name: str
    """As users call it."""
    table: str
    """As PostgreSQL does, in the schema ``sojourn``."""
    session: str
    """The column that holds the session's id."""
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns' names, in order."""
        return tuple(each.name for each in self.columns)

    @property
    def store(self) -> str:
        """The statement that imports its rows."""
        return f"import_{self.name}"

    def select(self, expressions: sql.Composable, filters: Filters) -> sql.Composed:
        """A query of what the filters leave of it."""
        return sql.SQL("SELECT {} FROM sojourn.{}{}").format(
            expressions, sql.Identifier(self.table), _where(self, filters)
        )

    def cells(self, **by_kind: str) -> sql.Composed:
        """Its columns for a query; `by_kind` has the expressions for kinds that are not read as they are."""
        return sql.SQL(", ").join(
            sql.SQL(by_kind.get(each.kind.name.lower(), "{}")).format(sql.Identifier(each.name))
            for each in self.columns
        )


def _where(table: Table, filters: Filters) -> sql.Composable:
    own = _conditions(filters) if table.name == "sessions" else []
    if table.name != "sessions" and (conditions := _conditions(filters)):
        matching = sql.SQL("SELECT tenant, id FROM sojourn.sessions") + _all_of(_of_tenant(filters) + conditions)
        own = [sql.SQL("(tenant, {}) IN ({})").format(sql.Identifier(table.session), matching)]
    return _all_of(_of_tenant(filters) + own)


def _all_of(conditions: list[sql.Composed]) -> sql.Composable:
    return sql.SQL(" WHERE ") + sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("")


def _of_tenant(filters: Filters) -> list[sql.Composed]:
    return [] if filters.tenant is None else [sql.SQL("tenant = {}").format(filters.tenant)]


def _conditions(filters: Filters) -> list[sql.Composed]:
    """What they say of sessions, but for the tenant."""
    conditions = {
        "status = ANY ({})": list(filters.statuses) or None,
        "kind = {}": filters.kind,
        "owner = {}": filters.owner,
        "client_type = {}": filters.client_type,
        "tags @> ARRAY[{}]": filters.tag,
        "created_at >= {}": filters.created_after,
        "created_at <= {}": filters.created_before,
    }
    return [sql.SQL(text).format(value) for text, value in conditions.items() if value is not None]


def _table(name: str, table: str, session: str, columns: str) -> Table:
    pairs = (each.split() for each in columns.split(","))
    return Table(name, table, session, tuple(Column(column, Kind(kind)) for column, kind in pairs))


TABLES: Final[Mapping[str, Table]] = {
    each.name: each
    for each in (
        _table(
            "sessions",
            "sessions",
            "id",
            "tenant text, id uuid, kind text, status text, version bigint, owner text, client_type text, tags text[], "
            "indexed text[], created_at timestamptz, updated_at timestamptz, accessed_at timestamptz, "
            "expires_at timestamptz, ttl interval, max_lifetime interval, ended_at timestamptz, end_reason text, "
            "data jsonb, archived_at timestamptz",
        ),
        _table(
            "entries",
            "session_entries",
            "session_id",
            "tenant text, session_id uuid, log text, position integer, entry jsonb, archived_at timestamptz",
        ),
        _table(
            "events",
            "session_events",
            "session_id",
            "tenant text, session_id uuid, id text, type text, kind text, version bigint, at timestamptz, actor text, "
            "trace_id text, changes jsonb, before jsonb, archived_at timestamptz",
        ),
        _table(
            "snapshots",
            "session_snapshots",
            "session_id",
            "tenant text, session_id uuid, version bigint, updated_at timestamptz, data jsonb, archived_at timestamptz",
        ),
    )
}
"""By the name that users call them."""


def table_with(names: Iterable[str]) -> Table | None:
    """The table that has these columns and no others, in any order."""
    wanted = frozenset(names)
    return next((each for each in TABLES.values() if frozenset(each.names) == wanted), None)
