"""What Redis counts of a tenant, in two hashes that scripts and clients write: the fields' names and their meaning."""

from __future__ import annotations

from typing import Final

__all__ = ["CALL_BOUNDS_US"]

CALL_BOUNDS_US: Final = tuple(100 * 2**n for n in range(15))
"""Upper bounds of the buckets in which calls are counted by duration, in microseconds: 100 us to 1.6 s."""
