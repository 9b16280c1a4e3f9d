"""Whether a value came back from its stored form as it was."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from pydantic import BaseModel

from sojourn.sealing import settled

__all__ = ["same"]

_MISSING: Final = object()


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal, and of the same types all the way down: ``1`` is not ``True``, nor a list a tuple.

    Models and dataclasses are compared field by field, for what only some of their own ``__eq__`` look at is stored
    as well. It does not recurse, since models may nest deeper than Python's stack.

    Example:
        >>> same([1, 2], [1, 2]), same([1, 2], (1, 2)), same([1], [True])
        (True, False, False)
    """
    pairs = [(one, other)]
    while pairs:
        left, right = pairs.pop()
        if type(left) is not type(right):
            left, right = settled(left), settled(right)
            if type(left) is not type(right):
                return False
        if isinstance(left, BaseModel):
            pairs += ((left.__dict__.get(name, _MISSING), right.__dict__.get(name, _MISSING))
                      for name in type(left).model_fields)  # fmt: skip
            pairs.append((left.__pydantic_extra__, right.__pydantic_extra__))
        elif dataclasses.is_dataclass(left):
            pairs += ((getattr(left, each.name, _MISSING), getattr(right, each.name, _MISSING))
                      for each in dataclasses.fields(left))  # fmt: skip
        elif isinstance(left, dict):
            if len(left) != len(right):
                return False
            pairs += zip(left.items(), right.items(), strict=True)
        elif isinstance(left, (list, tuple)):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif isinstance(left, (set, frozenset)):
            if {(type(each), each) for each in left} != {(type(each), each) for each in right}:
                return False
        elif left != right:
            return False
    return True
