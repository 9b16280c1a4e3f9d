"""The settings of this worker process, and how they get from a supervisor to its roles."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Final

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from sojourn.settings import Settings, config_file, load_settings, masked
from sojourn_worker.logs import LOG

__all__ = ["current", "from_line", "tell", "to_line", "use"]

_PREFIX: Final = "SOJOURN_"
_used: Settings | None = None


def use(settings: Settings) -> None:
    """Make these the settings of this process, and of what hooks read for themselves with `load_settings`.

    What is in ``os.environ`` is this process's memory: unlike an argument it is not there for others to read.
    """
    global _used
    _used = settings
    for variable in [each for each in os.environ if _is_setting(each)]:
        del os.environ[variable]
    for name, value in _told(settings).items():
        if value is not None:
            os.environ[_PREFIX + name.upper()] = value if isinstance(value, str) else json.dumps(value)


def _is_setting(variable: str) -> bool:
    """Whether a variable tells a setting or, as in ``SOJOURN_HOOKS__MAIL__FUNCTION``, a part of one."""
    name = variable.lower().removeprefix(_PREFIX.lower()).partition("__")[0]
    return variable.upper().startswith(_PREFIX) and name in Settings.model_fields


def current() -> Settings:
    """The settings of this process: those it was started with, else those of environment and file."""
    return _used if _used is not None else load_settings()


def tell(settings: Settings, roles: Sequence[str]) -> None:
    """Tell in the log what this process goes by, without the passwords in it."""
    file = config_file()
    LOG.info(
        "settings loaded", file=file if file.is_file() else None, redis=masked(settings.redis_url),
        queues=masked(settings.queue_url or settings.redis_url), archive=masked(settings.archive_url),
        partitions=settings.partitions, hooks=list(settings.hooks), roles=list(roles), log_level=settings.log_level,
    )  # fmt: skip


def to_line(settings: Settings) -> bytes:
    """The settings as one line, for a pipe."""
    return json.dumps(_told(settings)).encode() + b"\n"


def _told(settings: Settings) -> dict[str, Any]:
    """All of them as JSON values, keys in clear."""
    keys = [each.get_secret_value() for each in settings.secret_keys]
    return {**settings.model_dump(mode="json"), "secret_keys": keys}


def from_line(line: bytes) -> Settings:
    """What `to_line` wrote: every setting, so that environment and file have no say."""
    told = _Told(**json.loads(line))
    return Settings.model_construct(**{name: getattr(told, name) for name in Settings.model_fields})


class _Told(Settings):
    """Settings from arguments alone; ordinary ones merge what is nested with environment and file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments."""
        return (init_settings,)
