"""What to say where the packages of an extra are missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sojourn.errors import SettingsError

__all__ = ["needs_worker_extra"]


@contextmanager
def needs_worker_extra() -> Iterator[None]:
    """Around imports of what only the extra ``worker`` brings.

    Raises:
        SettingsError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"this needs the package '{error.name}', which is not installed: pip install 'sojourn[worker]'"
        ) from error
