"""``sojourn archive init`` and ``sojourn archive migrate``: its tables."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from sojourn.cli.archive import archive, archive_url
from sojourn.cli.asking import confirm
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.output import hint
from sojourn.cli.parameters import DRY_RUN, YES, span
from sojourn.cli.shapes import Document, Text
from sojourn.cli.shared import State, pass_state
from sojourn.cli.telling import pairs, tell
from sojourn.errors import InvalidInput

if TYPE_CHECKING:
    from sojourn.archive.schema import Migration

__all__ = ["init", "migrate"]

_LONGEST = 100


@archive.command(
    output=(Document("Version"), Text("SQL", when="with --sql")),
    examples=[
        "sojourn archive init",
        "sojourn archive init --archive-url postgresql://ada@localhost/sojourn",
        "sojourn archive init --sql > review.sql",
    ],
)
@click.option("--sql", is_flag=True, help="Change nothing; print the SQL for an empty database, for review.")
@pass_state
def init(state: State, sql: bool) -> None:
    """Make the archive's tables, or bring them to this version.

    Nothing that is in them is lost.
    """
    with needs_worker_extra():
        from sojourn import archive as library
    url = archive_url(state)
    if sql:
        click.echo(library.init(url, sql=True))
        return
    with state.telling("archive.init") as told:
        told["version"] = library.init(url)
    _show_version(state, told["version"])


@archive.command(
    output=(Document("Version"), Document("Migration", when="with --dry-run"), Text("SQL", when="with --sql")),
    examples=[
        "sojourn archive migrate --sql > review.sql",
        "sojourn archive migrate --to base --dry-run",
        "sojourn archive migrate --to base --yes",
    ],
)
@click.option("--to", default="head", show_default=True, metavar="REV", help="A version, head, or base for no tables.")
@click.option("--sql", is_flag=True, help="Change nothing; print the SQL that leads there from now, for review.")
@click.option("--timeout", type=span, default="1m", show_default=True, metavar="DURATION",
              help="How long one statement may take.")  # fmt: skip
@DRY_RUN
@YES
@pass_state
def migrate(state: State, to: str, sql: bool, timeout: timedelta, dry_run: bool, yes: bool) -> None:
    """Bring the archive's tables up or down to a version.

    Going down drops what the version below has no place for, and asks first; --dry-run tells what that is.
    """
    with needs_worker_extra():
        from sojourn.archive import schema
    url, timeout_s = archive_url(state), timeout.total_seconds()
    if timeout_s < 1:
        raise InvalidInput("--timeout is at least 1s")
    if sql:
        click.echo(schema.migrate(url, to, sql=True, timeout_s=timeout_s))
        return
    if dry_run:
        _foresee(state, schema.foresee(url, to, timeout_s=timeout_s))
        return
    if not yes and schema.foresee(url, to, timeout_s=timeout_s).goes_down:
        dropped = "all that is archived" if to == "base" else f"what version {to} has no place for"
        confirm(f"This drops {dropped}. Go on", yes=yes)
    with state.telling("archive.migrate", to=to[:_LONGEST]) as told:
        told["version"] = schema.migrate(url, to, timeout_s=timeout_s)
    _show_version(state, told["version"])


def _foresee(state: State, found: Migration) -> None:
    told = {"version": found.held, "to": found.to, "down": found.goes_down, "rows": dict(found.tables), "dry_run": True}
    drops = {f"drops {table}": f"{rows} rows" for table, rows in found.tables.items()}
    tell(state, told, lambda: pairs({"version": found.held, "to": found.to, **drops}))
    hint("nothing was changed")


def _show_version(state: State, version: str) -> None:
    tell(state, {"version": version}, lambda: click.echo(f"the archive's tables are at version {version}"))
