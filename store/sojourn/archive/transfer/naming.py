"""Which format a file has, and which archive is meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

from sojourn.archive.transfer.csv import Csv
from sojourn.archive.transfer.formats import Format
from sojourn.archive.transfer.jsonl import JsonLines
from sojourn.archive.transfer.parquet import Parquet
from sojourn.errors import InvalidInput, SettingsError
from sojourn.settings import Settings, load_settings

__all__ = ["FORMATS", "archive_settings", "format_of"]

FORMATS: Final[Mapping[str, Format]] = {"csv": Csv(), "jsonl": JsonLines(), "parquet": Parquet()}
"""By name, which also is the suffix of their files."""


def format_of(name: str | None, path: PurePath | None) -> Format:
    """The format of that name; or else of the path's suffix; JSON lines where there is no path.

    Raises:
        InvalidInput: there is no such format, or the suffix does not tell one.
        SojournError: a package that it needs is missing.
    """
    if name is None and path is not None:
        name = path.suffix.removeprefix(".").lower()
        if name not in FORMATS:
            raise InvalidInput(f"the suffix of '{path.name}' tells no format: name one of {', '.join(FORMATS)}")
    found = FORMATS.get(name or "jsonl")
    if found is None:
        raise InvalidInput(f"there is no format '{name}', but {', '.join(FORMATS)}")
    found.check()
    return found


def archive_settings(source: Settings | str | None) -> tuple[Settings, str]:
    """The settings, and the archive's URL.

    Raises:
        SettingsError: no archive is set, or the settings are no good.
    """
    settings = source if isinstance(source, Settings) else load_settings(archive_url=source)
    if settings.archive_url is None:
        raise SettingsError("archive_url is not set: there is no archive")
    return settings, settings.archive_url
