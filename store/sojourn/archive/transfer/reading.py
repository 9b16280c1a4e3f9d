"""Importing: from a file into the archive's tables, in batches, guarded as the archive's own writes are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

import psycopg

from sojourn.archive.database import Connection, connected, is_data_error, statement
from sojourn.archive.schema import check_schema
from sojourn.archive.transfer.formats import Damage, DamagedFile, Format, Row, Source
from sojourn.archive.transfer.naming import archive_settings, format_of
from sojourn.errors import InvalidInput
from sojourn.settings import Settings

__all__ = ["ImportReport", "import_rows"]

_BATCH_ROWS: Final = 1_000
_BATCH_CHARACTERS: Final = 4_000_000


@dataclass
class ImportReport:
    """What an import did. `read` counts all rows: written, unchanged and damaged ones."""

    read: int = 0
    written: int = 0
    damaged: int = 0

    @property
    def unchanged(self) -> int:
        """Rows that the archive held already, or a newer state of."""
        return self.read - self.written - self.damaged

    def to_json(self) -> dict[str, int]:
        """As plain values."""
        return {**asdict(self), "unchanged": self.unchanged}


def import_rows(
    source: Settings | str | None,
    file: Path | str | BinaryIO,
    *,
    file_format: str | None = None,
    strict: bool = False,
    dry_run: bool = False,
    damaged: Callable[[str], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> ImportReport:
    """Read rows that `export_rows` wrote into the archive, whosever they are.

    An older state never overwrites a newer one, so a file may be imported again, or after an import that was
    interrupted, and into an archive that is in use. Rows are committed in batches; memory is bounded.

    Args:
        source: all settings, or the archive's URL; None: read from environment and ``sojourn.yaml``.
        file: the file's path, or a binary file that is open for reading.
        file_format: as for `export_rows`.
        strict: stop at the first damaged row; the ones before it stay imported.
        dry_run: write each batch, and take it back at once: the report tells what an import would come to.
        damaged: called with a line for each damaged row, or several of them. It tells the place, never a value.
        progress: called with the number of bytes read so far.

    Raises:
        DamagedFile: the file cannot be read at all; or, if `strict`, a row is damaged.
        InvalidInput: an argument is no good.
        SettingsError: no archive is set, or the settings are no good.
        ArchiveUnavailable: the server did not answer in time. What was imported so far stays.
        ArchiveSchemaMismatch: its tables are not those of this version.
        OSError: the file cannot be read.

    Example:
        >>> import_rows(None, "expired.parquet").written  # doctest: +SKIP
        4711
    """
    settings, url = archive_settings(source)
    path = Path(file) if isinstance(file, (Path, str)) else None
    form = format_of(file_format, path)
    if path is not None and (path.is_dir() or not path.exists()):
        raise InvalidInput(f"{path} is a directory" if path.is_dir() else f"there is no file {path}")
    with connected(url, settings.archive_timeout) as connection:
        check_schema(connection, url)
        taking = _Import(connection, form, damaged, progress, strict=strict, dry_run=dry_run)
        if path is not None:
            with path.open("rb") as opened:
                return taking.run(Source(opened))
        assert not isinstance(file, (Path, str))  # noqa: S101 (for the type checker)
        return taking.run(Source(file))


class _Import:
    def __init__(
        self,
        connection: Connection,
        form: Format,
        tell: Callable[[str], None] | None,
        progress: Callable[[int], None] | None,
        *,
        strict: bool,
        dry_run: bool,
    ) -> None:
        self._connection = connection
        self._format = form
        self._strict = strict
        self._dry_run = dry_run
        self._tell = tell
        self._progress = progress
        self._batch: list[Row] = []
        self._size = 0
        self._report = ImportReport()

    def run(self, source: Source) -> ImportReport:
        for found in self._format.read(source):
            if isinstance(found, Damage):
                self._damaged(found)
                continue
            full = len(self._batch) >= _BATCH_ROWS or self._size + len(found.json) > _BATCH_CHARACTERS
            if self._batch and (full or self._batch[0].table is not found.table):
                self._flush()
                if self._progress is not None:
                    self._progress(source.done)
            self._batch.append(found)
            self._size += len(found.json)
        self._flush()
        if self._progress is not None:
            self._progress(source.done)
        return self._report

    def _flush(self) -> None:
        batch, self._batch, self._size = self._batch, [], 0
        self._report.read += len(batch)
        if batch:
            self._store(batch)

    def _store(self, rows: list[Row]) -> None:
        """Write rows; those whose values PostgreSQL refuses are told apart from the others, in their order."""
        try:
            with self._connection.transaction(force_rollback=self._dry_run):
                cursor = self._connection.execute(
                    statement(rows[0].table.store), {"rows": [each.json for each in rows], "texts": self._format.texts}
                )
        except psycopg.Error as error:
            if not (is_data_error(error) or isinstance(error, psycopg.DataError)):
                raise
            if len(rows) == 1:
                self._report.read -= 1  # which counting the damage does
                self._damaged(Damage(rows[0].number, f"is refused by PostgreSQL ({type(error).__name__})"))
                return
            middle = len(rows) // 2
            self._store(rows[:middle])
            self._store(rows[middle:])
        else:
            self._report.written += cursor.rowcount

    def _damaged(self, damage: Damage) -> None:
        if self._strict:
            self._flush()
            raise DamagedFile(f"{self._format.unit} {damage.number} {damage.problem}", damage.number)
        self._report.read += damage.rows
        self._report.damaged += damage.rows
        if self._tell is not None:
            self._tell(f"{self._format.unit} {damage.number} {damage.problem}")
