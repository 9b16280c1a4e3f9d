"""What is printed of the archive: its tables, runs, files, and the audit trail in it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field as D
from typing_extensions import TypedDict

__all__ = [
    "ArchiveRunJson",
    "ArchiveStatusJson",
    "AuditJson",
    "ChainJson",
    "ExportedJson",
    "ImportedJson",
    "MigrationJson",
    "RehydratedJson",
    "RetentionJson",
    "VersionJson",
]


class VersionJson(TypedDict):
    """The version of the archive's tables."""

    version: str


class MigrationJson(TypedDict):
    """Where a migration would lead."""

    version: Annotated[str | None, D(description="of the tables now")]
    to: str
    down: Annotated[bool, D(description="whether that drops data")]
    rows: Annotated[dict[str, int], D(description="rows by table, before it goes down")]
    dry_run: bool


class ArchiveStatusJson(TypedDict):
    """What waits for the archive, and how its last run went. Unknown, where a server is away, is null."""

    dirty: int | None
    lag_s: float | None
    events_lag_s: float | None
    last_run: Annotated[dict[str, Any] | None, D(description="as of sojourn archive run, with `at` and `rate`")]
    last_error: str | None
    last_error_at: str | None
    schema_held: str | None
    schema_expected: str
    redis_problem: str | None
    archive_problem: str | None


class ArchiveRunJson(TypedDict):
    """What an archive run did; see `ArchiveReport`."""

    sessions: int
    entries: int
    events: int
    audited: int
    settled: int
    removed: int
    changed: int
    damaged: int
    lost: int
    stale: int
    restored: int
    again: int
    busy: int
    complete: bool
    duration_s: float


class RetentionJson(TypedDict):
    """What retention removed, or would remove."""

    rules: list[dict[str, Any]]
    stray_events: int
    audit_rows: int
    audit_damaged: list[str]
    dry_run: bool
    complete: bool
    duration_s: float


class ExportedJson(TypedDict):
    """What was written to a file."""

    table: str
    rows: int
    file: str


class ImportedJson(TypedDict):
    """What became of the rows of a file."""

    read: int
    written: int
    damaged: int
    unchanged: int
    dry_run: bool


class RehydratedJson(TypedDict):
    """What became of the sessions that the archive held as live; see `RehydrateReport`."""

    loaded: int
    replaced: int
    removed: int
    same: int
    newer: int
    ended: int
    damaged: int
    missing: int
    resumed: bool
    dry_run: bool
    duration_s: float


class AuditJson(TypedDict):
    """A row of a tenant's audit trail."""

    tenant: str
    seq: Annotated[int, D(description="its place in the chain")]
    at: str
    at_ms: int
    recorded_at_ms: int
    actor: str
    action: str
    session_id: str | None
    trace_id: str
    event_id: str
    detail: dict[str, Any]
    hash: str


class ChainJson(TypedDict):
    """What came of checking a tenant's audit trail."""

    tenant: str
    rows: int
    head: Annotated[str, D(description="SEQ:HASH, for --expect")]
    pruned_seq: int
    problem: dict[str, Any] | None
    is_sound: bool
