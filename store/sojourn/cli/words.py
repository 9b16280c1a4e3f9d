"""Times and durations in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["ago", "both", "duration", "exact"]

_UNITS: Final = ((86_400, "day", "days"), (3_600, "hour", "hours"), (60, "min", "min"), (1, "s", "s"))


def ago(moment: datetime, now: datetime) -> str:
    """A moment as seen from now.

    Example:
        >>> ago(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12, 3, tzinfo=UTC))
        '3 min ago'
    """
    away_s = (moment - now).total_seconds()
    for size, one, many in _UNITS:
        if abs(away_s) >= size:
            count = round(abs(away_s) / size)
            told = f"{count} {one if count == 1 else many}"
            return f"in {told}" if away_s > 0 else f"{told} ago"
    return "now"


def both(moment: datetime, now: datetime) -> str:
    """A moment as seen from now, and exact to the second, in UTC.

    Example:
        >>> both(datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 1, 1, 12, 3, tzinfo=UTC))
        '3 min ago (2026-01-01 12:00:00Z)'
    """
    return f"{ago(moment, now)} ({moment.astimezone(UTC):%Y-%m-%d %H:%M:%SZ})"


def duration(length: timedelta) -> str:
    """A duration, exact to the millisecond.

    Example:
        >>> duration(timedelta(hours=1, minutes=30))
        '1h30m'
    """
    left_ms = length // timedelta(milliseconds=1)
    told = ""
    for size, unit, _ in _UNITS:
        count, left_ms = divmod(left_ms, size * 1000)
        told += f"{count}{unit[0]}" if count else ""
    return told + (f"{left_ms}ms" if left_ms else "") or "0s"


def exact(moment: datetime) -> str:
    """A moment in UTC, exact to the millisecond.

    Example:
        >>> exact(datetime(2026, 1, 1, 12, tzinfo=UTC))
        '2026-01-01T12:00:00.000Z'
    """
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
