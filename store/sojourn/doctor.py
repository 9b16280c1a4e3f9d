"""What is wrong with a deployment, why it matters, and the command that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from sojourn.errors import ArchiveError, SojournError, StoreError
from sojourn.metrics import Metrics, read_metrics
from sojourn.settings import Settings

__all__ = ["Finding", "Severity", "examine"]

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Example:
        >>> Finding("outbox", "ok", "no outbox has more than 100000 events").severity
        'ok'
    """

    check: str
    severity: Severity
    found: str
    why: str = ""
    """Why it matters."""
    mend: str = ""
    """The command that mends it."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def examine(settings: Settings) -> Iterator[Finding]:
    """Check a deployment, one thing after the other; what a check could not look at is a finding, too.

    Example:
        >>> [each.found for each in examine(load_settings()) if each.severity != "ok"]  # doctest: +SKIP
        []
    """
    try:
        metrics = read_metrics(settings)
    except StoreError as error:
        yield Finding("redis", "error", str(error), "nothing works without it", "redis-cli -u $SOJOURN_REDIS_URL PING")
    else:
        yield Finding("redis", "ok", "answers, and is laid out as the settings say")
        yield from _odd_keys(metrics)
        for check in _CHECKS:
            yield check(metrics, settings)
    if settings.archive_url is not None:
        yield _archive(settings)


def _odd_keys(metrics: Metrics) -> Iterator[Finding]:
    for key in metrics.odd_keys:
        yield Finding(
            "keys",
            "error",
            f"the key {key} is not of the type that it should be",
            "other hands wrote it; calls that need it fail, and what it should hold is not looked at here",
            f"see what it is (redis-cli TYPE '{key}'), and delete or rename it",
        )


def _outbox(metrics: Metrics, settings: Settings) -> Finding:
    if not metrics.past_alarm:
        return Finding("outbox", "ok", f"no outbox has more than {settings.events_alarm} events")
    name = metrics.slowest_group
    largest = max(metrics.outbox.values())
    behind = f"group '{name}' is {metrics.groups[name].lag_s:.0f} s behind" if name else "no group is behind"
    return Finding(
        "outbox",
        "error",
        f"{len(metrics.past_alarm)} outboxes have more than {settings.events_alarm} events, the largest {largest}; "
        f"{behind}",
        "nothing that a group has not read is dropped, so Redis fills up until it refuses writes",
        "start what reads that group (sojourn worker), or, if nobody needs it any more: "
        + (f"sojourn events --forget --group {name.partition(':')[2]}" if name and ":" in name else
           f"redis-cli XGROUP DESTROY KEY {name} on each sojourn:*:events"),
    )  # fmt: skip


def _dirty(metrics: Metrics, settings: Settings) -> Finding:
    told = f"{metrics.dirty} sessions wait for the archive, the first for {metrics.dirty_age_s:.0f} s"
    if settings.archive_url is None or metrics.dirty_age_s <= settings.dirty_alarm:
        return Finding("dirty", "ok", told)
    why = f"what is not archived is lost if Redis is; ended sessions go after {settings.grace} in any case"
    return Finding("dirty", "error", told, why, "sojourn archive status, and see that sojourn worker runs")


def _dead_letters(metrics: Metrics, settings: Settings) -> Finding:
    del settings
    there = {hook: number for hook, number in metrics.dead_letters.items() if number}
    if not there:
        return Finding("dead letters", "ok", "there are none")
    told = ", ".join(f"{number} of hook '{hook}'" for hook, number in sorted(there.items()))
    why = "the hook never ran to its end on these events"
    return Finding("dead letters", "warning", told, why, "sojourn dead list; once mended: sojourn dead replay --all")


def _lost(metrics: Metrics, settings: Settings) -> Finding:
    lost = metrics.counts.get("lost", 0)
    if not lost:
        return Finding("lost records", "ok", "no record was ever found gone")
    mend = "set maxmemory-policy noeviction" + ("" if settings.archive_url is None else "; then: sojourn rehydrate")
    return Finding(
        "lost records",
        "warning",
        f"{lost} records were gone though nobody had removed them: evicted, or deleted by other hands",
        "what they held since they were last archived is lost",
        mend,
    )


def _damaged(metrics: Metrics, settings: Settings) -> Finding:
    del settings
    damaged = metrics.counts.get("damaged", 0)
    if not damaged:
        return Finding("damaged records", "ok", "no record was found damaged at its deadline")
    mend = "sojourn events --from oldest --json | grep damaged, then HGETALL on the session's key"
    return Finding("damaged records", "warning", f"{damaged} were", "they never expire, and are not archived", mend)


def _restored(metrics: Metrics, settings: Settings) -> Finding:
    restored, stale = metrics.counts.get("restored", 0), metrics.counts.get("stale", 0)
    if not restored and not stale:
        return Finding("older copies", "ok", "Redis was never found behind the archive")
    found = f"{restored} times a partition, {stale} times a single session was behind the archive, and brought up to it"
    del settings
    why = "Redis was restored from an older copy: what was written since, and not archived, is gone"
    return Finding("older copies", "warning", found, why, "set appendonly yes; see docs/recovery.md")


def _jobs(metrics: Metrics, settings: Settings) -> Finding:
    if metrics.queue is None:
        return Finding("jobs", "error", "the queues' Redis does not answer", "no hook runs", "check queue_url")
    found, why, mend = [], [], []
    deserted = {name: n for name, n in metrics.waiting.items() if n and not metrics.workers.get(name)}
    if deserted:
        found += [f"{n} jobs wait in {name} and no worker is there" for name, n in deserted.items()]
        why.append("nothing is done until one comes")
        mend.append("start sojourn worker")
    refused = {name: metrics.queue.get(name, 0) for name in ("refused_jobs", "set_aside_jobs", "unreadable_jobs")}
    if any(refused.values()):
        found += [f"{number} {name.replace('_', ' ')}" for name, number in refused.items() if number]
        why.append("somebody else writes to the queues, by mistake or on purpose")
        mend.append(f"see the workers' logs, and who may write to keys {settings.queue_prefix}* and rq:*")
    if not found:
        return Finding("jobs", "ok", "no job was refused or set aside")
    return Finding("jobs", "warning", ", ".join(found), "; ".join(why), "; ".join(mend))


_CHECKS: Final[tuple[Callable[[Metrics, Settings], Finding], ...]] = (
    _outbox, _dirty, _dead_letters, _lost, _damaged, _restored, _jobs,
)  # fmt: skip


def _archive(settings: Settings) -> Finding:
    why = "nothing is archived meanwhile; it waits in Redis"
    try:
        from sojourn.archive import status

        found = status(settings)
    except (ArchiveError, SojournError) as error:
        return Finding("archive", "error", str(error), why, "sojourn archive status")
    if found.archive_problem is not None:
        return Finding("archive", "error", found.archive_problem, why, "sojourn archive init, or start PostgreSQL")
    return Finding("archive", "ok", f"answers, with the tables of version {found.schema_held}")
