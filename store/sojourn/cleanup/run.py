"""One run of a cleanup: steps of a bounded size, with pauses in which Redis serves others."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

from sojourn.cleanup.report import CleanupFailure, Progress, Tally
from sojourn.codec import Codec
from sojourn.errors import InvalidField, InvalidInput, InvalidTtl
from sojourn.limits import Ttl, milliseconds
from sojourn.models import LIVE, Status
from sojourn.operations import cleanup
from sojourn.operations.cleanup import Inactive, Step
from sojourn.operations.core import Context, Operation
from sojourn.operations.flows import Pause
from sojourn.operations.listing import filters

__all__ = ["BATCH", "Run", "inactive_sessions"]

BATCH: Final = 1
"""Sessions that one script deals with; why so few, docs/adr/0019-cleanup-in-small-steps.md tells."""
_MOST: Final = 100
_SCAN: Final = 250
"""Entries of the partition's index that one script looks at for those of its tenant."""
_STEP_S: Final = 0.00096
"""From the beginning of one step to that of the next: a thousand sessions take 0.96 s.

A step that is asked for more than `BATCH` goes on as soon.
"""
_LATE_S: Final = 0.024
"""A run that is late, for the machine is busy, catches up on so much of it, and then rests again."""


@dataclass(frozen=True)
class Run:
    """What is to be cleaned up: what is due, what is inactive, or both."""

    due: bool = False
    archived: bool = False
    """Whether an archive is known of: then ended sessions stay until it holds them."""
    inactive: Inactive | None = None
    limit: int | None = None
    batch: int = BATCH
    progress: Progress | None = None
    stopping: Callable[[], bool] = bool
    """Asked between two steps."""

    def __post_init__(self) -> None:
        for name, value, most in (("limit", self.limit, 2**53), ("batch", self.batch, _MOST)):
            if value is not None and (type(value) is not int or not 1 <= value <= most):
                raise InvalidInput(f"{name} is a number from 1 to {most}")
        if self.progress is not None and not callable(self.progress):
            raise InvalidInput(f"progress is a function, not {type(self.progress).__name__}")

    def flow(self, context: Context, codec: Codec[Any], tally: Tally) -> Generator[Operation[Step] | Pause, Any, None]:
        """The steps, for a tenant whose keys are in one place."""
        if self.due:
            yield from self._walk(tally, ("expired", "lost", "damaged"), cleanup.expire_due(context, _SCAN))
            yield from self._walk(
                tally, ("removed",), cleanup.purge_ended(context, _SCAN, archived=self.archived)
            )  # fmt: skip
        inactive = self.inactive
        if inactive is not None:
            yield from self._walk(tally, ("ended",), cleanup.end_inactive(context, codec.model, inactive))

    def _walk(
        self, tally: Tally, limited: tuple[str, ...], step: cleanup.Steps
    ) -> Generator[Operation[Step] | Pause, Any, None]:
        behind: cleanup.Place | None = ("", "")
        total: int | None = None
        due_s = time.monotonic()
        while behind is not None:
            left = self.batch if self.limit is None else self.limit - sum(tally[name] for name in limited)
            if left <= 0 or self.stopping():
                tally.more = True
                return
            done: Step = yield step(behind, min(self.batch, left))
            tally.add(**done.counts)
            tally.note(done.ids, (CleanupFailure(*each) for each in done.failures))
            behind, total = done.behind, total or done.candidates or None
            if self.progress is not None:
                self.progress(tally.done, total)
            now_s = time.monotonic()
            due_s = max(due_s + _STEP_S, now_s - _LATE_S)
            if behind is not None and due_s > now_s:
                yield Pause(due_s - now_s)


def inactive_sessions(
    context: Context, codec: Codec[Any], max_age: Ttl, status: Any, kind: str | None, reason: str, *, dry_run: bool
) -> Inactive:
    """Which sessions are inactive.

    Raises:
        InvalidTtl: the age is none.
        InvalidField: a filter or the reason is no good.
    """
    max_age_ms = milliseconds(max_age, "max_age")
    if max_age_ms is None:
        raise InvalidTtl("max_age cannot be None: no session is inactive for ever")
    wanted = filters(
        context, codec, status=tuple(LIVE) if status is None else status, kind=kind, owner=None, client_type=None,
        tag=None, created_after=None, created_before=None, where=None,
    )  # fmt: skip
    if not {Status(each) for each in wanted.statuses} <= set(LIVE):
        raise InvalidField("status", f"is one of {', '.join(sorted(LIVE))}: others have ended")
    if type(dry_run) is not bool:
        raise InvalidInput("dry_run is True or False")  # of anything else it would be a guess what is meant
    return Inactive(wanted, max_age_ms, reason, dry_run)
