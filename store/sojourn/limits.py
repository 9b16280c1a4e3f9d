"""How large what users store may get, checked before anything is sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, ItemsView, Iterable, KeysView, ValuesView
from datetime import timedelta
from itertools import islice
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from sojourn.errors import InvalidField, InvalidInput, InvalidTtl

__all__ = ["INFINITE", "LONGEST_BATCH", "LONGEST_TTL", "Limits", "Ttl", "at_most", "check_depth", "milliseconds"]

T = TypeVar("T")
Positive = Annotated[int, Field(gt=0)]

Ttl = timedelta | float | None
"""A time to live: a timedelta, seconds, or None for a session that does not expire."""

LONGEST_TTL: Final = timedelta(days=3650)
"""The longest finite TTL. Whoever wants longer means `INFINITE`."""
INFINITE: Final = None
LONGEST_BATCH: Final = 10_000
"""What the limit `batch` may be at most."""
_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_SCALARS: Final = (str, int, float, type(None))
_PLAIN: Final = frozenset({*_SCALARS, bool})
_EXACT: Final = frozenset(_CONTAINERS)
_LONGEST_S: Final = LONGEST_TTL.total_seconds()


class Limits(BaseModel):
    """Upper bounds on what one session may hold; sizes in bytes as stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metadata_bytes: Positive = 65_536
    """The metadata."""
    field_bytes: Positive = 1_048_576
    """Any other field."""
    depth: Positive = 32
    """How deep lists and mappings may nest."""
    tags: Positive = 64
    """Tags of one session."""
    indexed_bytes: Positive = 256
    """One indexed value, tags among them: it becomes part of a key."""
    log_entries: Positive = 10_000
    """Entries in one log of one session."""
    entry_bytes: Positive = 65_536
    """One entry of a log."""
    tools: Annotated[int, Field(gt=0, le=1_000)] = 200
    """Tools of one session that are counted apart; executions of further ones are counted together."""
    tokens: Annotated[int, Field(ge=2, le=4_000)] = 2_000
    """Tokens of one session, used refresh tokens that are remembered among them; past it the largest family goes."""
    batch: Annotated[int, Field(gt=0, le=LONGEST_BATCH)] = 1_000
    """Sessions in one batch call, and on one page of a list."""


def milliseconds(ttl: Ttl, what: str = "ttl", *, none: str = "for no expiry pass None") -> int | None:
    """A TTL in whole milliseconds; None for infinite. `none`: what the error says of None; '' where it is refused.

    Raises:
        InvalidTtl: it is zero, negative, not a number, or longer than `LONGEST_TTL`.

    Example:
        >>> milliseconds(1.5)
        1500
    """
    if ttl is None:
        return None
    if type(ttl) is int and 1 <= ttl <= _LONGEST_S:  # nearly all are like this
        return ttl * 1000
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float, timedelta)):
        choice = "seconds, a timedelta or None" if none else "seconds or a timedelta"
        raise InvalidTtl(f"{what} must be {choice}, not {type(ttl).__name__}")
    # What a number or timedelta holds, whatever methods a subclass may have.
    if isinstance(ttl, timedelta):
        seconds: float = timedelta.total_seconds(ttl)
    else:
        seconds = float.__float__(ttl) if isinstance(ttl, float) else int.__int__(ttl)
    if not 0.001 <= seconds <= _LONGEST_S:  # NaN compares false and ends here too
        raise InvalidTtl(f"{what} is not between 0.001 s and {_LONGEST_S:.0f} s" + (f"; {none}" if none else ""))
    return round(seconds * 1000)


def at_most(values: Iterable[T], most: int, what: str) -> list[T]:
    """The values of an iterable, which may have no end.

    Raises:
        InvalidInput: they are more than `most`, or it is none, or a text.
    """
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidInput(f"{what} takes a list, not {type(values).__name__}")
    found = list(islice(values, most + 1))
    if len(found) > most:
        raise InvalidInput(f"{what} takes at most {most} values")
    return found


def check_depth(field: str, value: Any, depth: int, most: int) -> None:
    """Refuse what nests deeper than `depth`, or holds more than `most` values, without recursing into it.

    What holds one list several times over counts it as often, as its JSON would.

    Raises:
        InvalidField: it nests deeper, contains itself, holds more, or may have no end.
    """
    if isinstance(value, _SCALARS):
        return
    layer: Collection[Any] = (value,)
    for _ in range(depth):
        containers = [each for each in layer if type(each) not in _PLAIN]
        if not _EXACT.issuperset(map(type, containers)):
            for each in containers:
                if not isinstance(each, _SCALARS) and not isinstance(each, _CONTAINERS):
                    _check_end(field, each, most)
            containers = [each for each in containers if isinstance(each, _CONTAINERS)]
        if not containers:
            return
        found = [_children(each) for each in containers]
        most -= sum(map(len, found))
        if most < 0:  # before they are put together: one may be in it many times
            raise InvalidField(field, "holds too many values")
        layer = found[0] if len(found) == 1 else [child for each in found for child in each]
    if not any(isinstance(each, _CONTAINERS) for each in layer):
        return
    raise InvalidField(field, f"nests deeper than {depth} levels")


def _children(container: Any) -> Collection[Any]:
    """What is in it, as validators see it: whatever methods a subclass may have."""
    cls = type(container)
    if cls is dict:
        return container.values()  # type: ignore[no-any-return]
    if cls in _CONTAINERS:
        return container  # type: ignore[no-any-return]
    if isinstance(container, dict):
        return dict.values(container)
    base = next(each for each in _CONTAINERS if isinstance(container, each))
    return list(base.__iter__(container))


def _check_end(field: str, value: Any, most: int) -> None:
    """Refuse what a validator might iterate over for ever, or for very long."""
    cls = type(value)
    if hasattr(cls, "__next__"):
        raise InvalidField(field, "is an iterator, which may have no end: give it a list")
    if hasattr(cls, "__getitem__") and not hasattr(cls, "__len__") and not hasattr(cls, "__iter__"):
        raise InvalidField(field, "is a sequence without a length: give it a list")
    if isinstance(value, (range, deque, KeysView, ValuesView, ItemsView)) and len(value) > most:
        raise InvalidField(field, "holds too many values")
