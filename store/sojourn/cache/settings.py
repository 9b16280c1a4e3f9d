"""How large a near cache may be, and how old what it answers; and how it fares."""

from __future__ import annotations

from dataclasses import dataclass

from sojourn.errors import InvalidInput

__all__ = ["Cache", "CacheInfo"]

_MOST_SESSIONS = 10_000_000
_MOST_BYTES = 2**40
_STALE_S = (0.1, 60.0)


@dataclass(frozen=True)
class Cache:
    """A near cache: sessions that were read stay in the process, and Redis tells it which were changed.

    Args:
        max_sessions: how many it holds at most, of all tenants of the store together; the least recently used leaves
            first.
        max_bytes: how many bytes their records take in Redis at most, as fields and values. In the process a session
            takes several times that; see the guide on caching.
        max_stale: for how many seconds at most it answers without having heard from Redis, 0.1 to 60. A change is known
            within a millisecond as a rule; this bounds it where a connection hangs, or the process stood still.

    Raises:
        InvalidInput: one of them is no good.

    Example:
        >>> Cache(max_sessions=50_000, max_bytes=100 * 2**20).max_stale
        2.0
    """

    max_sessions: int = 10_000
    max_bytes: int = 64 * 2**20
    max_stale: float = 2.0

    def __post_init__(self) -> None:
        for name, value, most in (
            ("max_sessions", self.max_sessions, _MOST_SESSIONS),
            ("max_bytes", self.max_bytes, _MOST_BYTES),
        ):
            if type(value) is not int or not 1 <= value <= most:
                raise InvalidInput(f"{name} of a cache is an int from 1 to {most}")
        low, high = _STALE_S
        if type(self.max_stale) not in (int, float) or not low <= self.max_stale <= high:
            raise InvalidInput(f"max_stale of a cache is a number of seconds from {low:g} to {high:g}")


@dataclass(frozen=True)
class CacheInfo:
    """What a near cache did since the store was made, and what it holds now.

    Example:
        >>> CacheInfo(hits=3, misses=1).hit_rate
        0.75
    """

    hits: int = 0
    """Reads that it answered."""
    misses: int = 0
    """Reads that went to Redis."""
    sessions: int = 0
    """How many it holds."""
    bytes: int = 0
    """What their records take in Redis."""
    invalidations: int = 0
    """Changes of records that Redis told."""
    evictions: int = 0
    """Sessions that left since there was no more room."""
    flushes: int = 0
    """How often it was emptied: the connection was lost, Redis was flushed, its clock was set, many were changed."""
    tracking: bool = False
    """Whether Redis tells it of changes now; without that it answers nothing."""
    problem: str = ""
    """Why it last lost touch with Redis, or could not begin; '' where it never did."""

    @property
    def hit_rate(self) -> float:
        """Hits by reads; 0 before the first."""
        reads = self.hits + self.misses
        return self.hits / reads if reads else 0.0
