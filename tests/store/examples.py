"""Models, and enums for their fields, that the tests share."""

from __future__ import annotations

import enum
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from sojourn import Counter, Indexed, Log, Session, Status

__all__ = ["Colour", "JobSession", "Level", "RangeSession", "Right", "StrictSession", "keys_of"]


class Colour(enum.StrEnum):
    """Text values."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """Integer values."""

    LOW = 1
    HIGH = 2


class Right(enum.Flag):
    """Values that combine."""

    READ = 1
    WRITE = 2


class JobSession(Session):
    """One of every kind of field."""

    queue: Annotated[str, Indexed()] = "default"
    labels: Annotated[tuple[str, ...], Indexed()] = ()
    note: str | None = None
    attempts: Annotated[int, Counter()] = 0
    failures: Annotated[int, Counter()] = 0
    limit: int = Field(default=10, ge=0)
    lines: ClassVar[Log[str]] = Log(str)


class RangeSession(Session):
    """A model whose fields must agree, with validators of both kinds."""

    low: int = 0
    high: int = 10
    label: str = ""

    @field_validator("label")
    @classmethod
    def _lower(cls, value: str) -> str:
        if " " in value:
            raise ValueError("no spaces")
        return value.lower()

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


class StrictSession(Session):
    """A model that wants to be in progress before it is completed."""

    transitions = {  # noqa: RUF012
        Status.PENDING: frozenset({Status.IN_PROGRESS, Status.TERMINATED}),
        Status.IN_PROGRESS: frozenset({Status.COMPLETED, Status.FAILED, Status.PENDING}),
    }


def keys_of(store: Any) -> Any:
    """Return the keys of a store's tenant."""
    return store._context.keys
