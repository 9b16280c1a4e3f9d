"""What an inspection found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = ["Inspection", "Item", "Part", "State"]

State = Literal["live", "overdue", "ended", "archived", "damaged", "missing"]
"""Overdue: past its deadline, and no worker has noticed yet. Archived: no longer in Redis. Missing: nowhere."""
Part = Literal["record", "marks", "indexes", "logs", "tokens", "limits", "events", "jobs", "archive"]


@dataclass(frozen=True)
class Item:
    """One thing that belongs to the session, or should."""

    part: Part
    what: str
    """In words, such as ``lease``."""
    where: str
    """The key in Redis, or the table in PostgreSQL."""
    value: Any
    """What is there, as JSON values, secrets left out; None: nothing."""
    command: str
    """The line for a shell that shows the same."""
    ttl_ms: int | None = None
    """For how much longer it stays; None: for ever, or it is an entry of something that is not its own."""
    ttl_command: str | None = None
    """The line that shows that."""
    drift: str = ""
    """What is wrong with it; '' where nothing is."""


@dataclass(frozen=True)
class Inspection:
    """A session, taken apart at one moment.

    Example:
        >>> Inspection("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77", "acme", "missing", 40, 0).drift
        ()
    """

    session_id: str
    tenant: str
    state: State
    partition: int
    at_ms: int
    """When, by Redis's clock."""
    status: str | None = None
    version: int | None = None
    items: tuple[Item, ...] = field(default=())
    unseen: tuple[str, ...] = field(default=())
    """What could not be looked at, and why."""
    elsewhere: tuple[str, ...] = field(default=())
    """Where the tenant has no such session: other tenants that do."""
    now_id: str | None = None
    """Under which id the session goes on, where that was changed."""

    @property
    def drift(self) -> tuple[Item, ...]:
        """What is not as it should be."""
        return tuple(each for each in self.items if each.drift)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        told = asdict(self)
        lists = {name: list(told[name]) for name in ("items", "unseen", "elsewhere")}
        return told | lists | {"drift": len(self.drift)}
