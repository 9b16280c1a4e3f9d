"""How much is tried: always the same in `scripts/test`; much, and at random, where SOJOURN_FUZZ is ``long``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings

__all__ = ["LONG", "chosen", "examples"]

LONG: Final = os.environ.get("SOJOURN_FUZZ") == "long"
_TIMES: Final = 50 if LONG else 1


T = TypeVar("T")
_LARGE: Final = re.compile("MB|doubled|100,000|5,000")


def chosen(odd: Sequence[T], loaded: bool, every: int = 1, first: int = 0) -> Sequence[T]:
    """Those of the values that are tried: all, or without the large ones, and every so many of them."""
    if LONG:
        return odd
    return [each for each in odd if loaded or not _LARGE.search(repr(each)[:40])][first % every :: every]


def examples(count: int) -> Callable[[Any], Any]:
    """Decorate a property test: so many examples."""
    return settings(
        max_examples=count * _TIMES,
        derandomize=not LONG,
        database=None,
        deadline=None,
        print_blob=LONG,
        suppress_health_check=list(HealthCheck),
    )
