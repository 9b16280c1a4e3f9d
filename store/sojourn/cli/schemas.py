"""The schemas of what commands print as JSON: what programs may rely on.

Names and meanings stay; fields may be added. ``docs/reference/json.md`` is made of this, and a test holds the output of
each command against it. Times whose names end in ``_ms`` are milliseconds since the epoch, all others ISO 8601 in UTC;
durations whose names end in ``_s`` are seconds, those of a session's fields ISO 8601 (``PT30M``).
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict

__all__ = ["OPEN", "SCHEMAS", "adapter", "fields_of", "json_schema"]

D = Field


class SessionJson(TypedDict):
    """A session as it is, with the fields of its own model behind these."""

    id: Annotated[str, D(description="a random UUID")]
    tenant: str
    kind: Annotated[str, D(description="the name of its model")]
    status: Annotated[str, D(description="pending, in_progress, completed, failed, terminated, expired or deleted")]
    version: Annotated[int, D(description="grows by one with each change")]
    owner: str | None
    client_type: str | None
    tags: list[str]
    metadata: dict[str, Any]
    created_at: str
    updated_at: Annotated[str, D(description="when its fields changed last")]
    accessed_at: Annotated[str, D(description="when it was kept alive last")]
    expires_at: Annotated[str | None, D(description="null: never")]
    ttl: Annotated[str | None, D(description="ISO 8601; null: none")]
    max_lifetime: Annotated[str | None, D(description="ISO 8601; null: none")]
    ended_at: str | None
    end_reason: str | None


class CleanedJson(TypedDict):
    """What a cleanup did, or in a dry run what it would do."""

    tenant: str
    dry_run: bool
    expired: Annotated[int, D(description="sessions past their deadline that were claimed")]
    lost: Annotated[int, D(description="those whose record was gone")]
    damaged: Annotated[int, D(description="those whose record cannot be read")]
    removed: Annotated[int, D(description="ended sessions that were kept for long enough")]
    looked_at: Annotated[int, D(description="live sessions that are old enough to be inactive")]
    ended: Annotated[int, D(description="those that nobody had used")]
    skipped: Annotated[int, D(description="those that were used")]
    failed: Annotated[int, D(description="sessions that could not be cleaned up; each is named on stderr")]
    more: Annotated[bool, D(description="whether something is left")]
    duration_s: float
    ids: Annotated[list[str], D(description="the first 100 of the inactive sessions that ended")]


class CandidateJson(TypedDict):
    """A session that an abbreviated id may mean."""

    id: str
    kind: str
    owner: str | None
    created_at: str


class CountersJson(TypedDict):
    """The counters that were added to, by name, with their new values."""


class EntryJson(TypedDict):
    """An entry of a session's log: whatever its model says."""


class AppendedJson(TypedDict):
    """What appending to a log came to."""

    log: str
    length: Annotated[int, D(description="entries that the log has now")]


class DeadlineJson(TypedDict):
    """A session's new deadline."""

    id: str
    tenant: str
    expires_at: Annotated[str | None, D(description="null: never")]


class EventJson(TypedDict):
    """What happened to a session."""

    id: Annotated[str, D(description="<partition>-<ms>-<sequence>")]
    type: Annotated[str, D(description="created, updated, ended, expired, deleted and others")]
    tenant: str
    session_id: Annotated[str, D(description="'-' where it is about the tenant")]
    kind: str
    version: Annotated[int, D(description="the session's after it")]
    at: str
    at_ms: int
    actor: Annotated[str, D(description="'' where nobody said")]
    trace_id: Annotated[str, D(description="'' where nobody said")]
    changes: Annotated[dict[str, Any], D(description="fields and their new values")]
    before: Annotated[dict[str, Any] | None, D(description="what changed fields held; null where that was not kept")]


