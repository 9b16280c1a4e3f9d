"""What a log line looks like: structlog's formatter with our fields, as JSON or for a console.

The last step before a line is written masks what looks like a secret in any of its values, whoever logged it.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from itertools import islice
from pathlib import PurePath
from typing import Any, Final, TextIO
from urllib.parse import unquote
from uuid import UUID

import structlog
from structlog.types import EventDict, Processor

from sojourn.logs import Line, message_of
from sojourn.settings import Settings
from sojourn.settings.masking import is_secret_name, masked_text
from sojourn.tokens.form import masked_tokens

__all__ = ["formatter"]

_FIRST: Final = (
    "timestamp", "level", "event", "role", "pid", "logger", "tenant", "session_id", "trace_id", "hook", "job",
    "duration_ms",
)  # fmt: skip
_LONGEST_TEXT: Final = 1_000
_MOST_ITEMS: Final = 20
_MOST_FRAMES: Final = 12
_DEEPEST: Final = 3
_OF_EVERY_RECORD: Final = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
_LEAST_SECRET: Final = 4
"""Shorter passwords would be found in other words."""


def formatter(role: str, settings: Settings, stream: TextIO) -> logging.Formatter:
    """The formatter of a process's lines.

    Args:
        role: of the process.
        settings: they say in which form, and which passwords to look for.
        stream: where lines go: by default they are for a console if that is a terminal.
    """
    terminal = stream.isatty()
    as_json = (settings.log_format or ("console" if terminal else "json")) == "json"
    shown: list[Processor]
    if as_json:
        shown = [structlog.processors.JSONRenderer()]
    else:
        colours = terminal and not os.environ.get("NO_COLOR")
        shown = [_for_console, structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False, pad_event_to=28)]
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            _fields,
            structlog.contextvars.merge_contextvars,
            _described(role),
            _clean(_secrets(settings)),
            _ordered,
            *shown,
        ]
    )


def _fields(_: Any, __: str, line: EventDict) -> EventDict:
    """The event and its fields, of our own lines and of others'."""
    record: logging.LogRecord = line["_record"]
    if isinstance(record.msg, Line):
        found: EventDict = {**record.msg.fields, "event": record.msg.event}
    else:
        found = {name: each for name, each in vars(record).items() if name not in _OF_EVERY_RECORD}
        found["event"] = line["event"]
    given = line.get("exc_info")
    if isinstance(given, tuple) and given[1] is not None:
        found["error"] = given[1]
    found["_record"] = record
    return found


def _described(role: str) -> Processor:
    def described(_: Any, __: str, line: EventDict) -> EventDict:
        record: logging.LogRecord = line.pop("_record")
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line.update(
            timestamp=at.replace("+00:00", "Z"), level=record.levelname.lower(), logger=record.name, role=role,
            pid=os.getpid(),
        )  # fmt: skip
        return line

    return described


def _clean(secrets: re.Pattern[str] | None) -> Processor:
    """Every value is bounded, is something that JSON knows, and has no secret in it."""

    def text(value: str) -> str:
        if len(value) > _LONGEST_TEXT:
            value = value[:_LONGEST_TEXT] + "..."
        if secrets is not None:
            value = secrets.sub("***", value)
        return masked_text(masked_tokens(_COLOURS.sub("", value)))

    def plain(value: Any, depth: int = 0) -> Any:
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return round(value, 3) if abs(value) < 1e15 else str(value)  # neither infinite nor no number
        if isinstance(value, str):
            return text(str(value))
        if isinstance(value, BaseException):
            return plain(_error(value), depth)
        if isinstance(value, PurePath | UUID | date | timedelta):
            return text(str(value))
        if isinstance(value, Enum):
            return plain(value.value, depth)
        if depth < _DEEPEST and isinstance(value, Mapping):
            return {
                text(str(name)): named(str(name), each, depth + 1) for name, each in islice(value.items(), _MOST_ITEMS)
            }
        if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
            return [plain(each, depth + 1) for each in islice(value, _MOST_ITEMS)]
        return f"<{type(value).__name__}>"  # whose text may be anything

    def named(name: str, value: Any, depth: int = 0) -> Any:
        return "***" if is_secret_name(name) else plain(value, depth)

    def clean(_: Any, __: str, line: EventDict) -> EventDict:
        return {text(name): named(name, value) for name, value in line.items()}

    return clean


def _error(error: BaseException) -> dict[str, Any]:
    """An exception: never its locals, and its message only where that holds nothing of what was worked on."""
    found: dict[str, Any] = {"type": type(error).__name__}
    message = message_of(error)
    if message is not None:
        found["message"] = message
    else:
        frames = traceback.extract_tb(error.__traceback__, limit=-_MOST_FRAMES)
        found["frames"] = [f"{PurePath(each.filename).name}:{each.lineno} {each.name}" for each in frames]
    return found


def _secrets(settings: Settings) -> re.Pattern[str] | None:
    """Finds the passwords and keys of the settings, wherever they are."""
    found = {each.get_secret_value().rpartition(":")[2] for each in settings.secret_keys}
    for url in (settings.redis_url, settings.queue_url, settings.archive_url):
        userinfo = (url or "").partition("://")[2].rpartition("@")[0]
        password = userinfo.partition(":")[2] or userinfo
        found |= {password, unquote(password)}
    words = sorted((each for each in found if len(each) >= _LEAST_SECRET), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, words))) if words else None


def _ordered(_: Any, __: str, line: EventDict) -> EventDict:
    first = {name: line[name] for name in _FIRST if line.get(name) not in (None, "")}
    return first | {name: each for name, each in line.items() if name not in _FIRST and each is not None}


def _for_console(_: Any, __: str, line: EventDict) -> EventDict:
    """Nothing of a line moves the cursor, or begins another line."""
    return {name: _flat(each) for name, each in line.items()}


def _flat(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        more = value.get("message") or " < ".join(reversed(value.get("frames", [])))
        value = f"{value['type']}: {more}" if more else value["type"]
    elif isinstance(value, dict):
        value = ",".join(f"{name}:{_flat(each)}" for name, each in value.items())
    elif isinstance(value, list):
        value = ",".join(map(_flat, value))
    text = str(value)
    return text if text.isprintable() else "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
