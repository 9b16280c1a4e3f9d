"""Whose fault it is that a job ended early, and whether it runs again without using up a retry."""

from __future__ import annotations

from typing import Any, Final

from rq.job import Job
from rq.timeouts import BaseTimeoutException

from sojourn.errors import SojournError
from sojourn.logs import first_line, place_of
from sojourn_worker.logs import LOG
from sojourn_worker.queues import RUN_HOOK, SafeJob, note_one_more, noted, notes, pause_s

__all__ = ["blame_for", "once_more", "runs_hook", "sound", "told", "without_blame"]

_ABANDONED_AT_MOST: Final = 10
_ABANDONED_IN_HAND: Final = 2
_LONGEST_INTERVAL_S: Final = 86_400


def runs_hook(job: Job) -> bool:
    """Whether it is a job that runs a hook, and may run."""
    return isinstance(job, SafeJob) and job.refusal is None and job.func_name == RUN_HOOK


def sound(intervals: Any) -> bool:
    """Whether RQ can do with the pauses before retries that a job names."""
    if intervals is None:
        return True
    numbers = isinstance(intervals, list) and all(type(each) is int for each in intervals)
    return numbers and bool(intervals) and all(0 <= each <= _LONGEST_INTERVAL_S for each in intervals)


def without_blame(job: Job, in_hand: str | None = None) -> bool:
    """Have a job run again at once, without using up a retry; whether it may, which is so a few times only.

    Still fewer with the same event in hand: it may be what ends its workers.
    """
    if noted(job, "abandoned") >= _ABANDONED_AT_MOST:
        return False
    if in_hand is not None:
        if notes(job).get("in_hand") != in_hand:
            notes(job).update(in_hand=in_hand, in_hand_times=0)
        if noted(job, "in_hand_times") >= _ABANDONED_IN_HAND:
            return False
        note_one_more(job, "in_hand_times")
    note_one_more(job, "abandoned")
    job.retries_left = (job.retries_left or 0) + 1
    job.retry_intervals = None
    return True


def blame_for(error: BaseException | None) -> str | None:
    """Why the event in hand is to blame for a job's end; None if it is not. Without an error its process ended."""
    if error is None:
        return "its process ended"
    if isinstance(error, BaseTimeoutException):
        return "timeout"
    return place_of(error) if isinstance(error, KeyboardInterrupt) else None


def told(error: BaseException) -> str:
    """An error in one line; of one that is not ours only its type and place."""
    return f"{type(error).__name__}: {first_line(error)}" if isinstance(error, SojournError) else place_of(error)


def once_more(job: Job) -> None:
    """Have a job run again, without using up a retry, for its events are nowhere else yet."""
    LOG.warning("job comes back later", job=job.id, reason="Redis lets nothing be done about its events now")
    job.retries_left = (job.retries_left or 0) + 1
    job.retry_intervals = [pause_s(note_one_more(job, "away"))]
