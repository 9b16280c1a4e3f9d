"""What is printed of sessions: their fields, logs, counters, tokens and tools' executions."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field as D
from typing_extensions import TypedDict

__all__ = [
    "AppendedJson",
    "CountersJson",
    "DeadlineJson",
    "EntryJson",
    "ExecutionJson",
    "ExecutionMetricsJson",
    "FamilyJson",
    "RevokedJson",
    "SessionJson",
    "TokensJson",
]


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
