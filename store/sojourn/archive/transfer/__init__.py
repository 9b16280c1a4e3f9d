"""Rows of the archive in files: CSV, JSON lines and Parquet, written by `export_rows` and read by `import_rows`.

A file holds rows of one table, all of its columns, exactly: what is imported equals the row that was exported. It holds
whatever the sessions hold, so it wants the same care as the archive.

Example:
    >>> from sojourn.archive.transfer import export_rows, import_rows
    >>> export_rows("postgresql://ada:secret@db/sojourn", "sessions.csv", status="failed")  # doctest: +SKIP
    7
    >>> import_rows("postgresql://ada:secret@elsewhere/sojourn", "sessions.csv").written  # doctest: +SKIP
    7

"""

from sojourn.archive.transfer.formats import DamagedFile
from sojourn.archive.transfer.naming import FORMATS
from sojourn.archive.transfer.reading import ImportReport, import_rows
from sojourn.archive.transfer.tables import TABLES
from sojourn.archive.transfer.writing import export_rows

__all__ = ["FORMATS", "TABLES", "DamagedFile", "ImportReport", "export_rows", "import_rows"]
