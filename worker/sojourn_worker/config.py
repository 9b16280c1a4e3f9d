"""The settings of this worker process, and how they get from a supervisor to its roles."""

from __future__ import annotations

import json
import os
from typing import Final

from sojourn.settings import Settings, load_settings

__all__ = ["current", "from_line", "to_line", "use"]

_PREFIX: Final = "SOJOURN_"
_used: Settings | None = None


def use(settings: Settings) -> None:
    """Make these the settings of this process, and of what hooks read for themselves with `load_settings`.

    What is in ``os.environ`` is this process's memory: unlike an argument it is not there for others to read.
    """
    global _used
    _used = settings
    for name, value in settings.model_dump(mode="json").items():
        variable = _PREFIX + name.upper()
        if value is None:
            os.environ.pop(variable, None)
        else:
            os.environ[variable] = value if isinstance(value, str) else json.dumps(value)


def current() -> Settings:
    """The settings of this process: those it was started with, else those of environment and file."""
    return _used if _used is not None else load_settings()


def to_line(settings: Settings) -> bytes:
    """The settings as one line, for a pipe."""
    return settings.model_dump_json().encode() + b"\n"


def from_line(line: bytes) -> Settings:
    """What `to_line` wrote: every setting, so that environment and file have no say."""
    return Settings(**json.loads(line))
