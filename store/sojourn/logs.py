"""Logging: one line for each thing that happened, a constant text with fields.

The library logs through `logging`, under the name ``sojourn``, and configures nothing. A plain formatter shows the
fields behind the text; one that makes JSON finds them on the record, as `logging` puts there what it gets as
``extra``. The workers and the command line show them as `docs/reference/logs.md` says.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Final

from redis.exceptions import RedisError

from sojourn.errors import SojournError

__all__ = ["Line", "Log", "error_text", "first_line", "message_of", "place_of"]

_QUOTED: Final = frozenset(" =\"'\\")
_LONGEST_MESSAGE: Final = 500
_ARGUMENTS: Final = ", with args beginning with"
"""From here on Redis repeats what was sent."""


class Line:
    """What a record holds for its message: shown by a plain formatter as the event and, behind it, its fields.

    Example:
        >>> str(Line("session ended", {"session_id": "ID", "reason": "said goodbye"}))
        'session ended session_id=ID reason="said goodbye"'
    """

    __slots__ = ("event", "fields")

    def __init__(self, event: str, fields: Mapping[str, object]) -> None:
        self.event = event
        self.fields = fields

    def __str__(self) -> str:
        return " ".join([self.event, *(f"{name}={_shown(value)}" for name, value in self.fields.items())])


class Log:
    """Where one part of Sojourn logs.

    An event is a constant text; what differs from one time to the next is in fields. An exception is given as it is,
    by the name ``error``. No field is a secret, or what somebody keeps in a session.

    Args:
        name: of the logger, under ``sojourn``.

    Example:
        >>> Log("sojourn.example").debug("session ended", session_id="ID", duration_ms=3.1)
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, /, **fields: object) -> None:
        """Tell of each single thing that is as it should be."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._tell(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: object) -> None:
        """Tell what an operator wants to have seen."""
        if self._logger.isEnabledFor(logging.INFO):
            self._tell(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: object) -> None:
        """Tell of what goes on by itself, but should be looked at."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._tell(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: object) -> None:
        """Tell that something is lost, refused, or needs a person."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._tell(logging.ERROR, event, fields)

    def critical(self, event: str, /, **fields: object) -> None:
        """Tell that this process gives up."""
        if self._logger.isEnabledFor(logging.CRITICAL):
            self._tell(logging.CRITICAL, event, fields)

    def _tell(self, level: int, event: str, fields: dict[str, object]) -> None:
        extra = {name: error_text(each) if isinstance(each, BaseException) else each for name, each in fields.items()}
        # Two calls up is the line that tells.
        self._logger.log(level, Line(event, fields), extra=extra, stacklevel=3)


def _shown(value: object) -> str:
    text = error_text(value) if isinstance(value, BaseException) else str(value)
    if text and text.isprintable() and not _QUOTED & set(text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def error_text(error: BaseException) -> str:
    """An error in one line: its type and its message; of one whose message may tell anything, its type and place.

    Example:
        >>> error_text(KeyError("a password"))
        'KeyError'
    """
    message = message_of(error)
    return place_of(error) if message is None else f"{type(error).__name__}: {message}"


def message_of(error: BaseException) -> str | None:
    """An error's message, if it is from where messages hold nothing of what was worked on."""
    if not isinstance(error, SojournError | RedisError | OSError):
        return None
    return first_line(error).partition(_ARGUMENTS)[0][:_LONGEST_MESSAGE]


def first_line(error: BaseException) -> str:
    """An error's message in one line."""
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def place_of(error: BaseException) -> str:
    """An error's type and place; not its message, which may hold what was worked on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" in {trace.tb_frame.f_code.co_qualname}, line {trace.tb_lineno}"
    return f"{type(error).__name__}{place}"
