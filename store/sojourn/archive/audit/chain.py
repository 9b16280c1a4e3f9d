"""How the rows of a tenant's audit trail hang together.

The hash of a row is SHA-256 over the 32 bytes of the row before's hash (32 zero bytes for the first row of all),
followed by these columns of its own, in this order:

    tenant, seq, at, recorded_at, actor, action, session_id, trace_id, event_id, detail

Each is written as a netstring, ``<number of bytes>:<bytes>,``, where the bytes are those of its text in UTF-8. Numbers
are decimal; times are microseconds since 1970-01-01T00:00:00Z, decimal. A session id that is NULL is the single byte
``-``, which begins no netstring. So no two rows are written alike, and whoever has SHA-256 can compute it, PostgreSQL
too.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["GENESIS", "Link", "microseconds"]

GENESIS: Final = bytes(32)
"""What stands before the first row of a chain."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Link(NamedTuple):
    """A row of a tenant's chain, without the tenant."""

    seq: int
    at_us: int | None
    """Microseconds since the epoch; None: other hands wrote a time that is none."""
    recorded_us: int | None
    actor: str
    action: str
    session_id: str | None
    trace_id: str
    event_id: str
    detail: str
    previous: bytes
    hash: bytes

    def computed(self, tenant: str) -> bytes:
        """The hash that it must have."""
        _, _, _, actor, action, session_id, trace, event_id, detail, previous, _ = self
        seq, at, recorded = str(self.seq), str(self.at_us), str(self.recorded_us)
        about = "-" if session_id is None else f"{len(session_id)}:{session_id},"
        told = (
            f"{len(tenant)}:{tenant},{len(seq)}:{seq},{len(at)}:{at},{len(recorded)}:{recorded},{len(actor)}:{actor},"
            f"{len(action)}:{action},{about}{len(trace)}:{trace},{len(event_id)}:{event_id},{len(detail)}:{detail},"
        )
        if not told.isascii():  # then characters are not bytes
            texts = tenant, seq, at, recorded, actor, action, session_id, trace, event_id, detail
            told = "".join(["-" if each is None else f"{len(each.encode())}:{each}," for each in texts])
        return hashlib.sha256(previous + told.encode()).digest()


@lru_cache(maxsize=1024)  # those of neighbours are often the same
def microseconds(moment: datetime) -> int:
    """Since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND
