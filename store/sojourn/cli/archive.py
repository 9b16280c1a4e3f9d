"""``sojourn archive``."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.events import show_event
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.failures import DAMAGED, UNAVAILABLE
from sojourn.cli.fields import log_named, parsed
from sojourn.cli.output import Cell, Column, complain, hint, print_json, print_table
from sojourn.cli.pages import (
    ENTRY_OPTIONS,
    FILTER_OPTIONS,
    PAGE_OPTIONS,
    WHERE_OPTION,
    options,
    show,
    show_entries,
    show_pages,
)
from sojourn.cli.parameters import Assigned
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.tables import shown
from sojourn.cli.words import duration
from sojourn.errors import SettingsError

if TYPE_CHECKING:
    from sojourn.archive import ArchiveStatus, RetentionReport

__all__ = ["archive"]

_LONGEST = 100


@click.group(cls=Group)
def archive() -> None:
    """The archive in PostgreSQL: make, fill and read it."""


def _url(state: State) -> str:
    """The archive's URL.

    Raises:
        SettingsError: none is set.
    """
    url = state.settings.archive_url
    if url is None:
        raise SettingsError("archive_url is not set: give --archive-url or SOJOURN_ARCHIVE_URL, or set it in the file")
    return url


@archive.command(
    examples=[
        "sojourn archive init --archive-url postgresql://ada@localhost/sojourn",
        "sojourn archive init --sql > review.sql",
    ]
)
@click.option("--sql", is_flag=True, help="Change nothing; print the SQL for an empty database, for review.")
@pass_state
def init(state: State, sql: bool) -> None:
    """Make the archive's tables, or bring them to this version."""
    with needs_worker_extra():
        from sojourn import archive as library
    url = _url(state)
    if sql:
        click.echo(library.init(url, sql=True))
        return
    with state.telling("archive.init") as told:
        told["version"] = library.init(url)
    _show_version(state, told["version"])


@archive.command(
    examples=[
        "sojourn archive migrate --sql > review.sql",
        "sojourn archive migrate --to 0001",
        "sojourn archive migrate --to base --yes",
    ]
)
@click.option("--to", default="head", show_default=True, metavar="REV", help="A version, head, or base for no tables.")
@click.option("--sql", is_flag=True, help="Change nothing; print the SQL that leads there from now, for review.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=1), default=60, show_default=True, metavar="SECONDS",
              help="How long one statement may take.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask before going down, which drops data.")
@pass_state
def migrate(state: State, to: str, sql: bool, timeout_s: float, yes: bool) -> None:
    """Bring the archive's tables up or down to a version."""
    with needs_worker_extra():
        from sojourn.archive import schema
    url = _url(state)
    if not (sql or yes) and schema.goes_down(url, to, timeout_s=timeout_s):
        dropped = "all that is archived" if to == "base" else f"what version {to} has no place for"
        click.confirm(f"This drops {dropped}. Go on?", abort=True, err=True)
    if sql:
        click.echo(schema.migrate(url, to, sql=True, timeout_s=timeout_s))
        return
    with state.telling("archive.migrate", to=to[:_LONGEST]) as told:
        told["version"] = schema.migrate(url, to, timeout_s=timeout_s)
    _show_version(state, told["version"])


def _show_version(state: State, version: str) -> None:
    if state.as_json:
        print_json({"version": version})
    else:
        click.echo(f"the archive's tables are at version {version}")


@archive.command(examples=["sojourn archive status", "sojourn archive status --json"])
@pass_state
@click.pass_context
def status(context: click.Context, state: State) -> None:
    """Show what waits for the archive, and how its last run went."""
    with needs_worker_extra():
        from sojourn import archive as library
    _url(state)
    found = library.status(state.settings)
    if state.as_json:
        print_json(found.to_json())
    else:
        print_table((Column("WHAT"), Column("VALUE", folds=True)), _status_rows(found), headed=False)
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


@archive.command(examples=["sojourn archive retention --dry-run"])
@click.option("--dry-run", is_flag=True, help="Remove nothing; tell what would be removed.")
@pass_state
def retention(state: State, dry_run: bool) -> None:
    """Remove what archive_retention and audit_retention no longer keep; a worker does so hourly.

    The exit code is 5 where an audit trail is damaged: nothing of it is removed then.
    """
    with needs_worker_extra():
        from sojourn import archive as library
    _url(state)
    if dry_run:
        report = library.apply_retention(state.settings, max_seconds=inf, dry_run=True)
    else:
        with state.telling("archive.retention") as told:
            report = library.apply_retention(state.settings, max_seconds=inf)
            told |= {
                "sessions": report.sessions, "stray_events": report.stray_events, "audit_rows": report.audit_rows
            }  # fmt: skip
    _show_retention(state, report)
    for tenant in report.audit_damaged:
        complain(f"the audit trail of tenant '{tenant}' is damaged, and kept: see sojourn audit verify")
    if report.audit_damaged:
        click.get_current_context().exit(DAMAGED)


def _show_retention(state: State, report: RetentionReport) -> None:
    dry_run = report.dry_run
    if state.as_json:
        print_json(report.to_json())
        return
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


@archive.command(examples=["sojourn archive run --json"])
@click.option("--all", "everything", is_flag=True, help="All that is in Redis, also what has not changed.")
@pass_state
def run(state: State, everything: bool) -> None:
    """Archive what has changed, once; a worker does so all the time."""
    with needs_worker_extra():
        from sojourn import archive as library
    _url(state)
    if everything:
        with state.telling("archive.run") as told:
            told["again"] = library.archive_again(state.settings)
        hint(f"{told['again']} sessions are archived again")
    report = library.archive_once(state.settings).to_json()
    if state.as_json:
        print_json(report)
        return
    columns = (Column("WHAT"), Column("COUNT"))
    print_table(columns, [[Cell(name), Cell(shown(value))] for name, value in report.items()], headed=False)


@archive.command(examples=["sojourn archive get ID --json", "sojourn archive get ID --events"])
@click.argument("session_id", metavar="ID")
@options(*ENTRY_OPTIONS)
@click.option("--events", "history", is_flag=True, help="Print what happened to it instead.")
@pass_state
def get(state: State, session_id: str, log: str | None, start: int, count: int | None, history: bool) -> None:
    """Show a session as it was when it was last archived."""
    if (log is None and (start or count)) or (history and log is not None):
        raise click.UsageError(
            "--start and --count go with --entries, and --events goes without", click.get_current_context()
        )
    with needs_worker_extra():
        from sojourn.archive import Archive
    _url(state)
    source = Archive(state.settings, state.models)
    session = source.get(session_id)
    if history:
        for event in source.history(session_id):
            show_event(state, event)
    elif log is None:
        show(state, session)
    else:
        show_entries(state, source, session_id, log_named(session, log), start, count)


@archive.command(
    name="list",
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
    """List archived sessions, newest first; expired and deleted ones too."""
    with needs_worker_extra():
        from sojourn.archive import Archive
    _url(state)
    exact = parsed(state.models.codec(kind or "session"), where)
    source = Archive(state.settings, state.models)
    fetch = partial(source.list, kind=kind, status=status or None, where=exact, **filters)
    show_pages(state, fetch, limit=limit, cursor=cursor, everything=everything, ids=ids)
