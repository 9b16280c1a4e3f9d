"""What several commands take: options, and how durations, moments, assignments and JSON objects are written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click
from click import BadParameter

__all__ = [
    "CURSOR",
    "DRY_RUN",
    "REASON",
    "VERSION",
    "YES",
    "Assigned",
    "Lifetime",
    "assignment",
    "json_object",
    "lifetime",
    "moment",
    "options",
    "span",
]

F = TypeVar("F", bound=Callable[..., Any])

_UNITS_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhdw])")
_DURATION: Final = re.compile(rf"(?:{_PART.pattern})+")
_SECONDS: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_ISO: Final = re.compile(
    rf"p(?!$)(?:{_NUMBER}w)?(?:{_NUMBER}d)?(?:t(?!$)(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?)?"
)
"""ISO 8601, without years and months: those have no one length."""
_ISO_UNITS_S: Final = (604_800, 86_400, 3600, 60, 1)

DRY_RUN: Final = click.option("--dry-run", is_flag=True, help="Change nothing; tell what would be done.")
YES: Final = click.option("--yes", "-y", is_flag=True, help="Do not ask.")
REASON: Final = click.option("--reason", metavar="TEXT", help="Why; kept with the session.")
VERSION: Final = click.option(
    "--version", type=click.IntRange(min=1), metavar="N", help="Only if it still has this version."
)
CURSOR: Final = click.option("--cursor", metavar="CURSOR", help="Go on where the page before left off.")


def options(*several: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order of the help page."""

    def add(function: F) -> F:
        for each in reversed(several):
            function = each(function)
        return function

    return add


@dataclass(frozen=True)
class Lifetime:
    """A duration that was given; None stands for ``never``."""

    value: timedelta | None


@dataclass(frozen=True)
class Assigned:
    """``NAME=VALUE`` as it was given."""

    name: str
    text: str


def lifetime(text: str) -> Lifetime:
    """A duration such as ``1h30m``, ``45s``, ``PT30M`` or plain seconds, or ``never``.

    Raises:
        BadParameter: it is none of these.

    Example:
        >>> lifetime("1h30m").value
        datetime.timedelta(seconds=5400)
    """
    if text.strip().lower() == "never":
        return Lifetime(None)
    found = _duration(text)
    if found is None:
        raise BadParameter(f"{text!r} is not a duration: 30m, 1h30m, 45s, PT30M, seconds, or never")
    return Lifetime(found)


def span(text: str) -> timedelta:
    """The same without ``never``.

    Raises:
        BadParameter: it is not a duration.

    Example:
        >>> span("PT1H30M")
        datetime.timedelta(seconds=5400)
    """
    found = _duration(text)
    if found is None:
        raise BadParameter(f"{text!r} is not a duration: 30m, 1h30m, 45s, PT30M, or seconds")
    return found


def moment(text: str) -> datetime:
    """A moment: ISO 8601 with a time zone, or how long ago it was.

    Raises:
        BadParameter: it is neither.
    """
    try:
        ago = _duration(text)
        found = datetime.fromisoformat(text) if ago is None else datetime.now(UTC) - ago
    except (ValueError, OverflowError):
        raise BadParameter(f"{text!r} is not a time: 2026-01-31T12:00:00Z, or how long ago: 2h") from None
    if found.tzinfo is None:
        raise BadParameter(f"{text!r} has no time zone: add Z for UTC, or an offset such as +02:00")
    return found


def _duration(text: str) -> timedelta | None:
    text = text.strip().lower()
    try:
        if _SECONDS.fullmatch(text):
            return timedelta(seconds=float(text))
        if _DURATION.fullmatch(text):
            return timedelta(seconds=sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text)))
        if found := _ISO.fullmatch(text):
            parts = zip(found.groups(default="0"), _ISO_UNITS_S, strict=True)
            return timedelta(seconds=sum(float(number) * unit for number, unit in parts))
    except OverflowError:
        return timedelta.max  # which is refused as too long wherever it goes
    return None


def assignment(text: str) -> Assigned:
    """``NAME=VALUE``.

    Raises:
        BadParameter: it is not of that form.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise BadParameter(f"{text!r} is not of the form NAME=VALUE")
    return Assigned(name, value)


def json_object(text: str) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadParameter: it is not one.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadParameter(f"not JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadParameter('not a JSON object such as {"seat": 12}')
    return found
