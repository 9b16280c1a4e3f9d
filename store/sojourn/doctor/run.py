"""Making the checks, and mending what they find."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sojourn.doctor.checks import CHECKS
from sojourn.doctor.finding import REDIS_CLI, Check, Finding, error, info
from sojourn.doctor.look import Look, NotAllowed, Progress
from sojourn.errors import InvalidInput, LayoutMismatch, SojournError, StoreError, StoreUnavailable
from sojourn.settings import Settings

__all__ = ["Mended", "examine", "mend"]

_CONNECTION = "redis"
_NEEDED = {"server": 1, "layout": 2}


@dataclass(frozen=True)
class Mended:
    """What came of mending what a check found."""

    check: str
    done: str = ""
    """What was done; '' where it failed."""
    failed: str = ""
    """Why it could not be mended."""
    left: tuple[Finding, ...] = ()
    """What the check finds now."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "left": [each.to_json() for each in self.left]}


def examine(
    settings: Settings, *, only: Sequence[str] = (), full: bool = False, progress: Progress | None = None
) -> Iterator[Finding]:
    """Check a deployment, one thing after the other; what a check could not look at is a finding, too.

    Args:
        settings: of the deployment.
        only: the names of checks, as in `CHECKS`; all where it is empty.
        full: look at every session, rather than at some by chance; it takes half a minute for 100,000, and always
            the same memory.
        progress: told how many keys a full look has seen, and how many there are.

    Raises:
        InvalidInput: there is no check of that name.
        SettingsError: a URL is malformed.

    Example:
        >>> [each.found for each in examine(load_settings()) if each.severity != "ok"]  # doctest: +SKIP
        []
    """
    chosen = _chosen(only)
    look = Look(settings, full=full, progress=progress)
    try:
        reached = yield from _connection(look, only)
        for check in chosen:
            yield from _made(check, look, reached)
    finally:
        look.close()


def _chosen(only: Sequence[str]) -> list[Check]:
    known = {each.name: each for each in CHECKS}
    unknown = sorted(set(only) - {*known, _CONNECTION})
    if unknown:
        raise InvalidInput(f"there is no check '{unknown[0]}': there are {_CONNECTION}, {', '.join(known)}")
    return [each for each in CHECKS if not only or each.name in only]


def _connection(look: Look, only: Sequence[str]) -> Generator[Finding, None, int]:
    """Whether Redis answers; returns how far one comes: 0: it does not, 1: it does, 2: it is laid out as expected."""
    why = "nothing works without it"
    try:
        look.ask(("PING",))
    except NotAllowed as problem:
        yield replace(
            error(str(problem), "log in as a user who may", f"{REDIS_CLI} ACL WHOAMI"), check="redis", why=why
        )
        return 0
    except StoreError as problem:
        told = "start Redis, or check the URL, user and password in SOJOURN_REDIS_URL"
        commands = (f"{REDIS_CLI} PING", "sojourn config")
        yield replace(error(str(problem), told, *commands), check=_CONNECTION, why=why)
        return 0
    if not only or _CONNECTION in only:
        yield Finding(_CONNECTION, "ok", "answers")
    return 1 if any(each.severity == "error" for each in _layout(look)) else 2


def _layout(look: Look) -> list[Finding]:
    layout = next(each for each in CHECKS if each.name == "layout")
    return list(_made(layout, look, 1))


def _made(check: Check, look: Look, reached: int) -> Iterator[Finding]:
    """What one check finds, with its name and its reason."""
    if check.needs == "archive" and look.settings.archive_url is None:
        return
    if reached < _NEEDED.get(check.needs, 0):
        return  # why it cannot be looked at was told once
    try:
        found = list(check.looks(look))
    except NotAllowed as problem:
        found = [info(f"could not be looked at: {problem}", "run doctor as a user who may", f"{REDIS_CLI} ACL WHOAMI")]
    except LayoutMismatch:
        return  # somebody laid it out in this moment
    except StoreUnavailable as problem:
        found = [error(str(problem), "start Redis", f"{REDIS_CLI} PING")]
    except SojournError as problem:
        found = [error(f"could not be looked at: {problem}", "see what Redis says", f"{REDIS_CLI} INFO server")]
    except ImportError as problem:
        found = [info(f"could not be looked at: {problem}", "", "pip install 'sojourn[worker]'")]
    for each in found:
        yield replace(each, check=check.name, why="" if each.severity == "ok" else check.why)


def mend(settings: Settings, findings: Iterable[Finding], *, progress: Progress | None = None) -> Iterator[Mended]:
    """Mend what can be mended safely of what `examine` found, and check that again.

    Nothing is lost by it, and writers may go on: whatever is changed is looked at again in the script that changes it.

    Args:
        settings: of the deployment.
        findings: what was found; those that are not `fixable` are passed over.
        progress: told how many keys were seen, and how many there are, where all sessions are gone through.

    Example:
        >>> [each.done for each in mend(settings, examine(settings))]  # doctest: +SKIP
        ['set notify-keyspace-events to Exe']
    """
    wanted = {each.check for each in findings if each.fixable}
    look = Look(settings, full=True, progress=progress)
    done: dict[Any, Mended] = {}
    try:
        for check in CHECKS:
            if check.name not in wanted or check.fix is None:
                continue
            if check.fix not in done:
                done[check.fix] = _mended(check, look)
                look.forget()
            left = tuple(each for each in _made(check, look, 2) if each.severity != "ok")
            yield replace(done[check.fix], check=check.name, left=left)
    finally:
        look.close()


def _mended(check: Check, look: Look) -> Mended:
    assert check.fix is not None  # noqa: S101 - for the type checker
    try:
        return Mended(check.name, done=check.fix(look))
    except SojournError as problem:
        return Mended(check.name, failed=str(problem))
