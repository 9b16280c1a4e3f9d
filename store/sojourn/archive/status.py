"""How the archive is doing: what waits for it, how its last run went, and whether its servers are there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from redis.exceptions import ResponseError

from sojourn.archive import source
from sojourn.archive.database import connected
from sojourn.archive.report import ArchiveReport
from sojourn.archive.schema import HEAD, check_schema, read_version
from sojourn.codec import datetime_from
from sojourn.errors import ArchiveError, SettingsError, SojournError, StoreError
from sojourn.events import ARCHIVE_GROUP
from sojourn.keys import ARCHIVE
from sojourn.logs import Log
from sojourn.metrics import GroupState, read_metrics
from sojourn.operations.core import Command, Operation, pairs, raise_for
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["ArchiveStatus", "LastRun", "noted", "status"]

_ERROR_LENGTH: Final = 500
_FAILING: Final = "failing_since_ms"
LOG: Final = Log("sojourn.archive")
Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]


@dataclass(frozen=True)
class LastRun:
    """The last archive run that came to its end."""

    at: datetime
    report: ArchiveReport

    @property
    def rate(self) -> float:
        """Sessions per second."""
        return self.report.sessions / self.report.duration_s if self.report.duration_s else 0.0


@dataclass(frozen=True)
class ArchiveStatus:
    """What can be told of the archive; what cannot, since a server is away, is None.

    Example:
        >>> ArchiveStatus(dirty=0, lag_s=0.0, schema_held=HEAD).is_fine
        True
    """

    dirty: int | None = None
    """Sessions that changed since they were last archived."""
    lag_s: float | None = None
    """For how long the first of them has been waiting, in seconds by Redis's clock."""
    events_lag_s: float | None = None
    """The age of the oldest event that is not archived yet, in seconds."""
    last_run: LastRun | None = None
    last_error: str | None = None
    """Why the last run that failed did so; a later run may have been well, see the times."""
    last_error_at: datetime | None = None
    schema_held: str | None = None
    """The version of the archive's tables."""
    schema_expected: str = HEAD
    redis_problem: str | None = None
    archive_problem: str | None = None

    @property
    def is_fine(self) -> bool:
        """Whether both servers serve, and the tables are those of this version."""
        return self.redis_problem is None and self.archive_problem is None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        last = self.last_run
        return asdict(self) | {
            "last_run": last and {"at": last.at.isoformat(), "rate": last.rate, **last.report.to_json()},
            "last_error_at": self.last_error_at and self.last_error_at.isoformat(),
        }


def status(settings: Settings) -> ArchiveStatus:
    """How the archive is doing, as far as its servers tell.

    Raises:
        SettingsError: no archive is set, or a URL is malformed.

    Example:
        >>> status(load_settings()).lag_s  # doctest: +SKIP
        0.84
    """
    url = settings.archive_url
    if url is None:
        raise SettingsError("archive_url is not set: there is no archive")
    found: dict[str, Any] = {}
    transport = Transport(settings)
    try:
        found |= _waiting(settings) | _last(transport.execute)
    except StoreError as error:
        found["redis_problem"] = str(error)
    finally:
        transport.close()
    try:
        with connected(url, settings.archive_timeout) as connection:
            found["schema_held"] = read_version(connection)
            check_schema(connection, url)
    except ArchiveError as error:
        found["archive_problem"] = str(error)
    return ArchiveStatus(**found)


def _waiting(settings: Settings) -> dict[str, Any]:
    metrics = read_metrics(settings)
    return {
        "dirty": metrics.dirty,
        "lag_s": metrics.dirty_age_s,
        "events_lag_s": metrics.groups.get(ARCHIVE_GROUP, GroupState()).lag_s,
    }


def _last(execute: Execute) -> dict[str, Any]:
    state = _state().parse(execute([_state()])[0])
    return {
        "last_run": _last_run(state),
        "last_error": state.get("last_error"),
        "last_error_at": _moment(state.get("last_error_at_ms")),
    }


def _state() -> Operation[dict[str, str]]:
    def parse(replies: list[Any]) -> dict[str, str]:
        _raise_for(replies[0])
        return pairs(replies[0])

    return Operation((("HGETALL", ARCHIVE),), parse)


def _raise_for(reply: Any) -> None:
    if isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE"):
        raise StoreError(f"the key {ARCHIVE} is not a hash: other hands wrote it, and it must be deleted")
    raise_for(reply, "-", "-")


def _last_run(state: dict[str, str]) -> LastRun | None:
    at = _moment(state.get("last_run_at_ms"))
    if at is None:
        return None
    report = ArchiveReport(duration_s=(_number(state.get("duration_ms")) or 0) / 1000)
    for name, value in report.to_json().items():
        if name != "duration_s":
            setattr(report, name, type(value)(_number(state.get(name)) or 0))
    return LastRun(at, report)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None


def _moment(text: str | None) -> datetime | None:
    number = _number(text)
    with suppress(OverflowError):  # written by other hands
        return None if number is None else datetime_from(number)
    return None


@contextmanager
def noted(execute: Execute) -> Iterator[Callable[[ArchiveReport], None]]:
    """Around an archive run: leave in Redis for `status` how it ended. The block passes its report at its end."""

    def note_success(report: ArchiveReport) -> None:
        counts = {name: int(value) for name, value in report.to_json().items() if name != "duration_s"}
        duration_ms = round(report.duration_s * 1000)
        did = {name: value for name, value in counts.items() if value and name != "complete"}
        LOG.log(
            logging.INFO if did else logging.DEBUG, "archive run ended", **did, complete=report.complete,
            duration_ms=duration_ms,
        )  # fmt: skip
        before = _note(execute, "last_run_at_ms", {"duration_ms": duration_ms, **counts})
        if before.failing_since_ms is not None:
            LOG.info("archive runs work again", duration_ms=before.now_ms - before.failing_since_ms)

    try:
        yield note_success
    except Exception as error:
        # Other errors than our own may quote what was stored, or a password.
        told = str(error).splitlines()[0] if isinstance(error, SojournError) and str(error) else type(error).__name__
        told = told[:_ERROR_LENGTH]
        before = _note(execute, "last_error_at_ms", {"last_error": told})
        # One line for an outage, which may have many runs fail.
        is_news = before.failing_since_ms is None or before.error != told
        LOG.log(logging.WARNING if is_news else logging.DEBUG, "archive run failed", error=error)
        raise


class _Before(NamedTuple):
    """How it was before a run's end was noted."""

    now_ms: int = 0
    failing_since_ms: int | None = None
    """Since when runs had failed; None if the last one did not. By Redis's clock."""
    error: str | None = None


def _note(execute: Execute, time_field: str, fields: dict[str, str | int]) -> _Before:
    """Note how a run ended; how it was before."""
    try:
        clock_ms = source.time().parse(execute([source.time()])[0])
        written = [part for pair in {time_field: clock_ms, **fields}.items() for part in pair]
        failed = time_field == "last_error_at_ms"
        since: Command = ("HSETNX", ARCHIVE, _FAILING, clock_ms) if failed else ("HDEL", ARCHIVE, _FAILING)
        before: Command = ("HMGET", ARCHIVE, _FAILING, "last_error")
        count: Command = ("HINCRBY", ARCHIVE, "runs|failed" if failed else "runs|ok", 1)
        replies = execute([Operation((before, ("HSET", ARCHIVE, *written), since, count), lambda _: None)])[0]
        for each in replies:
            _raise_for(each)
        return _Before(clock_ms, _number(replies[0][0]), replies[0][1])
    except StoreError as error:  # the run itself has done, or failed at, what it had to
        LOG.warning("archive run cannot be noted", error=error)
        return _Before()
