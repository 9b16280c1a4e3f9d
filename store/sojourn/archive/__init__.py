"""The archive: sessions, their logs and events in PostgreSQL, where they stay after Redis has let go of them.

It needs the extra ``worker`` (``pip install 'sojourn[worker]'``). `init` makes the tables, `archive_once` copies what
has changed, `Archive` reads it, `apply_retention` removes what is no longer to be kept, `status` tells how it is doing,
`Audit` who did what.

Example:
    >>> from sojourn.archive import Archive, archive_once, init  # doctest: +SKIP
    >>> init("postgresql://ada:secret@db/sojourn")  # doctest: +SKIP
    '0003'
    >>> archive_once(load_settings()).sessions  # doctest: +SKIP
    42

"""

from sojourn.errors import SojournError

try:
    import psycopg  # noqa: F401
except ImportError as error:
    raise SojournError(f"the archive needs psycopg ({error}): pip install 'sojourn[worker]'") from None

from sojourn.archive.agree import archive_again
from sojourn.archive.aio import AsyncArchive, AsyncAudit
from sojourn.archive.audit import Audit, AuditEntry, AuditPage, ChainReport
from sojourn.archive.reader import Archive
from sojourn.archive.rehydrate import RehydrateReport, rehydrate
from sojourn.archive.report import ArchiveReport
from sojourn.archive.retention import RetentionReport, apply_retention
from sojourn.archive.run import GROUP, archive_once
from sojourn.archive.schema import HEAD, init, migrate
from sojourn.archive.status import ArchiveStatus, LastRun, status

__all__ = [
    "GROUP",
    "HEAD",
    "Archive",
    "ArchiveReport",
    "ArchiveStatus",
    "AsyncArchive",
    "AsyncAudit",
    "Audit",
    "AuditEntry",
    "AuditPage",
    "ChainReport",
    "LastRun",
    "RehydrateReport",
    "RetentionReport",
    "apply_retention",
    "archive_again",
    "archive_once",
    "init",
    "migrate",
    "rehydrate",
    "status",
]
