"""Settings that are no good by themselves, though each of them is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from sojourn.doctor.finding import Finding, error, info, ok, warning
from sojourn.doctor.look import Look
from sojourn.errors import SojournError
from sojourn.sealing import holds_secret
from sojourn.settings import Settings

__all__ = ["settings"]

_RUNS: Final = 3
"""So many archive runs should come before a record goes."""
_LATE_SWEEP_S: Final = 5.0


def _grace(own: Settings) -> Finding | None:
    least_s = _RUNS * own.archive_interval
    if own.archive_url is None or own.grace.total_seconds() > least_s:
        return None
    return error(
        f"grace is {own.grace.total_seconds():g} s, and the archive runs every {own.archive_interval:g} s: records go "
        "before they are archived, whenever it is away for a moment",
        f"set grace to much more than {least_s:g} s; the default is 7 days",
    )


def _alarm(own: Settings) -> Finding | None:
    if own.archive_url is None or own.grace.total_seconds() > own.dirty_alarm:
        return None
    return warning(
        f"dirty_alarm is {own.dirty_alarm:g} s, and records go {own.grace.total_seconds():g} s after their end: what "
        "is told comes too late",
        "set dirty_alarm to less than grace",
    )


def _retention(own: Settings) -> Finding | None:
    if own.retention.total_seconds() > 0 or not (own.hooks or own.archive_url):
        return None
    return warning(
        "retention is 0: hooks and readers find no record of a session that has ended",
        "set retention to at least the seconds that hooks may be late; the default is 60",
    )


def _no_effect(own: Settings) -> Finding | None:
    if own.archive_url is not None or not (own.archive_retention or own.audit_retention):
        return None
    return warning(
        "archive_retention or audit_retention is set, but no archive: nothing is kept, and nothing is removed",
        "set archive_url, or leave them out",
    )


def _drain(own: Settings) -> Finding | None:
    longer = {name: hook.timeout for name, hook in own.hooks.items() if hook.timeout > own.drain_timeout}
    if not longer:
        return None
    told = ", ".join(f"'{name}' ({timeout_s:g} s)" for name, timeout_s in sorted(longer.items()))
    return info(
        f"drain_timeout is {own.drain_timeout:g} s, less than the timeout of the hooks {told}: stopping a worker cuts "
        "their jobs short, and they run again",
        "set drain_timeout to more, and let the system wait as long before it kills",
    )


def _takeover(own: Settings) -> Finding | None:
    if own.takeover_after > 2 * own.dispatch_block:
        return None
    return warning(
        f"takeover_after is {own.takeover_after:g} s, and a dispatcher waits {own.dispatch_block:g} s for events: "
        "dispatchers take over what others have in hand",
        "set takeover_after to several times dispatch_block; the default is 15",
    )


def _sweeps(own: Settings) -> Finding | None:
    if own.sweep_interval <= _LATE_SWEEP_S:
        return None
    return warning(
        f"sweep_interval is {own.sweep_interval:g} s: what Redis does not tell of expires as late as that",
        "set it to less than a second; the default, 0.02, takes 1 % of one core",
    )


def _events(own: Settings) -> Finding | None:
    if own.events_alarm >= own.events_cap:
        return None
    return warning(
        f"events_alarm ({own.events_alarm}) is less than events_cap ({own.events_cap}): an outbox that nobody reads "
        "is told as trouble though it is as long as it may be",
        "set events_alarm to more than events_cap",
    )


def _endless(own: Settings) -> Finding | None:
    if own.ttl is not None or own.max_lifetime is not None:
        return None
    return info(
        "ttl and max_lifetime are null: a session that nobody ends stays for ever, and Redis fills up",
        "set max_lifetime, or ttl where sessions are created",
    )


def _models(own: Settings) -> Finding | None:
    try:
        models = own.load_models()
        secret = sorted(
            kind for kind in models.kinds if holds_secret(models.codec(kind).model.__pydantic_core_schema__)
        )
    except SojournError as problem:
        return error(str(problem), "make it importable for workers and command line, or leave it out of models")
    own_kinds = [kind for kind in secret if kind != "mcp"]  # a ready model, which many never use
    if not own_kinds or own.keyring is not None:
        return None
    return warning(
        f"the models of {', '.join(own_kinds)} have secret fields, but there are no secret_keys: they can be neither "
        "written nor read",
        "make a key, and give it to every process",
    )


_ALL: Final[tuple[Callable[[Settings], Finding | None], ...]] = (
    _grace, _alarm, _retention, _no_effect, _drain, _takeover, _sweeps, _events, _endless, _models,
)  # fmt: skip


def settings(look: Look) -> Iterator[Finding]:
    """Whether they contradict one another."""
    found = [finding for each in _ALL if (finding := each(look.settings)) is not None]
    for finding in found:
        command = "sojourn secrets keygen" if "secret_keys" in finding.found else "sojourn config"
        yield Finding("", finding.severity, finding.found, mend=finding.mend, commands=(command,))
    if not found:
        yield ok("none contradicts another")
