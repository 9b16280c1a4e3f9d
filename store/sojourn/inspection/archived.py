"""What the archive holds of a session, table by table."""

from __future__ import annotations

from typing import Any, Final

from sojourn.errors import SojournError
from sojourn.inspection.commands import psql
from sojourn.inspection.judging import Facts
from sojourn.inspection.model import Item
from sojourn.settings import Settings

__all__ = ["archive_items", "archived_record", "archived_tenants"]

_COLUMNS: Final = "status, version, updated_at, archived_at"
_TABLES: Final = (
    ("events", "sojourn.session_events", "session_id", "count(*)"),
    ("entries of logs", "sojourn.session_entries", "session_id", "count(*)"),
    ("snapshots", "sojourn.session_snapshots", "session_id", "count(*)"),
    ("audit trail", "sojourn.audit", "session_id", "count(*)"),
)
_NEEDS: Final = "the archive: reading it needs pip install 'sojourn[worker]'"


def archived_record(settings: Settings, tenant: str, session_id: str) -> tuple[dict[str, str], str]:
    """The texts of the record as archived; empty where there is none. And why nothing is known, where nothing is."""
    if settings.archive_url is None:
        return {}, ""
    try:
        from sojourn.archive.database import connected, statement
        from sojourn.archive.exact import from_jsonb

        with connected(settings.archive_url, settings.archive_timeout) as connection:
            row = connection.execute(statement("get_session"), {"tenant": tenant, "id": session_id}).fetchone()
    except ImportError:
        return {}, _NEEDS
    except SojournError as error:
        return {}, f"the archive: {error}"
    return {name: from_jsonb(text) for name, text in (row[0] or {}).items()} if row else {}, ""


def archive_items(settings: Settings, tenant: str, session_id: str, facts: Facts, *, dirty: bool) -> list[Item]:
    """What each table holds of it.

    Args:
        settings: where the archive is.
        tenant: whose.
        session_id: which session.
        facts: the record in Redis.
        dirty: whether that waits to be archived.

    Raises:
        ArchiveError: it cannot be read.
    """
    from sojourn.archive.database import connected

    def where(column: str) -> str:
        return f"tenant = '{tenant}' AND {column} = '{session_id}'"  # both are of a form that needs no quoting

    items = []
    with connected(settings.archive_url or "", settings.archive_timeout) as connection:
        text = f"SELECT {_COLUMNS} FROM sojourn.sessions WHERE {where('id')}"  # noqa: S608
        row = connection.execute(text.encode()).fetchone()
        value = None if row is None else {
            "status": row[0], "version": row[1], "updated_at": row[2].isoformat(), "archived_at": row[3].isoformat(),
        }  # fmt: skip
        drift = _drift(row, facts, dirty=dirty)
        if value is not None or drift:
            items.append(Item("archive", "session", "sojourn.sessions", value, psql(text), drift=drift))
        for what, table, column, expression in _TABLES:
            text = f"SELECT {expression} FROM {table} WHERE {where(column)}"  # noqa: S608
            found = connection.execute(text.encode()).fetchone()
            if found and found[0]:
                items.append(Item("archive", what, table, found[0], psql(text)))
    return items


def _drift(row: Any, facts: Facts, *, dirty: bool) -> str:
    """What is wrong between Redis and the archive."""
    own = facts.record.get("version", "")
    version = int(own) if own.isdecimal() and len(own) < 16 else 0
    if not facts.exists or not version:
        return ""
    if row is None:
        return "" if dirty else "is missing, and the session does not wait to be archived"
    if row[1] > version:
        return f"is of version {row[1]}, newer than that in Redis ({version}): Redis is an older copy"
    if row[1] < version and not dirty:
        return f"is of version {row[1]}, and version {version} does not wait to be archived"
    return ""


def archived_tenants(settings: Settings, session_id: str) -> list[str]:
    """The tenants under which the archive knows a session of that id.

    Raises:
        ArchiveError: it cannot be read.
    """
    from sojourn.archive.database import connected, statement

    with connected(settings.archive_url or "", settings.archive_timeout) as connection:
        tenants = [tenant for (tenant,) in connection.execute(statement("tenants")).fetchall()]
        rows = connection.execute(
            "SELECT tenant FROM sojourn.sessions WHERE tenant = ANY (%s) AND id = %s", (tenants, session_id)
        ).fetchall()
    return [tenant for (tenant,) in rows]
