"""A model with a field of every type that can be stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, Field, JsonValue, Secret, SecretStr

from sojourn import Counter, Indexed, Log, Session

__all__ = ["KEY", "Colour", "Entry", "EverySession", "Level", "Part", "Rights"]

KEY = "00c0ffee:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
"""Seals the secrets."""


class Colour(StrEnum):
    """An enum of texts."""

    RED = "red"
    GREEN = "grün"


class Level(IntEnum):
    """An enum of numbers."""

    LOW = -1
    HIGH = 7


class Rights(Flag):
    """A set of flags."""

    READ = 1
    WRITE = 2


class Mixed(Enum):
    """An enum of both."""

    ONE = 1
    TWO = "two"


@dataclass
class Point:
    """A dataclass."""

    x: float = 0.0
    y: int = 0


class Part(BaseModel):
    """A model within a model, which may nest."""

    name: str = ""
    size: int | None = None
    at: AwareDatetime | None = None
    parts: tuple[Part, ...] = ()


class Cat(BaseModel):
    """One kind of pet."""

    pet: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    """Another."""

    pet: Literal["dog"] = "dog"


class Entry(BaseModel):
    """An entry of a log."""

    text: str
    number: float = 0.0
    more: dict[str, JsonValue] = Field(default_factory=dict)


class EverySession(Session, kind="every"):
    """A field of every type."""

    text: str = "default"
    maybe_text: str | None = None
    maybe_default: str | None = "default"
    queue: Annotated[str | None, Indexed()] = None
    labels: Annotated[list[str], Indexed()] = Field(default_factory=list)
    number: int = 0
    small: Annotated[int, Field(ge=0, le=100)] = 1
    slot: Annotated[int | None, Indexed()] = None
    attempts: Annotated[int, Counter()] = 0
    ratio: float | None = None
    flag: bool = False
    seen_at: datetime | None = None
    due_at: AwareDatetime = datetime(2026, 1, 1, tzinfo=UTC)
    pause: timedelta | None = None
    uid: UUID | None = None
    price: Decimal = Decimal(0)
    day: date | None = None
    hour: time | None = None
    colour: Annotated[Colour | None, Indexed()] = None
    level: Level = Level.LOW
    rights: Rights | None = None
    mixed: Mixed = Mixed.ONE
    choice: Literal["a", 1] | None = None
    raw: bytes = b""
    pair: tuple[int, str] | None = None
    some: frozenset[str] = frozenset()
    numbers: set[int] | None = None
    table: dict[str, float] = Field(default_factory=dict)
    by_number: dict[int, list[str]] = Field(default_factory=dict)
    anything: Any = None
    json_value: JsonValue = None
    one_of: int | str | list[bytes] | None = None
    part: Part | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="pet")] | None = None
    point: Point = Field(default_factory=Point)
    address: IPv4Address | None = None
    path: Path | None = None
    password: SecretStr | None = None
    credentials: Secret[dict[str, str]] | None = None
    lines: ClassVar[Log[str]] = Log(str)
    items: ClassVar[Log[Entry]] = Log(Entry)
    any_values: ClassVar[Log[JsonValue]] = Log(JsonValue)
