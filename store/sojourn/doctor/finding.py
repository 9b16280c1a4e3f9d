"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from sojourn.doctor.look import Look

__all__ = ["REDIS_CLI", "SEVERITIES", "Check", "Finding", "Severity", "error", "info", "ok", "redis_cli", "warning"]

Severity = Literal["ok", "info", "warning", "error"]
SEVERITIES: Final[tuple[Severity, ...]] = ("ok", "info", "warning", "error")
"""From harmless to worst."""
REDIS_CLI: Final = "redis-cli -u $SOJOURN_REDIS_URL"


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Example:
        >>> Finding("outbox", "ok", "no outbox has more than 100000 events").severity
        'ok'
    """

    check: str
    severity: Severity
    """``info``: worth knowing, and no trouble; or what could not be looked at."""
    found: str
    why: str = ""
    """Why it matters."""
    mend: str = ""
    """What to do, in words."""
    commands: tuple[str, ...] = ()
    """The commands that do it."""
    fixable: bool = False
    """Whether `mend` does it, safely: without losing data, and without coming between anybody's writes."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"commands": list(self.commands)}


@dataclass(frozen=True)
class Check:
    """One thing that is looked at."""

    name: str
    looks: Callable[[Look], Iterator[Finding]]
    """Looks; what it finds carries neither name nor reason yet."""
    what: str
    """What it looks at, in a line."""
    why: str
    """Why it matters."""
    worst: Severity
    """The worst that it can find."""
    needs: Literal["nothing", "server", "layout", "archive"] = "layout"
    """What has to be there for it: a Redis that answers; one that is laid out as the settings say; an archive."""
    fix: Callable[[Look], str] | None = None
    """Mends what it found, and says what was done; None: that is for a person to do."""
    fixes: str = ""
    """What `fix` does, in a line."""


def ok(found: str) -> Finding:
    """All is well."""
    return Finding("", "ok", found)


def info(found: str, mend: str = "", *commands: str, fixable: bool = False) -> Finding:
    """Worth knowing."""
    return Finding("", "info", found, mend=mend, commands=commands, fixable=fixable)


def warning(found: str, mend: str = "", *commands: str, fixable: bool = False) -> Finding:
    """It will be trouble, or was."""
    return Finding("", "warning", found, mend=mend, commands=commands, fixable=fixable)


def error(found: str, mend: str = "", *commands: str, fixable: bool = False) -> Finding:
    """It is trouble now."""
    return Finding("", "error", found, mend=mend, commands=commands, fixable=fixable)


def redis_cli(*words: str, queues: bool = False) -> str:
    """A command to type, for the sessions' Redis, or for that of the queues.

    Example:
        >>> redis_cli("CONFIG", "SET", "save", "")
        "redis-cli -u $SOJOURN_REDIS_URL CONFIG SET save ''"
    """
    import shlex

    reach = REDIS_CLI.replace("REDIS_URL", "QUEUE_URL") if queues else REDIS_CLI
    return f"{reach} {shlex.join(words)}"
