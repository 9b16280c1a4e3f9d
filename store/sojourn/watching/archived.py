"""Events that have left the outbox since, from the archive."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sojourn.errors import SojournError
from sojourn.events import Event
from sojourn.settings import Settings

__all__ = ["archived_events"]

_MOST: Final = 10_000
"""Events at most, the newest."""


def archived_events(settings: Settings, since: datetime, tenant: str | None) -> tuple[list[Event], str]:
    """The events since then that the archive holds, oldest first; and why there are none, where it cannot tell.

    There are none of it for a deployment without an archive.
    """
    if settings.archive_url is None:
        return [], "there is no archive"
    try:
        from sojourn.archive.database import connected, statement
        from sojourn.archive.rows import archived_event

        with connected(settings.archive_url, settings.archive_timeout) as connection:
            rows = connection.execute(
                statement("recent_events"), {"since": since, "tenant": tenant, "limit": _MOST}
            ).fetchall()
    except ImportError:
        return [], "reading the archive needs pip install 'sojourn[worker]'"
    except SojournError as error:
        return [], str(error)
    problem = f"of those in the archive only the newest {_MOST} are told" if len(rows) == _MOST else ""
    return [archived_event(row) for row in reversed(rows)], problem
