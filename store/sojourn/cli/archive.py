"""``sojourn archive``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from sojourn.cli.events import show_event
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.fields import log_named
from sojourn.cli.output import Cell, Column, print_json, print_table
from sojourn.cli.pages import ENTRY_OPTIONS, FILTER_OPTIONS, PAGE_OPTIONS, options, show, show_entries, show_pages
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.tables import shown
from sojourn.errors import SettingsError

__all__ = ["archive"]


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
@click.option("--sql", is_flag=True, help="Change nothing; print the SQL, for review.")
@click.option("--downgrade", "revision", metavar="REV", help="Back to this version; base removes all that is archived.")
@pass_state
def init(state: State, sql: bool, revision: str | None) -> None:
    """Make the archive's tables, or bring them to this version."""
    with needs_worker_extra():
        from sojourn import archive as library
    url = _url(state)
    told = library.init(url, sql=sql) if revision is None else library.downgrade(url, revision, sql=sql)
    if sql:
        click.echo(told)
    elif state.as_json:
        print_json({"version": told})
    else:
        click.echo(f"the archive's tables are at version {told}")


@archive.command(examples=["sojourn archive run --json"])
@pass_state
def run(state: State) -> None:
    """Archive what has changed, once; a worker does so all the time."""
    with needs_worker_extra():
        from sojourn import archive as library
    _url(state)
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
        for event in source.events(session_id):
            show_event(state, event)
    elif log is None:
        show(state, session)
    else:
        show_entries(state, source, session_id, log_named(session, log), start, count)


@archive.command(name="list", examples=["sojourn archive list --status expired --created-after 24h"])
@options(*FILTER_OPTIONS, *PAGE_OPTIONS)
@pass_state
def list_(
    state: State, /, status: tuple[str, ...], limit: int | None, cursor: str | None, everything: bool, ids: bool,
    **filters: Any,
) -> None:  # fmt: skip
    """List archived sessions, newest first; expired and deleted ones too."""
    with needs_worker_extra():
        from sojourn.archive import Archive
    _url(state)
    fetch = partial(Archive(state.settings, state.models).list, status=status or None, **filters)
    show_pages(state, fetch, limit=limit, cursor=cursor, everything=everything, ids=ids)
