"""Sessions, their log entries and their events."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# `data` holds the record's hash as it was in Redis, field by field; the other columns repeat parts of it for SQL. A
# value in `data` is a JSON string with the hash's text, or, where nothing is lost by it, the JSON that the text means.
_SESSIONS: Final = """
CREATE TABLE sojourn.sessions (
    tenant       text        NOT NULL,
    id           uuid        NOT NULL,
    kind         text        NOT NULL,
    status       text        NOT NULL,
    version      bigint      NOT NULL,
    owner        text,
    client_type  text,
    tags         text[]      NOT NULL,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    accessed_at  timestamptz NOT NULL,
    expires_at   timestamptz,
    ttl          interval,
    max_lifetime interval,
    ended_at     timestamptz,
    end_reason   text,
    data         jsonb       NOT NULL,
    archived_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, id)
)
"""

# Lists are paged by (created_at, id), newest first; each index serves one filter in that order.
_SESSIONS_BY: Final = (
    "CREATE INDEX sessions_by_creation ON sojourn.sessions (tenant, created_at, id)",
    "CREATE INDEX sessions_by_status ON sojourn.sessions (tenant, status, created_at, id)",
    "CREATE INDEX sessions_by_kind ON sojourn.sessions (tenant, kind, created_at, id)",
    "CREATE INDEX sessions_by_owner ON sojourn.sessions (tenant, owner, created_at, id) WHERE owner IS NOT NULL",
    "CREATE INDEX sessions_by_tag ON sojourn.sessions USING gin (tags)",
)

# `entry` follows the same rule as the values in sessions.data.
_ENTRIES: Final = """
CREATE TABLE sojourn.session_entries (
    tenant      text        NOT NULL,
    session_id  uuid        NOT NULL,
    log         text        NOT NULL,
    position    integer     NOT NULL,
    entry       jsonb       NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, session_id, log, position)
)
"""

# No foreign keys: events come on their own way, and may be there before their session.
_EVENTS: Final = """
CREATE TABLE sojourn.session_events (
    tenant      text        NOT NULL,
    session_id  uuid        NOT NULL,
    id          text        NOT NULL,
    type        text        NOT NULL,
    kind        text        NOT NULL,
    version     bigint      NOT NULL,
    at          timestamptz NOT NULL,
    actor       text        NOT NULL,
    trace_id    text        NOT NULL,
    changes     jsonb       NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, session_id, id)
)
"""

_EVENTS_BY_TIME: Final = "CREATE INDEX session_events_by_time ON sojourn.session_events (tenant, at)"


def upgrade() -> None:
    """Make the tables."""
    for each in (_SESSIONS, *_SESSIONS_BY, _ENTRIES, _EVENTS, _EVENTS_BY_TIME):
        op.execute(each.strip())


def downgrade() -> None:
    """Remove the tables with all that they hold."""
    for table in ("session_events", "session_entries", "sessions"):
        op.execute(f"DROP TABLE sojourn.{table}")
