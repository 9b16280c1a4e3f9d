"""Giving events up: putting them among the dead letters, where the operator finds them and can have them replayed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sojourn.events import Event
from sojourn.hook_names import hook_scope
from sojourn.keys import PartitionKeys, parse_event_id
from sojourn.operations.dead import UNREADABLE, Burial, Place, bury
from sojourn.settings import HookSettings, Settings
from sojourn_worker.logs import LOG, about
from sojourn_worker.redis_link import RedisLink

__all__ = ["NO_SUCH_HOOK", "USED_UP", "bury_event", "bury_unreadable", "kept_ms", "scope", "wait_s"]

NO_SUCH_HOOK: Final = "there is no such hook in the settings"
USED_UP: Final = "its tries were used up before"
_CANNOT_BE_READ: Final = "cannot be read"
_DAY_S: Final = 86400
_LONGEST_WAIT_S: Final = 300
_SHOWN: Final = 80
_REASON_LENGTH: Final = 200
_TEXT_LENGTH: Final = 65_536


def scope(settings: Settings, hook: str) -> str:
    """Names a hook in keys."""
    return hook_scope(settings.queue_prefix, hook)


def wait_s(tries: int) -> int:
    """The pause before the next try after so many: none, then 1, 2, 4 ... seconds, at most 5 minutes."""
    return min(_LONGEST_WAIT_S, 2 ** (tries - 1)) if tries else 0


def kept_ms(hook: HookSettings | None) -> int:
    """How long ledger and counts remember an event: a day, or twice what all tries of a whole batch may take."""
    if hook is None:
        return 1000 * _DAY_S
    waits = sum(wait_s(tries) for tries in range(hook.retries + 1))
    return 1000 * max(_DAY_S, 2 * int(hook.batch * (hook.retries + 1) * hook.timeout + hook.batch * waits))


def bury_event(
    link: RedisLink, settings: Settings, name: str, event: Event, *, job: str, tries: int, reason: str
) -> Burial:
    """Give up an event for a hook, once, and tell so; not while another job than `job` has it in hand.

    Args:
        link: the sessions' Redis.
        settings: the settings, which need not name the hook any more.
        name: the hook.
        event: the event.
        job: names the job.
        tries: how often the hook failed on it.
        reason: why, without anything that the hook worked on.

    Raises:
        StoreError: Redis is away, or refuses.
    """
    number, _ = parse_event_id(event.id)
    text = json.dumps(event.to_json())
    burial = _bury(link, settings, name, number, event.id, text, job, tries, reason[:_REASON_LENGTH])
    if burial.outcome == "buried":
        LOG.error("dead-lettered", hook=name, **about(event), tries=tries, reason=reason[:_REASON_LENGTH])
    return burial


def bury_unreadable(link: RedisLink, settings: Settings, name: str, raws: Sequence[Any], job: str) -> None:
    """Keep what is in a job and is no event, as far as that goes, and tell of it once.

    Raises:
        StoreError: Redis is away, or refuses.
    """
    for raw in raws:
        text = json.dumps(raw)
        event_id = UNREADABLE + hashlib.sha256(text.encode()).hexdigest()[:16]
        burial = _bury(link, settings, name, 0, event_id, text[:_TEXT_LENGTH], job, 0, _CANNOT_BE_READ)
        if burial.outcome == "buried":
            known_by = raw.get("id") if isinstance(raw, Mapping) else None
            LOG.error("dead-lettered", hook=name, event_id=repr(known_by)[:_SHOWN], reason=_CANNOT_BE_READ)


def _bury(
    link: RedisLink, settings: Settings, name: str, number: int, event_id: str, text: str, job: str, tries: int,
    reason: str,
) -> Burial:  # fmt: skip
    place = Place(PartitionKeys(number), name, scope(settings, name))
    keep_ms = 2 * kept_ms(settings.hooks.get(name))
    return link.run(bury(place, event_id, text, job=job, tries=tries, reason=reason, keep_ms=keep_ms))
