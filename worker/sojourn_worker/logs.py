"""Setting up the log of a worker: one structured line on standard error for each thing that happened.

Whatever logs in this process comes out so: the roles, the library, RQ and rq-scheduler, what a hook logs, Python's
warnings, and what nobody caught.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, TextIO

from sojourn.events import Event
from sojourn.logs import Log
from sojourn.settings import Settings
from sojourn_worker.floods import Floods

__all__ = ["LOG", "about", "acting_on", "milliseconds_since", "set_up", "set_up_command", "tell_left_out"]

LOG = Log("sojourn.worker")
_OURS: Final = "sojourn"
# RQ tells of each of its steps, many times a second; what matters of that is told by the roles themselves.
_CHATTY: Final = ("rq.worker", "rq.job", "rq.queue", "rq.registry", "rq.scheduler", "rq_scheduler.scheduler")


class _Handler(logging.StreamHandler[TextIO]):
    """Writes lines to standard error, but not the same trouble again and again."""

    def __init__(self, floods: Floods | None) -> None:
        super().__init__(sys.stderr)
        self._floods = floods

    def emit(self, record: logging.LogRecord) -> None:
        if self._floods is None or self._floods.admits(record):
            super().emit(record)

    def tell_left_out(self) -> None:
        """Write summaries of what was left out."""
        if self._floods is not None and self._floods.is_due():
            with self.lock or threading.RLock():  # as in `handle`
                for record in self._floods.left_out():
                    super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Tell where a line comes from that cannot be written; logging would show all that it holds."""
        error = sys.exc_info()[1]
        if isinstance(error, RuntimeError) and str(error).startswith("reentrant call"):
            # A signal's handler logs in the midst of a line of its thread, which goes out whole behind this one.
            os.write(2, f"{self.format(record)}{self.terminator}".encode(errors="replace"))
        elif not isinstance(error, OSError):  # else there is nowhere to write to
            place = f"{record.name}, {record.filename} line {record.lineno}"
            os.write(2, f"sojourn: a log line of {place} cannot be written\n".encode(errors="replace"))


def about(event: Event) -> dict[str, str]:
    """Fields that say which event a line is about."""
    found = {"event_id": event.id, "tenant": event.tenant, "session_id": event.session_id, "trace_id": event.trace_id}
    return {name: each for name, each in found.items() if each}


@contextmanager
def acting_on(event: Event) -> Iterator[None]:
    """While this holds, every line that is logged by whatever runs is about an event."""
    from structlog.contextvars import bind_contextvars, reset_contextvars

    tokens = bind_contextvars(**about(event))
    try:
        yield
    finally:
        reset_contextvars(**tokens)


def milliseconds_since(monotonic_s: float) -> float:
    """How long ago a reading of the monotonic clock was."""
    return round((time.monotonic() - monotonic_s) * 1000, 1)


_handler: _Handler | None = None


def set_up(role: str, settings: Settings) -> None:
    """Log at the level and in the form that the settings say, unless the program has set up logging itself."""
    level = settings.log_level.upper()
    if _attach(role, settings, logging.WARNING, Floods()):
        logging.captureWarnings(True)
        sys.excepthook = _uncaught
        threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)
    logging.getLogger(_OURS).setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "DEBUG" else logging.ERROR)


def set_up_command(settings: Settings) -> None:
    """For commands that are no workers: warnings and errors only, beside what they print."""
    least = max(logging.WARNING, logging.getLevelNamesMapping()[settings.log_level.upper()])
    if _attach("cli", settings, least, None):
        logging.getLogger(_OURS).setLevel(least)


def _attach(role: str, settings: Settings, level: int, floods: Floods | None) -> bool:
    """Have the root logger write our lines; whether it does, which it does not where others have set it up."""
    global _handler
    root = logging.getLogger()
    if _handler is not None and _handler in root.handlers:
        root.removeHandler(_handler)
    if root.handlers:
        return False
    _handler = _Handler(floods)
    _handler.setFormatter(_LateFormatter(role, settings))
    root.addHandler(_handler)
    root.setLevel(level)
    return True


def tell_left_out() -> None:
    """Tell how often trouble came again that was left out since it was told; for the loops of the roles."""
    if _handler is not None:
        _handler.tell_left_out()


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), trace)
    else:
        LOG.critical("crashed", error=error if error is not None else kind())


class _LateFormatter(logging.Formatter):
    """Builds the real formatter for the first line: most commands log nothing, and need not wait for structlog."""

    def __init__(self, role: str, settings: Settings) -> None:
        super().__init__()
        self._role = role
        self._settings = settings
        self._real: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._real is None:
            try:
                from sojourn_worker.lines import formatter
            except ModuleNotFoundError as error:
                if error.name != "structlog":
                    raise
                self._real = logging.Formatter("%(levelname)s: %(message)s")  # only the client is installed
            else:
                self._real = formatter(self._role, self._settings, sys.stderr)
        return self._real.format(record)
