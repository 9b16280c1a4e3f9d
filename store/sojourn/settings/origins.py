"""Where each setting came from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel
from pydantic_settings import EnvSettingsSource, YamlConfigSettingsSource

from sojourn.settings.files import config_file
from sojourn.settings.loading import load_settings
from sojourn.settings.model import Settings

__all__ = ["Origin", "origins"]

_Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting: its name with dots, its value, and where that came from."""

    name: str
    value: Any
    source: Literal["argument", "environment", "file", "default"]
    where: str = ""
    """The environment variable, or the path of the file."""


def origins(**arguments: Any) -> list[Origin]:
    """Every setting as `load_settings` gives it, and its origin. Nested settings are told one by one.

    Raises:
        SettingsError: one is malformed, or the file cannot be read.

    Example:
        >>> next(each.source for each in origins(tenant="acme") if each.name == "tenant")
        'argument'
    """
    settings = load_settings(**arguments)
    given = {name: value for name, value in arguments.items() if value is not None}
    environment = EnvSettingsSource(Settings)()
    file = YamlConfigSettingsSource(Settings, yaml_file=config_file())()
    found = []
    for path, value in _leaves(settings, ()):
        name = ".".join(path)
        if _has(given, path):
            found.append(Origin(name, value, "argument"))
        elif _has(environment, path):
            found.append(Origin(name, value, "environment", _variable(path)))
        elif _has(file, path):
            found.append(Origin(name, value, "file", str(config_file().absolute())))
        else:
            found.append(Origin(name, value, "default"))
    return found


def _leaves(value: Any, path: _Path) -> Iterator[tuple[_Path, Any]]:
    """The values that are no mappings themselves, with the way to each."""
    if isinstance(value, BaseModel):
        value = {name: getattr(value, name) for name in type(value).model_fields}
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _leaves(each, (*path, name))
    else:
        yield path, value


def _has(source: Any, path: _Path) -> bool:
    """Whether a source says something about a setting; a source may also hold a model where others nest."""
    for name in path:
        if isinstance(source, BaseModel):
            source = source.model_dump(exclude_unset=True)
        if not isinstance(source, Mapping) or name not in source:
            return False
        source = source[name]
    return True


def _variable(path: _Path) -> str:
    """The environment variable behind a setting: its own, or one that holds a group of settings as JSON."""
    names = {name.lower(): name for name in os.environ}
    for length in range(len(path), 0, -1):
        found = names.get("sojourn_" + "__".join(path[:length]).lower())
        if found is not None:
            return found
    return ""
