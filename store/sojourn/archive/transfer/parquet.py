"""Parquet: times as microseconds in UTC, arrays as lists, JSON as text."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from shutil import copyfileobj
from typing import Any, BinaryIO, Final

from psycopg import sql

from sojourn.archive.transfer.filters import Filters
from sojourn.archive.transfer.formats import JSON_ROWS, Damage, DamagedFile, Row, Source
from sojourn.archive.transfer.tables import Kind, Table, table_with
from sojourn.errors import SojournError

__all__ = ["Parquet"]

_GROUP_BYTES: Final = 8_000_000
"""Of a row group, before it is compressed: what is in memory while writing, and while reading."""
_BATCH_ROWS: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode


class Parquet:
    """Parquet files, through pyarrow."""

    unit = "row"
    texts = True
    copy_options = JSON_ROWS

    def check(self) -> None:
        """Raise `SojournError` if pyarrow is missing."""
        _pyarrow()

    def query(self, table: Table, filters: Filters) -> sql.Composed:
        """Each row as a JSON array."""
        cells = table.cells(json="{}::text", moment="(extract(epoch FROM {}) * 1000000)::bigint")
        return table.select(sql.SQL("json_build_array({})").format(cells), filters)

    def writer(self, file: BinaryIO, table: Table) -> _Writer:
        """Begin a file."""
        return _Writer(file, table)

    def read(self, source: Source) -> Iterator[Row | Damage]:
        """What is in a file.

        Raises:
            DamagedFile: it is not whole, or of another kind.
        """
        if source.file.seekable():
            yield from _read(source, source.file)
            return
        with tempfile.TemporaryFile() as whole:  # its end tells where the rest is
            copyfileobj(source.file, whole)
            yield from _read(source, whole)


class _Sink(io.RawIOBase):
    """Where pyarrow writes to: a file, which may be a pipe, until that is detached."""

    def __init__(self, file: BinaryIO) -> None:
        self._file: BinaryIO | None = file
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._file is not None:
            self._file.write(data)
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def detach(self) -> None:
        self._file = None


class _Writer:
    def __init__(self, file: BinaryIO, table: Table) -> None:
        pyarrow, parquet = _pyarrow()
        self._pyarrow = pyarrow
        self._schema = _schema(pyarrow, table)
        self._sink = _Sink(file)
        self._file = parquet.ParquetWriter(
            pyarrow.PythonFile(self._sink, mode="w"), self._schema, compression="zstd", write_page_checksum=True
        )
        self._rows: list[bytes] = []
        self._size = 0

    def write(self, rows: Sequence[bytes]) -> None:
        for row in rows:
            self._rows.append(row)
            self._size += len(row)
            if self._size >= _GROUP_BYTES:
                self._flush()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def abandon(self) -> None:
        self._sink.detach()  # a writer that goes closes its file, which would then look whole
        self._file.close()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns = zip(*map(json.loads, self._rows), strict=True)
        arrays = [
            self._pyarrow.array(column, type=field.type) for column, field in zip(columns, self._schema, strict=True)
        ]
        self._file.write_batch(self._pyarrow.record_batch(arrays, schema=self._schema))
        self._rows, self._size = [], 0


def _read(source: Source, file: BinaryIO) -> Iterator[Row | Damage]:
    pyarrow, parquet = _pyarrow()
    try:
        opened = parquet.ParquetFile(file, page_checksum_verification=True)
        names = opened.schema_arrow.names
    except (pyarrow.ArrowException, OSError):
        raise DamagedFile("it is no whole Parquet file; it may be cut off") from None
    table = table_with(names)
    if table is None:
        raise DamagedFile("its columns are not those of a table of the archive")
    number = 1
    for group in range(opened.num_row_groups):
        held = opened.metadata.row_group(group)
        last = number + held.num_rows
        batches = opened.iter_batches(_BATCH_ROWS, row_groups=[group], columns=list(table.names))
        while number < last:
            try:
                rows = _rows(pyarrow, next(batches), table)
            except (pyarrow.ArrowException, OSError, StopIteration, UnicodeDecodeError) as error:
                problem = f"and up to row {last - 1} cannot be read ({type(error).__name__})"
                yield Damage(number, problem, last - number)
                break
            for row in rows:
                yield Row(number, table, row) if isinstance(row, str) else Damage(number, "has a time out of range")
                number += 1
        number = last
        source.done += sum(held.column(each).total_compressed_size for each in range(held.num_columns))


def _rows(pyarrow: Any, batch: Any, table: Table) -> list[str | None]:
    """The rows of a batch as JSON; None for one with a time that cannot be told."""
    schema = _schema(pyarrow, table)
    columns: list[list[Any]] = []
    for column, field in zip(table.columns, schema, strict=True):
        values = batch.column(batch.schema.get_field_index(column.name)).cast(field.type)
        is_time = column.kind is Kind.MOMENT
        columns.append((values.cast(pyarrow.int64()) if is_time else values).to_pylist())
    found: list[str | None] = []
    for values in zip(*columns, strict=True):
        row = dict(zip(table.names, values, strict=True))
        try:
            for column in table.columns:
                if column.kind is Kind.MOMENT and row[column.name] is not None:
                    row[column.name] = (_EPOCH + timedelta(microseconds=row[column.name])).isoformat()
        except OverflowError:
            found.append(None)
        else:
            found.append(_encode(row))
    return found


def _schema(pyarrow: Any, table: Table) -> Any:
    types: Mapping[Kind, Any] = {
        Kind.INTEGER: pyarrow.int32(),
        Kind.BIGINT: pyarrow.int64(),
        Kind.TEXTS: pyarrow.list_(pyarrow.string()),
        Kind.MOMENT: pyarrow.timestamp("us", tz="UTC"),
    }
    return pyarrow.schema([(each.name, types.get(each.kind, pyarrow.string())) for each in table.columns])


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise SojournError(f"Parquet needs pyarrow ({error}): pip install 'sojourn[parquet]'") from None
    return pyarrow, parquet
