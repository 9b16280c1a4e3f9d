"""Names of classes and functions in the settings, and what they stand for."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from sojourn.errors import SettingsError

__all__ = ["resolve", "resolve_hook"]


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
    except (Exception, SystemExit) as error:  # whatever a module does as it is imported
        raise SettingsError(f"{name} cannot be imported: its module raises {type(error).__name__}") from error
    if not callable(found):
        raise SettingsError(f"{name} is not callable")
    return found  # type: ignore[no-any-return]


def resolve_hook(name: str) -> Callable[..., Any]:
    """What ``module:name`` stands for, if it can be a hook: calling a generator function runs nothing of it.

    Raises:
        SettingsError: it cannot be imported, or is a generator function.
    """
    found = resolve(name)
    for each in (found, getattr(found, "__call__", None)):  # noqa: B004 - what an object's call does
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            raise SettingsError(f"{name} is a generator function, which does nothing when called: let it not yield")
    return found
