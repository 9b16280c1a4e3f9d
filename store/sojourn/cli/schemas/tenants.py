"""What is printed of tenants: what there is of them, their limits, and what confines and removes them."""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field as D
from typing_extensions import TypedDict

__all__ = ["ConfinementJson", "DeletedTenantJson", "IsolatedJson", "LimitsJson", "TenantDetailsJson", "TenantJson"]


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
    user: Annotated[
        bool | None, D(description="whether there was a Redis user for it; null where this login may not see users")
    ]
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
