"""What a tenant may take: how many live sessions, of how many bytes, and how often it may call."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sojourn.codec.checks import invalid_field
from sojourn.errors import InvalidField

__all__ = ["Rate", "TenantLimits", "Usage", "checked_limits"]

_RATE: Final = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*/\s*(s|m|h|d)\s*(?::\s*([0-9]{1,7})\s*)?")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COUNT_MOST: Final = 2**53 - 1
_PER_SECOND_LEAST: Final = 1e-6
_PER_SECOND_MOST: Final = 1e6
_RATES: Final = ("creates", "owner_creates", "operations", "owner_operations")

Count = Annotated[int, Field(ge=0, le=_COUNT_MOST, strict=True)]


class Rate(BaseModel):
    """How often something may happen: a bucket of `burst` tokens that fills with `per_second` of them.

    As text: ``10/s``, ``600/m``, ``5/h``, ``1/d``; with a burst behind a colon, ``10/s:50``. Without one the bucket
    holds what comes in a second, but at least one token.

    Example:
        >>> Rate.parse("600/m:50")
        Rate(per_second=10.0, burst=50)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_second: float = Field(ge=_PER_SECOND_LEAST, le=_PER_SECOND_MOST, allow_inf_nan=False)
    burst: int = Field(default=0, ge=0, le=10_000_000)

    @model_validator(mode="before")
    @classmethod
    def _with_burst(cls, data: Any) -> Any:
        if isinstance(data, str):
            found = _RATE.fullmatch(data)
            if not found:
                raise ValueError("is a rate such as 10/s, 600/m or 10/s:50 (with a burst)")
            data = {"per_second": float(found[1]) / _SECONDS[found[2]], "burst": int(found[3] or 0)}
        if isinstance(data, Mapping) and not data.get("burst"):
            rate = data.get("per_second")
            if isinstance(rate, (int, float)) and math.isfinite(rate):
                data = {**data, "burst": max(1, math.ceil(rate))}
        return data

    @classmethod
    def parse(cls, text: str) -> Rate:
        """A rate from its text.

        Raises:
            InvalidField: it is none.
        """
        try:
            return cls.model_validate(text)
        except ValidationError as error:
            raise InvalidField("rate", str(error.errors(include_input=False)[0]["msg"])) from None

    def __str__(self) -> str:
        return f"{self.per_second:g}/s:{self.burst}"


class TenantLimits(BaseModel):
    """The limits of a tenant; None is none. They are kept in Redis, hold for every client, and hold exactly.

    A session without an owner counts for the tenant, but for no owner.

    Example:
        >>> TenantLimits(sessions=1000, creates="10/s:50").creates
        Rate(per_second=10.0, burst=50)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sessions: Count | None = None
    """Live sessions of the tenant."""
    owner_sessions: Count | None = None
    """Live sessions of one owner."""
    bytes: Count | None = None
    """Bytes of the tenant's live sessions: names and values of the fields that users set, and their log entries. Redis
    takes more for them: keys, indexes and places come on top."""
    policy: Literal["reject", "evict_lru"] = "reject"
    """Whether what is too much is refused, or the least recently used live sessions end for it."""
    creates: Rate | None = None
    """How often the tenant may create a session."""
    owner_creates: Rate | None = None
    """How often one may be created for an owner."""
    operations: Rate | None = None
    """How often the tenant may call at all; each session of a batch is a call. Revoking tokens is never refused, nor is
    what is no session's: reading events and counts, setting limits, cleaning up."""
    owner_operations: Rate | None = None
    """How often calls on one owner's sessions may be made."""

    @property
    def on_sessions(self) -> bool:
        """Whether one of them is on live sessions, so that these are counted."""
        return not (self.sessions is self.owner_sessions is self.bytes is None)

    def to_stored(self, names: frozenset[str] | None = None) -> dict[str, str]:
        """The fields of the limits' hash, '' for none; of those `names` only."""
        stored: dict[str, str] = {}
        for name in type(self).model_fields:
            if names is not None and name not in names:
                continue
            value = getattr(self, name)
            if name in _RATES:
                stored[name] = "" if value is None else repr(value.per_second)
                stored[f"{name}_burst"] = "" if value is None else str(value.burst)
            else:
                stored[name] = "" if value is None else str(value)
        return stored

    @classmethod
    def from_stored(cls, stored: Mapping[str, str]) -> TenantLimits:
        """From the fields of the hash. What other hands wrote there that is no limit is none, as in the scripts."""
        found: dict[str, Any] = {}
        for name in cls.model_fields:
            text = stored.get(name)
            if text is None:
                continue
            try:
                if name in _RATES:
                    value: Any = Rate(per_second=float(text), burst=int(stored.get(f"{name}_burst", "1")))
                elif name == "policy":
                    value = text if text == "evict_lru" else "reject"
                else:
                    value = int(text)
                cls.model_validate({name: value})
            except ValueError:
                continue
            found[name] = value
        return cls(**found)


@dataclass(frozen=True)
class Usage:
    """What a tenant, or one of its owners, takes of its limits. None: not counted, for no limit asks for it."""

    sessions: int | None
    """Live ones; sessions past their deadline that no worker has claimed yet among them."""
    bytes: int | None
    """None for one owner."""
    limits: TenantLimits


def checked_limits(changes: Mapping[str, Any]) -> TenantLimits:
    """Limits from what a caller gave for some of them.

    Raises:
        InvalidField: there is no such limit, or it cannot have that value.
    """
    try:
        return TenantLimits(**changes)
    except ValidationError as error:
        raise invalid_field("limits", error) from None
