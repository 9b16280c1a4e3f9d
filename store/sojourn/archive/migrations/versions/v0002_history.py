"""History that can be gone back in, every indexed field as a filter, and how many batches each partition has given."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What the changed fields held before, as hash texts: from a known state one goes back event by event. NULL: not known.
_BEFORE: Final = "ALTER TABLE sojourn.session_events ADD COLUMN before jsonb"

# States that a newer one with a lower version took the place of: Redis was restored from an older copy and went on
# from there, and the versions that were given out twice could otherwise not be told apart any more.
_SNAPSHOTS: Final = """
CREATE TABLE sojourn.session_snapshots (
    tenant      text        NOT NULL,
    session_id  uuid        NOT NULL,
    version     bigint      NOT NULL,
    updated_at  timestamptz NOT NULL,
    data        jsonb       NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, session_id, version, updated_at)
)
"""

# How many batches were taken from each partition. Redis is told, too: where the two differ, one of them was restored
# from an older copy.
_PARTITIONS: Final = """
CREATE TABLE sojourn.partitions (
    number      integer     PRIMARY KEY,
    batches     bigint      NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now()
)
"""

# "<tenant>/<field>:<value>" for each value of each field that the session's model marks as indexed. A list that was
# damaged by hand gives no values, as in an archive run.
_INDEXED: Final = "ALTER TABLE sojourn.sessions ADD COLUMN indexed text[] NOT NULL DEFAULT '{}'"
_STRINGS: Final = """
CREATE FUNCTION sojourn.strings_of(list jsonb) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF jsonb_typeof(list) = 'string' THEN
        list := (list #>> '{}')::jsonb;
    END IF;
    RETURN ARRAY(
        SELECT value #>> '{}' FROM jsonb_array_elements(list) WHERE jsonb_typeof(value) = 'string'
    );
EXCEPTION WHEN data_exception OR statement_too_complex THEN
    RETURN '{}';
END
$$
"""
_FILL_INDEXED: Final = """
UPDATE sojourn.sessions SET indexed = ARRAY(
    SELECT tenant || '/' || name || ':' || value
    FROM string_to_table(data->>'_indexes', ',') AS spec,
        LATERAL (SELECT rtrim(spec, '[]') AS name) AS named,
        LATERAL (
            SELECT data->>name AS value WHERE spec NOT LIKE '%[]' AND data->>name <> ''
            UNION ALL
            SELECT unnest(sojourn.strings_of(data->name)) WHERE spec LIKE '%[]'
        ) AS valued
)
"""
_NO_STRINGS: Final = "DROP FUNCTION sojourn.strings_of"

_INDEXES: Final = (
    "DROP INDEX sojourn.sessions_by_tag",
    "CREATE INDEX sessions_by_indexed ON sojourn.sessions USING gin (indexed)",
    "CREATE INDEX sessions_by_client_type ON sojourn.sessions (tenant, client_type, created_at, id)",
    "CREATE INDEX sessions_by_end ON sojourn.sessions (status, kind, ended_at) WHERE ended_at IS NOT NULL",
    "CREATE INDEX sessions_live ON sojourn.sessions (tenant, id) WHERE ended_at IS NULL",
)


def upgrade() -> None:
    """Add them."""
    for each in (_BEFORE, _SNAPSHOTS, _PARTITIONS, _INDEXED, _STRINGS, _FILL_INDEXED, _NO_STRINGS, *_INDEXES):
        op.execute(each.strip())


def downgrade() -> None:
    """Take them away; what is archived otherwise stays."""
    for index in ("sessions_live", "sessions_by_end", "sessions_by_client_type", "sessions_by_indexed"):
        op.execute(f"DROP INDEX sojourn.{index}")
    op.execute("CREATE INDEX sessions_by_tag ON sojourn.sessions USING gin (tags)")
    op.execute("ALTER TABLE sojourn.sessions DROP COLUMN indexed")
    op.execute("ALTER TABLE sojourn.session_events DROP COLUMN before")
    for table in ("partitions", "session_snapshots"):
        op.execute(f"DROP TABLE sojourn.{table}")
