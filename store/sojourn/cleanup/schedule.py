"""When a cleanup runs by itself, what came of its runs, and how that is told. Waits for nothing: see ``runners``."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from sojourn.cleanup.report import Tally
from sojourn.errors import InvalidInput, InvalidTtl, StoreUnavailable
from sojourn.limits import Ttl, milliseconds
from sojourn.logs import Log

__all__ = ["LOG", "STOP_S", "CleanupScheduler", "scheduler"]

LOG: Final = Log("sojourn.cleanup")
STOP_S: Final = 10.0
"""For so long a run may take to finish the step under way."""
_FIRST_RETRY_S: Final = 0.5


@dataclass
class CleanupScheduler:
    """A cleanup that runs every so often: what it was asked for, and how it fares.

    Example:
        >>> store.start_cleanup_scheduler(60).runs  # doctest: +SKIP
        0
    """

    tenant: str
    interval_s: float
    """Seconds from the end of one run to the next."""
    max_age_s: float | None
    """For how long a session is not used before it ends; None: inactive sessions stay."""
    jitter: float
    """By what part of it each wait is longer or shorter, so that many services do not clean up at one time."""
    running: bool = True
    """Whether it goes on."""
    runs: int = 0
    """Runs that came to their end."""
    failures: int = 0
    """Runs that did not, or in which a session could not be cleaned up."""
    last_run: datetime | None = None
    """When the last run ended, by this machine's clock."""
    last_error: Exception | None = None
    """Why the last run failed; None: it did not."""
    expired: int = 0
    """Sessions that its runs claimed past their deadline."""
    ended: int = 0
    """Inactive ones that they ended."""
    missed: int = field(default=0, repr=False)
    """Failed runs of which Redis, which was away, does not know yet."""

    def succeeded(self, tally: Tally) -> None:
        """A run came to its end."""
        self._note(tally)
        self.runs += 1
        self.missed = 0
        failed = tally["failed"]
        self.last_error = next((each.error for each in tally.failures.values()), None)
        self.failures += bool(failed)
        if failed:
            LOG.warning("cleanup passed over sessions", error=self.last_error, **self._fields(tally))
        elif tally.done_anything:
            LOG.info("cleanup ended", **self._fields(tally))

    def failed(self, error: Exception, tally: Tally) -> None:
        """A run did not come to its end."""
        self._note(tally)
        self.failures += 1
        self.missed += 1
        self.last_error = error
        LOG.error("cleanup failed", error=error, **self._fields(tally))

    def _note(self, tally: Tally) -> None:
        self.last_run = datetime.now(UTC)
        self.expired += tally["expired"]
        self.ended += tally["ended"]

    def _fields(self, tally: Tally) -> dict[str, object]:
        return {**tally.counts, "tenant": self.tenant, "duration_ms": round(tally.duration_s * 1000, 3)}

    def pause_s(self) -> float:
        """How long to wait for the next run: after one that failed since Redis was away not the whole interval."""
        if self.missed and isinstance(self.last_error, StoreUnavailable):
            longest = min(self.interval_s, _FIRST_RETRY_S * 2 ** min(self.missed - 1, 30))
            return random.uniform(longest / 2, longest)  # noqa: S311
        return self.interval_s * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311


def scheduler(tenant: str, interval: Ttl, max_age: Ttl, jitter: float) -> CleanupScheduler:
    """A new one.

    Raises:
        InvalidTtl: the interval or the age is no duration.
        InvalidInput: the jitter is no part.
    """
    interval_ms, max_age_ms = milliseconds(interval, "interval"), milliseconds(max_age, "max_age")
    if interval_ms is None:
        raise InvalidTtl("interval cannot be None: it would never run again")
    if type(jitter) not in (int, float) or not 0 <= jitter <= 1:
        raise InvalidInput("jitter is a number from 0 to 1")
    return CleanupScheduler(tenant, interval_ms / 1000, None if max_age_ms is None else max_age_ms / 1000, jitter)