class InspectedJson(TypedDict):
    """A key, a row or a job that belongs to a session, or should."""

    part: Annotated[str, D(description="record, marks, indexes, logs, tokens, limits, events, jobs or archive")]
    what: str
    where: Annotated[str, D(description="the key in Redis, or the table in PostgreSQL")]
    value: Annotated[Any, D(description="what is there, without secrets; null: nothing")]
    ttl_ms: Annotated[int | None, D(description="for how much longer; null: for ever, or as long as what it is in")]
    drift: Annotated[str, D(description="what is wrong with it; '' where nothing is")]
    command: Annotated[str, D(description="the line for a shell that shows the same")]
    ttl_command: str | None


class InspectionJson(TypedDict):
    """A session, taken apart."""

    session_id: str
    tenant: str
    state: Annotated[str, D(description="live, overdue, ended, archived, damaged or missing")]
    status: str | None
    version: int | None
    partition: int
    at_ms: Annotated[int, D(description="when, by Redis's clock")]
    drift: Annotated[int, D(description="how many of the items are not as they should be")]
    items: list[InspectedJson]
    unseen: Annotated[list[str], D(description="what could not be looked at, and why")]
    elsewhere: Annotated[list[str], D(description="where there is no such session: other tenants that have it")]
    now_id: Annotated[str | None, D(description="under which id it goes on, where that was changed")]


class TopRowJson(TypedDict):
    """One tenant's sessions, or those of one kind, at one moment."""

    at: str | None
    by: Annotated[str, D(description="tenant or kind")]
    name: str
    live: int
    pending: int
    in_progress: int
    overdue: Annotated[int | None, D(description="past their deadline, awaiting cleanup; null: not known by kind")]
    completed: Annotated[int, D(description="this and the next four: ended so, since they are counted")]
    failed: int
    terminated: int
    expired: int
    deleted: int
    created_per_s: float | None
    ended_per_s: float | None
    memory_bytes: int | None


class TopSummaryJson(TypedDict):
    """A deployment as a whole."""

    live: int
    overdue: int
    created_per_s: float | None
    ended_per_s: float | None
    expiry_lag_s: Annotated[
        float | None, D(description="how long after the deadline sessions were claimed, on average")
    ]
    expiry_lag_p99_s: Annotated[float | None, D(description="null: none, or more than the last bucket")]
    dirty: Annotated[int, D(description="sessions that wait for the archive")]
    archive_lag_s: Annotated[float, D(description="for how long the first of them has been waiting")]
    outbox: int
    slowest_group: str | None
    group_lag_s: float
    queues: Annotated[dict[str, int], D(description="jobs that wait, by queue")]
    workers: Annotated[dict[str, int], D(description="workers that are alive, by queue")]
    queues_answer: bool
    dead_letters: int
    lost: int
    redis_memory_bytes: int | None
    redis_memory_limit_bytes: Annotated[int | None, D(description="0: none")]


class TopHookJson(TypedDict):
    """A hook."""

    name: str
    runs_per_s: float | None
    failed: int
    average_s: float | None
    p95_s: Annotated[float | None, D(description="null: none, or more than the last bucket")]
    dead_letters: int


class TopJson(TypedDict):
    """A frame of the live view."""

    at: Annotated[str | None, D(description="by Redis's clock; null: it has not answered yet")]
    problem: Annotated[str | None, D(description="why the rest is not of this moment")]
    summary: TopSummaryJson | None
    rows: list[TopRowJson]
    hooks: list[TopHookJson]


class ForgottenJson(TypedDict):
    """What forgetting a group of readers came to."""

    group: str
    found: Annotated[bool, D(description="whether there was such a group")]
    pending: NotRequired[Annotated[int, D(description="of a dry run: events that it has in hand")]]
    lag_s: NotRequired[
        Annotated[float, D(description="of a dry run: the age of the oldest that it has not dealt with")]
    ]
    dry_run: bool


class TokensJson(TypedDict):
    """Tokens that were issued: the only time that they are shown."""

    access: str
    access_expires_at: str
    refresh: str | None
    refresh_expires_at: str | None


class FamilyJson(TypedDict):
    """All tokens that descend from one issuing; never a token."""

    id: str
    issued_at: str
    renewed_at: str
    access_expires_at: Annotated[str | None, D(description="null: it is over")]
    refresh_expires_at: Annotated[str | None, D(description="null: it is over, or there never was one")]
    used: Annotated[int, D(description="used refresh tokens that are remembered")]
    bound: Annotated[bool, D(description="whether they work with one client's fingerprint alone")]


class RevokedJson(TypedDict):
    """What revoking came to."""

    revoked: Annotated[int, D(description="tokens that could be used until now")]
    dry_run: NotRequired[Annotated[bool, D(description="true: none was revoked, this is what would be")]]
    sessions: NotRequired[Annotated[int, D(description="of a dry run: whose tokens they are")]]
    families: NotRequired[Annotated[int, D(description="of a dry run")]]


class LetterJson(TypedDict):
    """An event that a hook was given up on."""

    id: Annotated[str, D(description="<hook>/<event id>")]
    hook: str
    event_id: str
    at_ms: Annotated[int, D(description="when it was given up")]
    tries: int
    reason: Annotated[str, D(description="why it was given up")]
    event: Annotated[dict[str, Any] | str, D(description="as of sojourn events; text where it cannot be read")]


class ReplayedJson(TypedDict):
    """What replaying dead letters came to; all are lists of their ids, but `refused`, which says why."""

    enqueued: list[str]
    done: Annotated[list[str], D(description="were done since, or given up anew")]
    refused: dict[str, str]


class DroppedJson(TypedDict):
    """What dropping dead letters came to."""

    dropped: int
    dry_run: bool


class TenantJson(TypedDict):
    """A tenant and what there is of it."""

    tenant: str
    partition: int
    isolated: Annotated[bool, D(description="whether the partition is its own")]
    live: Annotated[int, D(description="sessions")]
    ended: Annotated[int, D(description="sessions that Redis still holds")]
    archived: Annotated[int | None, D(description="sessions; null where there is no archive, or no answer")]
    closed: Annotated[bool, D(description="whether it is being deleted")]


class TenantDetailsJson(TenantJson):
    """The same in detail."""

    counts: Annotated[dict[str, dict[str, int]], D(description="sessions by kind and status")]
    moving: Annotated[bool, D(description="whether it is on the way to its own partition")]
    limits: dict[str, Any]
    dirty: Annotated[int, D(description="sessions that wait for the archive")]
    events: Annotated[int, D(description="its events in the outbox")]
    groups: Annotated[list[str], D(description="its own groups of readers")]


class IsolatedJson(TypedDict):
    """What giving a tenant its own partition took."""

    tenant: str
    partition: int
    already: bool
    sessions: int
    keys: int
    resumed: bool


class DeletedTenantJson(TypedDict):
    """What was removed of a tenant; of a dry run: what would be."""

    tenant: str
    sessions: int
    logs: int
    indexes: int
    tokens: int
    keys: int
    members: int
    events: int
    groups: int
    dead_letters: int
    user: Annotated[bool, D(description="whether there was a Redis user for it")]
    archive: Annotated[dict[str, int], D(description="rows by table")]
    dry_run: bool


class LimitsJson(TypedDict):
    """A tenant's limits, and what it takes of them."""

    tenant: str
    limits: dict[str, Any]
    usage: Annotated[dict[str, int | None], D(description="null: it is not counted, for there is no limit on it")]


class ConfinementJson(TypedDict):
    """A Redis user that is confined to one tenant."""

    tenant: str
    user: str
    partition: int | None
    rule: list[str]
    weakened: Annotated[list[str], D(description="what this version of Redis cannot keep from it")]
    applied: bool
    persisted: str | None
    command: Annotated[str, D(description="what sets the user; of the password there is a hash at most")]
    password: NotRequired[Annotated[str, D(description="one that was made, shown this once")]]


