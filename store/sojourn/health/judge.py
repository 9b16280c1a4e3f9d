"""Holding a deployment's numbers against the thresholds in its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sojourn.health.model import Reason, State
from sojourn.metrics import Metrics
from sojourn.settings import Settings

__all__ = ["judge"]

_MB: Final = 2**20
_FULL: Final = 0.9
"""Of Redis's maxmemory."""


def judge(metrics: Metrics, settings: Settings) -> tuple[Reason, ...]:
    """Why the deployment is not healthy, as far as its numbers tell.

    Example:
        >>> [each.what for each in judge(Metrics(largest_sessions=("acme", 2_000)), Settings())]
        ['sessions']
    """
    return tuple(reason for check in _CHECKS for reason in check(metrics, settings))


def _degraded(what: str, told: str, mend: str, value: float, threshold: float) -> Reason:
    return Reason(what, State.DEGRADED, told, mend, value, threshold)


def _sessions(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    tenant, number = metrics.largest_sessions
    if number > settings.health_sessions:
        yield _degraded(
            "sessions",
            f"tenant '{tenant}' has {number} live sessions, more than {settings.health_sessions}",
            f"see who makes them (sojourn --tenant {tenant} list), set a limit (sojourn tenant limits {tenant}), or "
            "raise health_sessions if so many are meant to be",
            number,
            settings.health_sessions,
        )


def _memory(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    tenant, number = metrics.largest_memory
    if number > settings.health_memory_mb * _MB:
        yield _degraded(
            "memory",
            f"the records of tenant '{tenant}' take some {number / _MB:.0f} MB, more than {settings.health_memory_mb}",
            f"set a limit on its bytes (sojourn tenant limits {tenant}), shorten its sessions' lives, or raise "
            "health_memory_mb if so much is meant to be",
            number / _MB,
            settings.health_memory_mb,
        )


def _cleanup(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    failed, all_ = metrics.sweeps.recent_failures, metrics.sweeps.recent_runs + metrics.sweeps.recent_failures
    if failed and failed / all_ > settings.health_cleanup_failures:
        yield _degraded(
            "cleanup",
            f"{failed} of the last {all_} cleanup runs failed",
            "see the workers' logs for 'sweeper', and sojourn doctor",
            failed / all_,
            settings.health_cleanup_failures,
        )


def _sweeper(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    if metrics.overdue_age_s > settings.health_scheduler_silence:
        waiting = sum(each.expired_sessions for each in metrics.tenants.values())
        yield _degraded(
            "sweeper",
            f"{waiting} sessions are past their deadline, the first for {metrics.overdue_age_s:.0f} s",
            "start sojourn worker, or store.start_cleanup_scheduler() where no worker shall run",
            metrics.overdue_age_s,
            settings.health_scheduler_silence,
        )


def _scheduler(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    if metrics.queue is None or (metrics.scheduled_at_s is None and not (settings.hooks or settings.archive_url)):
        return  # nobody knows, or nothing is there to be scheduled
    seen_s, bound_s = metrics.scheduled_at_s, settings.health_scheduler_silence
    silent_s = None if seen_s is None else metrics.clock_s - seen_s
    if silent_s is None or silent_s > bound_s:
        yield Reason(
            "scheduler",
            State.DEGRADED,
            f"no scheduler has told {'ever' if silent_s is None else f'for {silent_s:.0f} s'} that it is there",
            "start sojourn worker, or its role schedule: nothing is archived, and no backstop runs meanwhile",
            silent_s,
            bound_s,
        )


def _archive_lag(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    if settings.archive_url is not None and metrics.dirty_age_s > settings.dirty_alarm:
        yield _degraded(
            "archive_lag",
            f"{metrics.dirty} sessions wait for the archive, the first for {metrics.dirty_age_s:.0f} s",
            "sojourn archive status, and see that a worker with the roles schedule and archive runs",
            metrics.dirty_age_s,
            settings.dirty_alarm,
        )


def _queues(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    del settings
    if metrics.queue is None:
        yield Reason(
            "queues", State.DEGRADED, "the queues' Redis does not answer: no hook runs, nothing is archived",
            "check queue_url, and that this Redis runs",
        )  # fmt: skip
    for name, number in metrics.waiting.items():
        if number and not metrics.workers.get(name):
            yield Reason(
                "queues", State.DEGRADED, f"{number} jobs wait in {name}, and no worker is there",
                "start sojourn worker", number, 0,
            )  # fmt: skip


def _outbox(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    if metrics.past_alarm:
        largest = max(metrics.outbox.values())
        yield _degraded(
            "outbox",
            f"{len(metrics.past_alarm)} outboxes have more than {settings.events_alarm} events, the largest {largest}",
            "start what reads the slowest group, or forget it: sojourn doctor tells which it is",
            largest,
            settings.events_alarm,
        )


def _redis_memory(metrics: Metrics, settings: Settings) -> Iterator[Reason]:
    del settings
    limit = metrics.redis_memory_limit_bytes
    if limit and metrics.redis_memory_bytes is not None and metrics.redis_memory_bytes > _FULL * limit:
        yield _degraded(
            "redis_memory",
            f"Redis uses {metrics.redis_memory_bytes / _MB:.0f} of the {limit / _MB:.0f} MB that it may",
            "raise maxmemory, or end sessions: when it is full nothing new can be created",
            metrics.redis_memory_bytes / limit,
            _FULL,
        )


_CHECKS: Final[tuple[Callable[[Metrics, Settings], Iterator[Reason]], ...]] = (
    _sessions, _memory, _cleanup, _sweeper, _scheduler, _archive_lag, _queues, _outbox, _redis_memory,
)  # fmt: skip
