"""The audit trail, a chain of hashes per tenant to which rows are only added, and a copy of each tenant's limits."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# `detail` is text, since a hash needs every byte of it to stay as it is. `hash` covers all other columns; `previous` is
# the hash of the row before: see archive/audit/chain.py.
_AUDIT: Final = """
CREATE TABLE sojourn.audit (
    tenant      text        NOT NULL,
    seq         bigint      NOT NULL,
    at          timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    actor       text        NOT NULL,
    action      text        NOT NULL,
    session_id  text,
    trace_id    text        NOT NULL,
    event_id    text        NOT NULL,
    detail      text        NOT NULL,
    previous    bytea       NOT NULL,
    hash        bytea       NOT NULL,
    PRIMARY KEY (tenant, seq)
)
"""

# The first finds what is delivered twice. It is not unique: a Redis that was restored from an older copy, and whose
# clock went back, may give an id to two events, and neither may be left out.
_AUDIT_BY: Final = (
    "CREATE INDEX audit_by_event ON sojourn.audit (tenant, event_id)",
    "CREATE INDEX audit_by_session ON sojourn.audit (tenant, session_id, seq) WHERE session_id IS NOT NULL",
    "CREATE INDEX audit_by_action ON sojourn.audit (tenant, action, seq)",
    "CREATE INDEX audit_by_actor ON sojourn.audit (tenant, actor, seq) WHERE actor <> ''",
    "CREATE INDEX audit_by_trace ON sojourn.audit (tenant, trace_id, seq) WHERE trace_id <> ''",
    "CREATE INDEX audit_by_time ON sojourn.audit (tenant, at)",
)

# Where each chain ends, and up to where retention has removed it: the last row removed, and its hash.
_HEADS: Final = """
CREATE TABLE sojourn.audit_heads (
    tenant      text        PRIMARY KEY,
    seq         bigint      NOT NULL DEFAULT 0,
    hash        bytea       NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    pruned_seq  bigint      NOT NULL DEFAULT 0,
    pruned_hash bytea       NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    updated_at  timestamptz NOT NULL DEFAULT now()
)
"""

_REFUSE: Final = """
CREATE FUNCTION sojourn.refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING
        MESSAGE = TG_OP || ' of sojourn.' || TG_TABLE_NAME || ' is refused: the audit trail is append-only',
        HINT = 'The setting audit_retention removes old rows.';
END
$$
"""

_GUARD_DELETE: Final = """
CREATE FUNCTION sojourn.guard_audit_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(current_setting('sojourn.audit_retention', true), '') <> 'on' THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'DELETE of sojourn.audit is refused: the audit trail is append-only',
            HINT = 'The setting audit_retention removes old rows.';
    END IF;
    IF EXISTS (
        SELECT FROM gone LEFT JOIN sojourn.audit_heads AS held USING (tenant)
        WHERE gone.seq > coalesce(held.pruned_seq, 0)
    ) THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'DELETE of sojourn.audit is refused: rows leave it at the beginning, behind the moved anchor';
    END IF;
    RETURN NULL;
END
$$
"""

_GUARD_HEAD: Final = """
CREATE FUNCTION sojourn.guard_audit_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.tenant <> OLD.tenant OR NEW.seq < OLD.seq OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash) THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'UPDATE of sojourn.audit_heads is refused: the end of a chain only moves on';
    END IF;
    IF (NEW.pruned_seq, NEW.pruned_hash) IS DISTINCT FROM (OLD.pruned_seq, OLD.pruned_hash) AND (
        coalesce(current_setting('sojourn.audit_retention', true), '') <> 'on'
        OR NEW.pruned_seq <= OLD.pruned_seq OR NEW.pruned_seq > NEW.seq
    ) THEN
        RAISE insufficient_privilege USING
            MESSAGE = 'UPDATE of sojourn.audit_heads is refused: only retention moves the beginning of a chain on';
    END IF;
    RETURN NEW;
END
$$
"""

_TRIGGERS: Final = """
CREATE TRIGGER audit_update BEFORE UPDATE ON sojourn.audit
FOR EACH STATEMENT EXECUTE FUNCTION sojourn.refuse_audit_change();
CREATE TRIGGER audit_truncate BEFORE TRUNCATE ON sojourn.audit
FOR EACH STATEMENT EXECUTE FUNCTION sojourn.refuse_audit_change();
CREATE TRIGGER audit_delete AFTER DELETE ON sojourn.audit REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION sojourn.guard_audit_delete();
CREATE TRIGGER audit_heads_update BEFORE UPDATE ON sojourn.audit_heads
FOR EACH ROW EXECUTE FUNCTION sojourn.guard_audit_head();
CREATE TRIGGER audit_heads_delete BEFORE DELETE ON sojourn.audit_heads
FOR EACH STATEMENT EXECUTE FUNCTION sojourn.refuse_audit_change();
CREATE TRIGGER audit_heads_truncate BEFORE TRUNCATE ON sojourn.audit_heads
FOR EACH STATEMENT EXECUTE FUNCTION sojourn.refuse_audit_change()
"""

# A copy of what Redis knows of each tenant, for bringing it back. `partition` is NULL where the name tells it.
_TENANTS: Final = """
CREATE TABLE sojourn.tenants (
    tenant     text        PRIMARY KEY,
    partition  integer,
    limits     jsonb       NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
)
"""


def upgrade() -> None:
    """Add them."""
    for each in (_AUDIT, *_AUDIT_BY, _HEADS, _REFUSE, _GUARD_DELETE, _GUARD_HEAD, *_TRIGGERS.split(";\n"), _TENANTS):
        op.execute(each.strip())


def downgrade() -> None:
    """Remove them with all that they hold."""
    for table in ("tenants", "audit", "audit_heads"):
        op.execute(f"DROP TABLE sojourn.{table}")
    for function in ("refuse_audit_change", "guard_audit_delete", "guard_audit_head"):
        op.execute(f"DROP FUNCTION sojourn.{function}")