class SealedJson(TypedDict):
    """What is sealed under which key, and what was moved."""

    newest: str | None
    keys: dict[str, dict[str, int]]
    moved: dict[str, int]
    unopened: int
    unopened_first: list[dict[str, Any]]
    changed: int
    duration_s: float
    complete: bool


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


class ExecutionJson(TypedDict):
    """An execution of a tool."""

    tool: str
    at: str
    duration: str
    success: bool
    error: str | None
    arguments_digest: str | None


class ExecutionMetricsJson(TypedDict):
    """Counts of a session's executions, of all and by tool; see `McpMetrics`."""

    session_id: str
    total: int
    failed: int
    success_rate: float | None
    duration: str
    average_duration: str | None
    buckets: list[dict[str, Any]]
    tools: dict[str, Any]
    others: dict[str, Any] | None
    log_length: int
    log_first: int
    log_dropped: int


class SettingJson(TypedDict):
    """A setting, masked where it is a secret."""

    name: str
    value: Any
    source: Annotated[str, D(description="default, file, environment or argument")]
    where: str | None


class FindingJson(TypedDict):
    """What one check of doctor found; as CSV, a row."""

    check: Annotated[str, D(description="its name, as --check takes it")]
    severity: Annotated[str, D(description="ok, info, warning or error")]
    found: str
    why: Annotated[str, D(description="why it matters; empty where all is well")]
    mend: Annotated[str, D(description="what to do, in words")]
    commands: Annotated[list[str], D(description="the commands that do it")]
    fixable: Annotated[bool, D(description="whether --fix does it")]


class FixJson(TypedDict):
    """What came of mending what one check found."""

    check: str
    done: Annotated[str, D(description="what was done, or with --dry-run would be; empty where it failed")]
    failed: Annotated[str, D(description="why it could not be mended; empty where it was")]
    left: Annotated[list[FindingJson], D(description="what the check finds now that is not well")]


class FindingsJson(TypedDict):
    """What doctor found, and what it mended."""

    findings: list[FindingJson]
    fixes: NotRequired[Annotated[list[FixJson], D(description="only with --fix")]]


class MetricsJson(TypedDict):
    """The numbers that Redis keeps; see `Metrics`."""


class ReasonJson(TypedDict):
    """Why a deployment is not healthy."""

    what: Annotated[str, D(description="what was looked at, such as redis, memory or scheduler")]
    state: Annotated[Literal["degraded", "unhealthy"], D(description="how bad that alone is")]
    told: str
    mend: Annotated[str, D(description="what to do")]
    value: float | None
    threshold: float | None


class HealthJson(TypedDict):
    """How a deployment is, and why."""

    state: Literal["healthy", "degraded", "unhealthy"]
    reasons: list[ReasonJson]


class ErrorJson(TypedDict):
    """What is on a line of stderr, under ``error``, for each thing that went wrong."""

    code: Annotated[str, D(description="session_not_found, version_conflict, usage and so on: the error in words")]
    message: str
    session: NotRequired[str]
    tenant: NotRequired[str]
    candidates: NotRequired[Annotated[list[CandidateJson], D(description="of an abbreviated id: what it may mean")]]


SCHEMAS: Final[dict[str, type]] = {
    name.removesuffix("Json"): found for name, found in list(globals().items()) if name.endswith("Json")
}
"""By the names that commands declare."""
OPEN: Final = frozenset({"Session", "Counters", "Entry", "Metrics"})
"""Those of what has other fields, too."""


@cache
def adapter(name: str) -> TypeAdapter[Any]:
    """What validates JSON values against a schema."""
    return TypeAdapter(SCHEMAS[name])


def fields_of(name: str) -> tuple[str, ...]:
    """The fields of a schema, in order."""
    return tuple(SCHEMAS[name].__annotations__)


def json_schema(name: str) -> dict[str, Any]:
    """A schema as JSON Schema.

    Example:
        >>> json_schema("Dropped")["required"]
        ['dropped', 'dry_run']
    """
    return adapter(name).json_schema()
