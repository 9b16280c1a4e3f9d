"""How large what users store may get, checked before anything is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from sojourn.errors import InvalidField, InvalidTtl

__all__ = ["INFINITE", "LONGEST_TTL", "Limits", "Ttl", "check_depth", "milliseconds"]

Positive = Annotated[int, Field(gt=0)]

Ttl = timedelta | float | None
"""A time to live: a timedelta, seconds, or None for a session that does not expire."""

LONGEST_TTL: Final = timedelta(days=3650)
"""The longest finite TTL. Whoever wants longer means `INFINITE`."""
INFINITE: Final = None
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_SCALARS: Final = (str, int, float, type(None))


class Limits(BaseModel):
    """Upper bounds on what one session may hold; sizes in bytes as stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata_bytes: Positive = 65_536
    field_bytes: Positive = 1_048_576
    depth: Positive = 32
    """How deep lists and mappings may nest."""
    tags: Positive = 64
    indexed_bytes: Positive = 256
    """One indexed value, tags among them: it becomes part of a key."""
    log_entries: Positive = 10_000
    """Entries in one log of one session."""
    entry_bytes: Positive = 65_536
    tools: Annotated[int, Field(gt=0, le=1_000)] = 200
    """Tools of one session that are counted apart; executions of further ones are counted together."""
    tokens: Annotated[int, Field(ge=2, le=4_000)] = 2_000
    """Tokens of one session, used refresh tokens that are remembered among them; past it the largest family goes."""
    batch: Annotated[int, Field(gt=0, le=10_000)] = 1_000
    """Sessions in one batch call, and on one page of a list."""


def milliseconds(ttl: Ttl, what: str = "ttl") -> int | None:
    """A TTL in whole milliseconds; None for infinite.

    Raises:
        InvalidTtl: it is zero, negative, not a number, or longer than `LONGEST_TTL`.

    Example:
        >>> milliseconds(1.5)
        1500
    """
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float, timedelta)):
        raise InvalidTtl(f"{what} must be seconds, a timedelta or None, not {type(ttl).__name__}")
    longest_s = LONGEST_TTL.total_seconds()
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if not 0.001 <= seconds <= longest_s:  # NaN compares false and ends here too
        raise InvalidTtl(f"{what} is not between 0.001 s and {longest_s:.0f} s; for no expiry pass None")
    return round(seconds * 1000)


def check_depth(field: str, value: Any, depth: int, most: int) -> None:
    """Refuse what nests deeper than `depth`, or holds more than `most` values, without recursing into it.

    What holds one list several times over counts it as often, as its JSON would.

    Raises:
        InvalidField: it nests deeper, contains itself, or holds more.
    """
    if isinstance(value, _SCALARS):
        return
    layer = [value]
    for _ in range(depth):
        containers = [each for each in layer if isinstance(each, _CONTAINERS)]
        most -= sum(map(len, containers))
        if most < 0:
            raise InvalidField(field, "holds too many values")
        layer = [
            child for each in containers for child in (each.values() if isinstance(each, dict) else each)
        ]  # fmt: skip
        if not layer:
            return
    if not any(isinstance(each, _CONTAINERS) for each in layer):
        return
    raise InvalidField(field, f"nests deeper than {depth} levels")
