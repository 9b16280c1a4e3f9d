"""Scripts that stop when they are late: by whichever clock this version of Redis has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from sojourn.scripts import lua_folder

PACE = (lua_folder() / "include" / "pace.lua").read_text()
COUNT = """
local count = 1
while not is_late({least}) do
  count = count + 1
end
return count
"""
CLOCKS = {
    "TIME stands still": ("local redis = { call = function() return { '1790000000', '5' } end }\n", "", 50),
    "TIME moves on": (
        "local us = 0\nlocal redis = { call = function() us = us + 100 return { '1790000000', us } end }\n", "", 15,
    ),
    "a clock of the CPU": (
        "local s = 0\nlocal _G = { os = { clock = function() s = s + 0.0005 return s end } }\n", "", 3,
    ),
    "TIME stands still, and more is allowed": (
        "local redis = { call = function() return { '1790000000', '5' } end }\n", "10, 80", 80,
    ),
    "TIME stands still, five at a look": (
        "local redis = { call = function() return { '1790000000', '5' } end }\n", "10, 50, 5", 10,
    ),
    "so many in any case": (
        "local s = 0\nlocal _G = { os = { clock = function() s = s + 0.0005 return s end } }\n", "10", 12,
    ),
    "the clock goes back": (
        "local s = 5\nlocal _G = { os = { clock = function() s = s - 0.0005 return s end } }\n", "", 1,
    ),
}  # fmt: skip


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """Give a plain client."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_script_is_late(raw: Any, clock: str) -> None:
    """After 1.5 ms, or so many things where no clock moves on."""
    begins, least, expected = CLOCKS[clock]
    assert raw.eval(begins + PACE + COUNT.format(least=least), 0) == expected


def test_this_redis_has_a_clock_or_counts(raw: Any) -> None:
    """Whichever it has, a script comes to its end."""
    assert raw.eval(PACE + COUNT.format(least=""), 0) >= 1
