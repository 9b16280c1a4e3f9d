"""Looking at a deployment again and again, for several who ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sojourn.errors import SojournError, StoreError
from sojourn.health.judge import judge
from sojourn.health.model import Health, Reason, State
from sojourn.health.ready import Check, readiness
from sojourn.metrics import Choice, Metrics, read_metrics
from sojourn.settings import Settings

__all__ = ["Watch", "read_health"]

_FRESH_S: Final = 1.0
_SHARE: Final = 4
"""A look is good for so many times as long as it took, so that looking takes a fifth of the time at most."""
_ARCHIVE_FRESH_S: Final = 10.0
_ARCHIVE_TIMEOUT_S: Final = 2.0


@dataclass
class _Kept:
    value: Any
    until_s: float


class Watch:
    """A deployment's numbers and health, each read anew at most once a second. Safe to share between threads.

    Args:
        settings: where its servers are, and the thresholds.

    Example:
        >>> Watch(load_settings()).health().state  # doctest: +SKIP
        <State.HEALTHY: 'healthy'>
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._choice = Choice(settings.metrics_tenants)
        self._locks = {name: threading.Lock() for name in ("metrics", "archive", "ready")}
        self._kept: dict[str, _Kept] = {}

    def metrics(self) -> Metrics:
        """The numbers.

        Raises:
            StoreUnavailable: Redis did not answer in time.
            LayoutMismatch: Redis is laid out with other settings.
        """
        found = self._fresh("metrics", _FRESH_S, self._read)
        if isinstance(found, StoreError):
            raise found
        assert isinstance(found, Metrics)  # noqa: S101 - for the type checker
        return found

    def health(self) -> Health:
        """How the deployment is."""
        try:
            reasons = judge(self.metrics(), self._settings)
        except StoreError as error:
            told = "check redis_url, and that Redis runs: nothing works without it"
            reasons = (Reason("redis", State.UNHEALTHY, str(error), told),)
        if self._settings.archive_url is not None:
            reasons += self._fresh("archive", _ARCHIVE_FRESH_S, self._archive)
        return Health(reasons)

    def ready(self) -> tuple[Check, ...]:
        """Whether what a worker needs is there."""
        found: tuple[Check, ...] = self._fresh("ready", _FRESH_S, lambda: readiness(self._settings))
        return found

    def _read(self) -> Metrics | StoreError:
        try:
            return read_metrics(self._settings, self._choice)
        except StoreError as error:
            return error  # which is as good for a second as numbers are

    def _archive(self) -> tuple[Reason, ...]:
        problem = _archive_problem(self._settings)
        if problem is None:
            return ()
        told = "start PostgreSQL, or see sojourn archive status; what is to be archived waits in Redis"
        return (Reason("archive", State.DEGRADED, problem, told),)

    def _fresh(self, name: str, fresh_s: float, read: Callable[[], Any]) -> Any:
        with self._locks[name]:
            kept = self._kept.get(name)
            if kept is None or time.monotonic() >= kept.until_s:
                began = time.monotonic()
                value = read()
                took_s = time.monotonic() - began
                kept = self._kept[name] = _Kept(value, time.monotonic() + max(fresh_s, _SHARE * took_s))
            return kept.value


def _archive_problem(settings: Settings) -> str | None:
    """Why the archive cannot serve; None where it can."""
    try:
        from sojourn.archive.database import connected
        from sojourn.archive.schema import check_schema
    except ImportError as error:
        return f"the archive needs psycopg ({error}): pip install 'sojourn[worker]'"
    url = settings.archive_url
    assert url is not None  # noqa: S101 - who asks has one
    try:
        with connected(url, min(settings.archive_timeout, _ARCHIVE_TIMEOUT_S)) as connection:
            check_schema(connection, url)
    except SojournError as error:
        return str(error)
    return None


def read_health(settings: Settings) -> Health:
    """How a deployment is, now.

    Example:
        >>> read_health(load_settings()).state  # doctest: +SKIP
        <State.HEALTHY: 'healthy'>
    """
    return Watch(settings).health()
