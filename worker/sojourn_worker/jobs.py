"""The functions that Sojourn's RQ jobs may name, and nothing else: a worker refuses every other name.

Jobs carry the name of a hook and events. What a hook's name stands for is in the settings of the worker.
"""

from __future__ import annotations

import math as _math
from collections.abc import Mapping, Sequence
from typing import Any

import rq as _rq
from rq.utils import now as _now

from sojourn.errors import ArchiveUnavailable as _ArchiveUnavailable
from sojourn.errors import SettingsError as _SettingsError
from sojourn.operations.strays import comb_flow as _comb_flow
from sojourn.operations.strays import miss_flow as _miss_flow
from sojourn_worker import config as _config
from sojourn_worker.burial import bury_unreadable as _bury_unreadable
from sojourn_worker.hooks import HookFailed as _HookFailed
from sojourn_worker.hooks import HookHeldUp as _HookHeldUp
from sojourn_worker.hooks import HookRun as _HookRun
from sojourn_worker.hooks import Outcome as _Outcome
from sojourn_worker.logs import LOG as _LOG
from sojourn_worker.queues import note_one_more as _note_one_more
from sojourn_worker.queues import pause_s as _pause_s
from sojourn_worker.redis_link import RedisLink as _RedisLink
from sojourn_worker.sweep import Sweeper as _Sweeper
from sojourn_worker.tries import readable as _readable

__all__ = ["archive", "retention", "run_hook", "sweep"]

_WAITS_FOR_OTHERS = 30
_LOOKED_AT = 5_000
_WAIT_FOR_OTHERS_S = 5


def run_hook(hook: str, events: Sequence[Mapping[str, Any]]) -> Any:
    """Run a hook of the settings on these events, in order, except on those that it is done with.

    An event that fails does not keep the others from running. RQ tries the job again, which then finds the others
    in the ledger. Where another job has an event in hand, or the time is too short for all, this one comes back later.
    What is no event, and what has used up its tries, is kept among the dead letters.

    Args:
        hook: the hook's name in the settings.
        events: what `Event.to_json` gives.

    Raises:
        SettingsError: there is no such hook, or its function cannot be imported.
        HookFailed: it failed on some events, or has given up some.
        HookHeldUp: other jobs have had the rest in hand for too long.
        StoreError: Redis is away, or refuses.
    """
    settings = _config.current()
    if (
        not isinstance(hook, str) or hook not in settings.hooks
    ):  # if none of the tries finds it there, the job's end buries the events
        raise _SettingsError("the job names a hook that is not in the settings of this worker")
    job = _rq.get_current_job()
    read, unreadable = _readable(settings, events)
    link = _RedisLink(settings)
    try:
        token = job.id if job is not None else f"call-{id(link)}"
        _bury_unreadable(link, settings, hook, unreadable, token)
        run = _HookRun(settings, link, hook, settings.hooks[hook], token, _time_left_s(job))
        outcome = run.run(read)
    finally:
        link.close()
    _LOG.info("hook %s: %d events done, %d failed", hook, len(outcome.done), len(outcome.failed))
    if outcome.failed:
        raise _HookFailed(hook, outcome.failed, outcome.aside)
    again = _again(job, outcome) if job is not None else None
    if again is None and outcome.given_up:
        raise _HookFailed(hook, outcome.given_up)
    return again


def _time_left_s(job: _rq.job.Job | None) -> float:
    if job is None or job.started_at is None or job.timeout is None or float(job.timeout) < 0:
        return _math.inf
    return float(job.timeout) - (_now() - job.started_at).total_seconds()


def _again(job: _rq.job.Job, outcome: _Outcome) -> _rq.Retry | None:
    """Give the job back if it is not at its end. That is no failure, and uses up no retry."""
    more = (job.number_of_retries or 0) + 1
    if outcome.later:
        # Each return has some events done or tried, so their number bounds that of the returns.
        return _rq.Retry(max=more, interval=outcome.later_in_s)
    if outcome.aside:
        return _rq.Retry(max=more, interval=_pause_s(_note_one_more(job, "away")))
    if outcome.busy:
        if _note_one_more(job, "waits") > _WAITS_FOR_OTHERS:
            raise _HookHeldUp(f"other jobs have had {len(outcome.busy)} events in hand for too long")
        return _rq.Retry(max=more, interval=_WAIT_FOR_OTHERS_S)
    return None


def archive() -> None:
    """Archive what changed since it was last archived.

    Raises:
        ArchiveUnavailable: PostgreSQL is away; what waits for it stays in Redis.
    """
    from sojourn.archive import archive_once

    try:
        archive_once(_config.current())
    except _ArchiveUnavailable as error:
        _LOG.warning("the archive is away: %s", error)
        raise


def retention() -> None:
    """Remove from the archive what the settings no longer keep.

    Raises:
        ArchiveUnavailable: PostgreSQL is away; the next run goes on.
    """
    from sojourn.archive import apply_retention

    report = apply_retention(_config.current())
    if report.sessions or report.stray_events or report.audit_rows:
        _LOG.info(
            "retention: removed %d sessions, %d stray events and %d rows of the audit trail from the archive",
            report.sessions, report.stray_events, report.audit_rows,
        )  # fmt: skip


def sweep() -> None:
    """Claim all that is due, for when no listener runs; find sessions that were lost, and comb out what they left."""
    settings = _config.current()
    link = _RedisLink(settings)
    try:
        link.open()
        swept = _Sweeper(settings, link).sweep()
        missed = link.drive(_miss_flow(settings.partitions, _LOOKED_AT))
        combed = link.drive(_comb_flow(link.homes().partitions))
    finally:
        link.close()
    if swept.expired or swept.removed:
        _LOG.info("backstop: expired %d sessions and removed %d", swept.expired, swept.removed)
    if missed:
        _LOG.error("backstop: %d sessions have lost their records", missed)
    if combed:
        _LOG.info("backstop: combed out what %d lost sessions left behind", combed)
