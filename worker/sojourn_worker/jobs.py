"""The functions that Sojourn's RQ jobs may name, and nothing else: a worker refuses every other name.

Jobs carry the name of a hook and events. What a hook's name stands for is in the settings of the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import rq as _rq

from sojourn.errors import ArchiveUnavailable as _ArchiveUnavailable
from sojourn.errors import SettingsError as _SettingsError
from sojourn.events import Event as _Event
from sojourn_worker import config as _config
from sojourn_worker.hooks import HookFailed as _HookFailed
from sojourn_worker.hooks import HookRun as _HookRun
from sojourn_worker.logs import LOG as _LOG
from sojourn_worker.redis_link import RedisLink as _RedisLink
from sojourn_worker.sweep import Sweeper as _Sweeper

__all__ = ["archive", "run_hook", "sweep"]

_WAITS_FOR_OTHERS = 30
_WAIT_FOR_OTHERS_S = 5


def run_hook(hook: str, events: Sequence[Mapping[str, Any]]) -> Any:
    """Run a hook of the settings on these events, in order, except on those that it is done with.

    An event that fails does not keep the others from running. RQ tries the job again, which then finds the others
    in the ledger. Where another job has an event in hand, this one comes back later.

    Args:
        hook: the hook's name in the settings.
        events: what `Event.to_json` gives.

    Raises:
        SettingsError: there is no such hook, or its function cannot be imported.
        HookFailed: it failed on some events.
        StoreError: Redis is away, or refuses.
    """
    settings = _config.current()
    if hook not in settings.hooks:
        raise _SettingsError("the job names a hook that is not in the settings of this worker")
    job = _rq.get_current_job()
    link = _RedisLink(settings)
    try:
        token = job.id if job is not None else f"call-{id(link)}"
        run = _HookRun(settings, link, hook, settings.hooks[hook], token)
        outcome = run.run([_Event.from_json(each) for each in events])
    finally:
        link.close()
    _LOG.info("hook %s: %d events done, %d failed", hook, len(outcome.done), len(outcome.failed))
    if outcome.failed:
        raise _HookFailed(hook, outcome.failed)
    if outcome.busy and job is not None:
        # Not a failure: these retries have a count of their own.
        return _rq.Retry(max=_WAITS_FOR_OTHERS, interval=_WAIT_FOR_OTHERS_S)
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


def sweep() -> None:
    """Claim all that is due: the backstop for when no listener runs."""
    settings = _config.current()
    link = _RedisLink(settings)
    try:
        link.open()
        swept = _Sweeper(settings, link).sweep()
    finally:
        link.close()
    if swept.expired or swept.removed:
        _LOG.info("backstop: expired %d sessions and removed %d", swept.expired, swept.removed)
