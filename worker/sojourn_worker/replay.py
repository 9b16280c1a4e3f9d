"""Replaying dead letters: their events get a job again, and only then leave the list."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from rq.exceptions import DuplicateJobError, NoSuchJobError

from sojourn.keys import Homes
from sojourn.operations.dead import DeadLetter, drop, revive
from sojourn.settings import HookSettings, Settings
from sojourn_worker.burial import NO_SUCH_HOOK
from sojourn_worker.dispatch import enqueue_events
from sojourn_worker.queues import HOOKS, SafeJob, SafeQueue, connect, open_queue
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.tries import readable

__all__ = ["Replayed", "replay"]

_AT_ONCE: Final = 1_000


@dataclass
class Replayed:
    """What became of dead letters, by their ids."""

    enqueued: list[str] = field(default_factory=list)
    """These have a job now."""
    done: list[str] = field(default_factory=list)
    """The hook is done with these, or was given up on them anew: they are off the list, and that is all."""
    gone: list[str] = field(default_factory=list)
    """These were not on the list any more."""
    refused: dict[str, str] = field(default_factory=dict)
    """These cannot be replayed, for the reason told; they stay."""


def replay(
    settings: Settings, letters: Iterable[DeadLetter], *, progress: Callable[[int], None] | None = None
) -> Replayed:
    """Have hooks run again on the events that they were given up on.

    It may be killed at any point, or run twice at a time: each event is on the list, or in a job, or both; and what is
    in two jobs runs once, as always.

    Args:
        settings: the settings, which must name the hooks.
        letters: the dead letters, as `sojourn.dead.DeadLetters` gives them.
        progress: told from time to time how many letters are dealt with.

    Raises:
        StoreError: the sessions' Redis is away.
        RedisError: the queues' Redis is.

    Example:
        >>> replay(settings, DeadLetters(settings).each(hook="mail")).enqueued  # doctest: +SKIP
        ['mail/40-1750000000000-0']
    """
    outcome = Replayed()
    link, connection = RedisLink(settings), connect(settings)
    queue = open_queue(settings, HOOKS, connection)
    each = iter(letters)
    seen = 0
    try:
        link.open()
        while some := list(islice(each, _AT_ONCE)):
            for name, hook, batch in _batches(settings, link.homes(), some, outcome):
                _replay_batch(settings, link, queue, name, hook, batch, outcome)
            seen += len(some)
            if progress is not None:
                progress(seen)
    finally:
        link.close()
        connection.close()
    return outcome


def _batches(
    settings: Settings, homes: Homes, letters: Sequence[DeadLetter], outcome: Replayed
) -> Iterable[tuple[str, HookSettings, list[DeadLetter]]]:
    """Letters by hook, as many together as the hook takes; those that cannot be replayed are told apart."""
    by_hook: dict[str, list[DeadLetter]] = {}
    # Of two letters of one event only the last is the one that the ledger speaks of.
    for letter in sorted(letters, key=lambda each: each.position):
        event = letter.event
        if letter.hook not in settings.hooks:
            outcome.refused[letter.id] = NO_SUCH_HOOK
        elif event is None or not readable(settings, [event.to_json()])[0]:
            outcome.refused[letter.id] = "its event cannot be read"
        elif not homes.has(event.tenant, letter.place.partition.number):
            outcome.refused[letter.id] = f"it is not of tenant '{event.tenant}': other hands wrote it"
        else:
            by_hook.setdefault(letter.hook, []).append(letter)
    for name, own in by_hook.items():
        hook = settings.hooks[name]
        for start in range(0, len(own), hook.batch):
            yield name, hook, own[start : start + hook.batch]


def _replay_batch(
    settings: Settings,
    link: RedisLink,
    queue: SafeQueue,
    name: str,
    hook: HookSettings,
    letters: Sequence[DeadLetter],
    outcome: Replayed,
) -> None:
    found = list(zip(letters, link.run_many([revive(each) for each in letters]), strict=True))
    revived = [letter for letter, told in found if told == "revived"]
    done = [letter for letter, told in found if told == "done"]
    if revived:
        _enqueue(settings, queue, name, hook, revived)
    if revived or done:
        link.run(drop([*revived, *done]))
    outcome.enqueued += [each.id for each in revived]
    outcome.done += [each.id for each in done]
    outcome.gone += [letter.id for letter, told in found if told == "none"]


def _enqueue(
    settings: Settings, queue: SafeQueue, name: str, hook: HookSettings, letters: Sequence[DeadLetter]
) -> None:
    events = [event for event in (each.event for each in letters) if event is not None]
    told = "\n".join([settings.queue_prefix, name, *(f"{each.event_id} {each.entry}" for each in letters)])
    job_id = f"{name}-replay-{hashlib.sha256(told.encode()).hexdigest()[:40]}"
    while True:
        try:
            enqueue_events(queue, name, hook, events, job_id)
        except DuplicateJobError:
            # Of a replay that was killed, or runs beside this one. If it is over, the ledger knows what it did.
            if queue.holds(job_id):
                return
            _remove(queue, job_id)
        else:
            return


def _remove(queue: SafeQueue, job_id: str) -> None:
    try:
        SafeJob.fetch(job_id, connection=queue.connection).delete()
    except NoSuchJobError:
        queue.connection.delete(SafeJob.key_for(job_id))
