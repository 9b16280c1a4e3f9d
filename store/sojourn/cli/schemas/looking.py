"""What is printed of looking closely: a session taken apart, and the live view."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field as D
from typing_extensions import TypedDict

__all__ = ["InspectedJson", "InspectionJson", "TopHookJson", "TopJson", "TopRowJson", "TopSummaryJson"]


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
