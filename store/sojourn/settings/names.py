"""Names of classes and functions in the settings, and what they stand for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from sojourn.errors import SettingsError

__all__ = ["resolve"]


def resolve(name: str) -> Callable[..., Any]:
    """What ``module:name`` from the settings stands for. Never call it with a name that comes from data.

    Raises:
        SettingsError: it cannot be imported.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingsError(f"{name} cannot be imported: {error}") from error
    if not callable(found):
        raise SettingsError(f"{name} is not callable")
    return found  # type: ignore[no-any-return]
