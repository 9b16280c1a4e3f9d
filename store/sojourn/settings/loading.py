"""Reading the settings from where they are, and telling what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from sojourn.codec.checks import problem_of
from sojourn.errors import SettingsError, SojournError
from sojourn.settings.files import config_file
from sojourn.settings.model import Settings

__all__ = ["load_settings"]

_LONGEST_MESSAGE: Final = 1_000
_PREFIX: Final = "sojourn_"
_KUBERNETES: Final = ("sojourn_service_", "sojourn_port")
"""What Kubernetes puts into the environment where a Service is called "sojourn"."""
_NO_SETTINGS: Final = frozenset(
    {"sojourn_config", "sojourn_venv", "sojourn_run_hooks", "sojourn_test_run", "sojourn_fuzz", "sojourn_prometheus"}
)
"""Variables of the scripts, and the one that names the settings file."""


def load_settings(**arguments: Any) -> Settings:
    """The settings, with `arguments` over all else; those that are None count as not given.

    Raises:
        SettingsError: one is malformed, or the file cannot be read.

    Example:
        >>> load_settings(tenant="acme").tenant
        'acme'
    """
    if "SOJOURN_CONFIG" in os.environ and not config_file().is_file():
        raise SettingsError(f"SOJOURN_CONFIG names {config_file()}, which is not a file")
    _refuse_unknown_variables()
    unknown = set(arguments) - set(Settings.model_fields)
    if unknown:
        raise SettingsError(f"there is no setting called {', '.join(sorted(unknown))}")
    try:
        _refuse_unknown(config_file())
        return Settings(**{name: value for name, value in arguments.items() if value is not None})
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
        told = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'settings'}: {problem_of(each)}" for each in problems)
        raise SettingsError(_shortened(told)) from None
    except SojournError as error:
        raise SettingsError(_shortened(str(error))) from None
    except RecursionError:
        raise SettingsError("the settings cannot be read: one nests too deep") from None
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(f"the settings cannot be read: {_shortened(str(error).splitlines()[0])}") from None


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + " ..."


def _refuse_unknown_variables() -> None:
    """The same goes for the environment, in which names are the same in lower case."""
    known = {_PREFIX + name for name in Settings.model_fields} | _NO_SETTINGS
    for name in os.environ:
        lower = name.lower()
        if lower.startswith(_KUBERNETES):
            continue
        if lower.startswith(_PREFIX) and lower not in known and _group(lower) not in known - _NO_SETTINGS:
            raise SettingsError(f"{name} in the environment: there is no setting called {lower.removeprefix(_PREFIX)}")


def _group(name: str) -> str:
    """The setting to which a nested one belongs."""
    return name.partition("__")[0]


def _refuse_unknown(path: Path) -> None:
    """A misspelt setting in the file is an error: silently ignored, it would be looked for a long time."""
    if not path.is_file():
        return
    import yaml

    try:
        found = yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {_shortened(str(error).splitlines()[0])}") from None
    except (ValueError, RecursionError, OverflowError) as error:  # bytes that are no text, dates that are none ...
        raise SettingsError(f"{path} cannot be read: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise SettingsError(f"{path} is not a mapping of settings")
    unknown = {str(name) for name in found} - set(Settings.model_fields)
    if unknown:
        raise SettingsError(f"{path}: there is no setting called {', '.join(sorted(unknown))}")
