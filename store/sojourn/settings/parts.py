"""What settings of several values consist of: hooks, and rules of retention."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sojourn.keys import check_kind
from sojourn.models import LIVE, Status

__all__ = ["FUNCTION", "ArchiveRetention", "EventType", "HookSettings", "Seconds", "check_kept"]

FUNCTION: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How settings name what is in a module: ``module:name``."""
EventType = Literal[
    "created", "updated", "touched", "ended", "expired", "deleted", "rotated", "restored", "rehydrated", "lost",
    "damaged", "token_issued", "token_refreshed", "token_revoked", "token_reused", "limited", "administered",
]  # fmt: skip
Seconds = Annotated[float, Field(gt=0)]
_LONGEST_KEEP: Final = timedelta(days=36_525)


def check_kept(value: timedelta | None) -> timedelta | None:
    """Return `value` if something may be kept for so long.

    Raises:
        ValueError: it may not.
    """
    if value is not None and not timedelta(0) < value <= _LONGEST_KEEP:
        raise ValueError("is more than zero and at most 100 years; null keeps for ever")
    return value


class HookSettings(BaseModel):
    """One hook: which events it gets, and the function that gets them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    events: tuple[EventType, ...] = Field(min_length=1)
    """Types of events that it gets."""
    function: str
    """``module:function``; called as ``function(event, session)`` in an RQ worker."""
    batch: int = Field(default=100, ge=1, le=1000)
    """Events in one job at most."""
    timeout: Seconds = 60.0
    """Seconds that one job may take."""
    retries: int = Field(default=5, ge=0, le=50)
    """How often a failing job is tried again, after 1, 2, 4 ... seconds, at most 5 minutes apart."""
    memory_mb: int | None = Field(default=None, ge=1)
    """Megabytes (2**20 bytes) that the hook may take beyond what its process holds before; None: what there is. A
    hook that wants more gets MemoryError. What it keeps from one event to the next counts. Linux only."""

    @field_validator("function")
    @classmethod
    def _is_a_function(cls, value: str) -> str:
        if not FUNCTION.fullmatch(value):
            raise ValueError("is not of the form module:function")
        return value


class ArchiveRetention(BaseModel):
    """One rule of the archive's retention: for which ended sessions it is, and how long they are kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    status: Status | None = None
    """Only sessions that ended so; None: all ended ones. Live ones are never removed."""
    kind: str | None = None
    """Only sessions of this kind; None: of every kind."""
    keep: timedelta | None
    """How long after their end; None: for ever."""

    @field_validator("status")
    @classmethod
    def _is_an_end(cls, value: Status | None) -> Status | None:
        if value in LIVE:
            raise ValueError(f"'{value}' is no end, and only ended sessions are ever removed")
        return value

    @field_validator("kind")
    @classmethod
    def _is_a_kind(cls, value: str | None) -> str | None:
        return value if value is None else check_kind(value)

    @field_validator("keep")
    @classmethod
    def _is_a_time(cls, value: timedelta | None) -> timedelta | None:
        return check_kept(value)
