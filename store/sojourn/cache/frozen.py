"""Sessions that can be handed out to everybody: nothing that one reader does to one is seen by another."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

from pydantic import BaseModel

from sojourn.models import Session
from sojourn.sealing import Deferred

__all__ = ["ReadOnlyDict", "ReadOnlyList", "ReadOnlySet", "shareable"]

S = TypeVar("S", bound=Session)
_Found = list[tuple[dict[str, Any], str, Any]]
"""What is to be put in the place of what: a dict of fields, the field's name, its read-only value."""
_AS_THEY_ARE: Final = frozenset({str, int, float, bool, bytes, type(None), Deferred})  # to hash the last would open it
_BY_IDENTITY: Final[Any] = object.__hash__
_TOLD: Final = "what is read through a cache is shared, and cannot be changed in place: change a copy, or use editing()"


class _CannotShareError(Exception):
    """A value can be changed in place, and has no read-only twin."""


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TypeError(_TOLD)


class ReadOnlyDict(dict[Any, Any]):
    """A dict that cannot be changed; its copies can."""

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __copy__(self) -> dict[Any, Any]:
        return dict(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return {key: _plain(value) for key, value in self.items()}

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return dict, (_plain(self),)


class ReadOnlyList(list[Any]):
    """A list that cannot be changed; its copies can."""

    __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __copy__(self) -> list[Any]:
        return list(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [_plain(each) for each in self]

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return list, (_plain(self),)


class ReadOnlySet(set[Any]):
    """A set that cannot be changed; its copies can."""

    __iand__ = __ior__ = __isub__ = __ixor__ = _refuse
    add = clear = difference_update = discard = intersection_update = pop = remove = _refuse
    symmetric_difference_update = update = _refuse

    def __copy__(self) -> set[Any]:
        return set(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> set[Any]:
        return set(self)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return set, (list(self),)


def _plain(value: Any) -> Any:
    """The same as one that can be changed, and so on inside."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, tuple) and type(value) is tuple:
        return tuple(_plain(each) for each in value)
    return set(value) if isinstance(value, ReadOnlySet) else value


def shareable(session: S) -> S | None:
    """The session, with read-only dicts, lists and sets in it; None: something else in it could be changed.

    It is changed itself, so it must not have been handed out yet.

    Example:
        >>> shareable(session).metadata["a"] = 1  # doctest: +SKIP
        TypeError: what is read through a cache is shared, and cannot be changed in place: ...
    """
    found: _Found = []
    try:
        _look_into(session, found)
    except _CannotShareError:
        return None
    for values, name, frozen in found:
        values[name] = frozen
    return session


def _look_into(model: BaseModel, found: _Found) -> None:
    # Private attributes of frozen models can be set as well, so what is in them does not matter.
    if not model.model_config.get("frozen") or model.__pydantic_private__ is not None:
        raise _CannotShareError
    for values in (model.__dict__, model.__pydantic_extra__ or {}):
        for name, value in values.items():
            frozen = _frozen(value, found)
            if frozen is not value:
                found.append((values, name, frozen))


def _frozen(value: Any, found: _Found) -> Any:
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is dict:
        return ReadOnlyDict({key: _frozen(each, found) for key, each in value.items()})
    if kind is list:
        return ReadOnlyList([_frozen(each, found) for each in value])
    if kind is set:
        return ReadOnlySet(value)  # what is in a set can be hashed
    if kind is tuple:
        return tuple([_frozen(each, found) for each in value])
    if isinstance(value, BaseModel):
        _look_into(value, found)
        return value
    try:
        hash(value)
    except TypeError:
        raise _CannotShareError from None
    # What is hashed by its identity may be changed as one likes.
    if kind.__hash__ is _BY_IDENTITY or (dataclasses.is_dataclass(value) and not kind.__dataclass_params__.frozen):
        raise _CannotShareError
    return value
