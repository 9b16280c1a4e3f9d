"""Durations and times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from click import BadParameter

from sojourn.cli.parameters import lifetime, moment
from sojourn.cli.words import ago, duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("45", 45), ("1.5", 1.5), ("45s", 45), ("30m", 1800), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800),
     ("250ms", 0.25), ("1H", 3600), (" 5s ", 5)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    """Units may be put together; a bare number is seconds."""
    assert lifetime(text).value == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "s", "h1", "1 h", "-1", "1y", "1e3", "inf", "nan", "٣", "1h30"])
def test_what_is_no_duration(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(BadParameter):
        lifetime(text)


def test_never_and_for_ever() -> None:
    """``never`` is no number, and a number too large is left to the library to refuse."""
    assert lifetime("Never").value is None
    assert lifetime("9" * 30).value == timedelta.max


def test_moments() -> None:
    """A time with its zone, or how long ago; beyond the calendar there is none."""
    assert moment("2026-01-31T12:00:00Z") == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert abs(moment("2h") - datetime.now(UTC) + timedelta(hours=2)) < timedelta(minutes=1)
    for text in ("2026-01-31T12:00", "yesterday", "9999999w", ""):
        with pytest.raises(BadParameter):
            moment(text)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "now"), (-0.5, "now"), (-1, "1 s ago"), (-89, "1 min ago"), (1799.9, "in 30 min"), (3600, "in 1 hour"),
     (-7200, "2 hours ago"), (86_400, "in 1 day"), (-864_000, "10 days ago")],
)  # fmt: skip
def test_times_in_words(seconds: float, told: str) -> None:
    """Rounded to one unit."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert ago(now + timedelta(seconds=seconds), now) == told


def test_durations_in_words() -> None:
    """Exact, and typed back the same."""
    for length in (timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5), timedelta(milliseconds=1)):
        assert lifetime(duration(length)).value == length
    assert duration(timedelta(0)) == "0s"
