"""What is printed of events, their readers, and those that hooks were given up on."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field as D
from typing_extensions import TypedDict

__all__ = ["DroppedJson", "EventJson", "ForgottenJson", "LetterJson", "ReplayedJson"]


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


class ForgottenJson(TypedDict):
    """What forgetting a group of readers came to."""

    group: str
    found: Annotated[bool, D(description="whether there was such a group")]
    pending: NotRequired[Annotated[int, D(description="of a dry run: events that it has in hand")]]
    lag_s: NotRequired[
        Annotated[float, D(description="of a dry run: the age of the oldest that it has not dealt with")]
    ]
    dry_run: bool


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
