"""``sojourn archive``: how it is doing, filling and reading it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.events import show_events
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.failures import DAMAGED, UNAVAILABLE
from sojourn.cli.fields import log_named, parsed
from sojourn.cli.ids import ID, whole_archived
from sojourn.cli.output import Cell, Column, complain, hint, print_table
from sojourn.cli.pages import (
    ENTRY_OPTIONS,
    FILTER_OPTIONS,
    PAGE_OPTIONS,
    WHERE_OPTION,
    show,
    show_entries,
    show_pages,
)
from sojourn.cli.parameters import DRY_RUN, Assigned, options
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document, Lines, Listing
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.tables import shown
from sojourn.cli.telling import pairs, tell
from sojourn.cli.words import duration
from sojourn.errors import SettingsError

if TYPE_CHECKING:
    from sojourn.archive import ArchiveStatus, RetentionReport

__all__ = ["archive", "archive_url"]


@click.group(cls=Group, examples=["sojourn archive init", "sojourn archive status", "sojourn archive list --owner ada"])
def archive() -> None:
    """Make, fill, read and empty the archive in PostgreSQL.

    A worker fills it all the time, and empties it of what the settings no longer keep.
    """


def archive_url(state: State) -> str:
    """The archive's URL.

    Raises:
        SettingsError: none is set.
    """
    url = state.settings.archive_url
    if url is None:
        raise SettingsError("archive_url is not set: give --archive-url or SOJOURN_ARCHIVE_URL, or set it in the file")
    return url


@archive.command(output=Document("ArchiveStatus"), examples=["sojourn archive status", "sojourn archive status --json"])
@pass_state
@click.pass_context
def status(context: click.Context, state: State) -> None:
    """Show what waits for the archive, and how its last run went.

    The exit code is 4 where Redis or the archive is away.
    """
    with needs_worker_extra():
        from sojourn import archive as library
    archive_url(state)
    found = library.status(state.settings)
    columns = (Column("WHAT"), Column("VALUE", folds=True))
    tell(state, found.to_json(), lambda: print_table(columns, _status_rows(found), headed=False))
    if not found.is_fine:
        context.exit(UNAVAILABLE)


def _lag(seconds: float | None) -> str | None:
    return None if seconds is None else duration(timedelta(seconds=seconds))


def _status_rows(found: ArchiveStatus) -> list[list[Cell]]:
    last = found.last_run
    told: dict[str, Any] = {
        "redis": found.redis_problem or "available",
        "archive": found.archive_problem or "available",
        "tables": f"version {found.schema_held or 'unknown'} (this code: {found.schema_expected})",
        "sessions waiting": found.dirty,
        "oldest for": _lag(found.lag_s),
        "oldest event for": _lag(found.events_lag_s),
        "last run": last and last.at,
    }
    if last is not None:
        counts = {name: value for name, value in last.report.to_json().items() if value and name != "duration_s"}
        told["last run took"] = duration(timedelta(seconds=last.report.duration_s))
        told["last run did"] = ", ".join(f"{name} {shown(value)}" for name, value in counts.items())
        told["sessions/s"] = last.rate
    told["last error"] = found.last_error
    if found.last_error is not None:
        told["last error at"] = found.last_error_at
    return [[Cell(name, "bold"), Cell(shown(value), "red" if value in _problems(found) else "")]
            for name, value in told.items()]  # fmt: skip


def _problems(found: ArchiveStatus) -> tuple[str, ...]:
    return tuple(each for each in (found.redis_problem, found.archive_problem) if each)


@archive.command(
    output=Document("Retention"), examples=["sojourn archive retention --dry-run", "sojourn archive retention"]
)
@DRY_RUN
@pass_state
def retention(state: State, dry_run: bool) -> None:
    """Remove what is no longer to be kept.

    The settings archive_retention and audit_retention say what that is; a worker does so hourly. The exit code is 5
    where an audit trail is damaged: nothing of it is removed then.
    """
    with needs_worker_extra():
        from sojourn import archive as library
    archive_url(state)
    if dry_run:
        report = library.apply_retention(state.settings, max_seconds=inf, dry_run=True)
    else:
        with state.telling("archive.retention") as told, bar("removing", "sessions") as progress:
            report = library.apply_retention(
                state.settings, max_seconds=inf, progress=progress and partial(progress, total=None)
            )
            told |= {
                "sessions": report.sessions, "stray_events": report.stray_events, "audit_rows": report.audit_rows
            }  # fmt: skip
    _show_retention(state, report)
    for tenant in report.audit_damaged:
        complain(
            f"the audit trail of tenant '{tenant}' is damaged, and kept: see sojourn audit verify",
            code="audit_damaged", tenant=tenant,
        )  # fmt: skip
    if report.audit_damaged:
        click.get_current_context().exit(DAMAGED)


def _show_retention(state: State, report: RetentionReport) -> None:
    tell(state, report.to_json(), lambda: _print_retention(report))


def _print_retention(report: RetentionReport) -> None:
    dry_run = report.dry_run
    would = "would remove" if dry_run else "removed"
    if report.audit_rows:
        hint(f"{would} {report.audit_rows} rows of the audit trail")
    if not report.rules:
        hint("archive_retention is not set: all sessions are kept")
        return
    belongings = () if dry_run else ("entries", "events", "snapshots")
    columns = [Column(each.upper()) for each in ("status", "kind", "keep", "sessions", *belongings)]
    rows = [
        [
            each.status or "any", each.kind or "any",
            "for ever" if each.keep_s is None else duration(timedelta(seconds=each.keep_s)),
            shown(each.sessions), *(shown(getattr(each, name)) for name in belongings),
        ]
        for each in report.rules
    ]  # fmt: skip
    print_table(columns, [[Cell(text) for text in row] for row in rows])
    if report.stray_events:
        hint(f"{would} {report.stray_events} events of sessions not in the archive")


@archive.command(output=Document("ArchiveRun"), examples=["sojourn archive run", "sojourn archive run --all"])
@click.option("--all", "everything", is_flag=True, help="All that is in Redis, also what has not changed.")
@pass_state
def run(state: State, everything: bool) -> None:
    """Archive what has changed, once.

    A worker does so all the time. With --all everything that is in Redis is archived again, as after the archive was
    lost.
    """
    with needs_worker_extra():
        from sojourn import archive as library
    archive_url(state)
    if everything:
        with state.telling("archive.run") as told:
            told["again"] = library.archive_again(state.settings)
        hint(f"{told['again']} sessions are archived again")
    with bar("archiving", "sessions") as progress:
        report = library.archive_once(state.settings, progress=progress and partial(progress, total=None)).to_json()
    tell(state, report, lambda: pairs(report))


@archive.command(
    output=(
        Document("Session"), Lines("Entry", when="with --entries"), Lines("Event", when="with --events")
    ),
    examples=["sojourn archive get 0b0e7f --json", "sojourn archive get 0b0e7f --events"],
)  # fmt: skip
@ID
@options(*ENTRY_OPTIONS)
@click.option("--events", "history", is_flag=True, help="Print what happened to it instead.")
@pass_state
def get(state: State, session_id: str, log: str | None, start: int, count: int | None, history: bool) -> None:
    """Show a session as it was when it was last archived.

    Expired and deleted ones are there, too.
    """
    if (log is None and (start or count)) or (history and log is not None):
        raise click.UsageError(
            "--start and --count go with --entries, and --events goes without", click.get_current_context()
        )
    with needs_worker_extra():
        from sojourn.archive import Archive
    archive_url(state)
    source = Archive(state.settings, state.models)
    session_id = whole_archived(state, session_id)
    session = source.get(session_id)
    if history:
        show_events(state, source.history(session_id))
    elif log is None:
        show(state, session)
    else:
        show_entries(state, source, session_id, log_named(session, log), start, count)


@archive.command(
    name="list",
    output=Listing("sessions", "Session"),
    examples=[
        "sojourn archive list --status expired --created-after 24h",
        "sojourn archive list --kind documentation --where workspace_id=w1",
    ],
)
@options(*FILTER_OPTIONS, WHERE_OPTION, *PAGE_OPTIONS)
@pass_state
def list_(
    state: State, /, kind: str | None, status: tuple[str, ...], where: tuple[Assigned, ...], limit: int | None,
    cursor: str | None, everything: bool, ids: bool, **filters: Any,
) -> None:  # fmt: skip
    """List archived sessions, newest first.

    Expired and deleted ones are there, too.
    """
    with needs_worker_extra():
        from sojourn.archive import Archive
    archive_url(state)
    exact = parsed(state.models.codec(kind or "session"), where)
    source = Archive(state.settings, state.models)
    fetch = partial(source.list, kind=kind, status=status or None, where=exact, **filters)
    show_pages(state, fetch, limit=limit, cursor=cursor, everything=everything, ids=ids)
