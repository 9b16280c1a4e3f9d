"""Servers in this very process that take the place of a Redis: see `sojourn.testing`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

__all__ = ["StandIn", "stand_in_for", "standing_in"]


class StandIn(Protocol):
    """Answers packed commands without a connection. Its errors are those of a connection."""

    def exchange(self, packed: bytes, count: int) -> list[Any]:
        """The replies to `count` packed commands, error replies among them as values."""
        ...


_BY_HOST: Final[dict[str, StandIn]] = {}


def stand_in_for(url: str) -> StandIn | None:
    """What stands in for the Redis of this URL; None: nothing does, and it is asked itself."""
    return _BY_HOST.get(urlsplit(url).hostname or "") if _BY_HOST else None


@contextmanager
def standing_in(host: str, server: StandIn) -> Iterator[None]:
    """Let a server answer, within the block, for every transport that is made for that host."""
    _BY_HOST[host] = server
    try:
        yield
    finally:
        del _BY_HOST[host]
