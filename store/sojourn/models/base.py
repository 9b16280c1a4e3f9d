"""The session record: what every session has, and how a model extends it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue

from sojourn.models.markers import Indexed

__all__ = ["ENDED", "LIVE", "Session", "Status", "UnknownSession"]


class Status(StrEnum):
    """Where a session is in its life."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    TERMINATED = "terminated"
    EXPIRED = "expired"
    DELETED = "deleted"

    __hash__ = str.__hash__  # an Enum's own is in Python, and not that of the text that is equal


LIVE = frozenset({Status.PENDING, Status.IN_PROGRESS})
"""The statuses of a session that can still be written to."""
ENDED = frozenset(Status) - LIVE
"""The final statuses."""


class Session(BaseModel):
    """One session, as it was when it was read: a frozen value, which the store's methods change in Redis.

    Subclass it to add fields of your own; see `Indexed`, `Counter` and `Log` for what they can be. All times are
    aware, in UTC, and exact to the millisecond, as Redis told them.

    Example:
        >>> class JobSession(Session):
        ...     queue: str = "default"
        >>> JobSession.kind_name
        'job'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64")

    kind_name: ClassVar[str] = "session"
    """The name under which the model's sessions are stored; the class name without ``Session``, in snake case."""
    transitions: ClassVar[Mapping[Status, frozenset[Status]]] = {
        Status.PENDING: frozenset({Status.IN_PROGRESS, Status.COMPLETED, Status.FAILED, Status.TERMINATED}),
        Status.IN_PROGRESS: frozenset({Status.COMPLETED, Status.FAILED, Status.TERMINATED}),
    }
    """The status changes that the model allows. Any live session may expire or be deleted."""

    id: str
    tenant: str
    kind: str
    status: Status = Status.PENDING
    version: int = Field(default=1, ge=1)
    owner: Annotated[str | None, Indexed()] = None
    client_type: str | None = None
    tags: Annotated[tuple[str, ...], Indexed()] = ()
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    created_at: AwareDatetime
    updated_at: AwareDatetime
    accessed_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    ttl: timedelta | None = None
    max_lifetime: timedelta | None = None
    ended_at: AwareDatetime | None = None
    end_reason: str | None = None

    def __init_subclass__(cls, *, kind: str | None = None, **kwargs: Any) -> None:
        """Name the kind: ``class MySession(Session, kind="mine")``, or from the class's name."""
        super().__init_subclass__(**kwargs)
        if kind is not None:
            cls.kind_name = kind
        elif "kind_name" not in cls.__dict__:
            stem = cls.__name__.removesuffix("Session") or cls.__name__
            cls.kind_name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", stem).lower()

    @property
    def is_live(self) -> bool:
        """Whether it could still be written to when it was read."""
        return self.status in LIVE

    @property
    def duration(self) -> timedelta:
        """From its creation to its end, or to its last change while it is live."""
        end: datetime = self.ended_at or self.updated_at
        return end - self.created_at


class UnknownSession(Session, kind="unknown"):
    """A session whose model is not known here (see the setting ``models``): its own fields are kept as plain text."""

    model_config = ConfigDict(extra="allow")
