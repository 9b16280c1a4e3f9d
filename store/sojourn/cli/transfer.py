"""``sojourn archive export`` and ``sojourn archive import``."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import click

from sojourn.cli import failures
from sojourn.cli.archive import archive, archive_url
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.output import complain, hint, on_terminal
from sojourn.cli.pages import FILTER_OPTIONS
from sojourn.cli.parameters import DRY_RUN, options
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document, Text
from sojourn.cli.shared import State, pass_state
from sojourn.cli.telling import tell

__all__ = ["export", "import_"]

_LONGEST: Final = 200
"""Of a file's name, for the audit."""
_FORMATS: Final = ("csv", "jsonl", "parquet")
_TABLES: Final = ("sessions", "entries", "events", "snapshots")
_FORMAT = click.option(
    "--format", "file_format", type=click.Choice(_FORMATS), help="By default the file's suffix tells, else jsonl."
)


@archive.command(
    output=(Document("Exported"), Text("the rows, in their own format", when="to stdout")),
    examples=[
        "sojourn archive export sessions.jsonl",
        "sojourn archive export sessions.parquet --status expired --created-after 30d",
        "sojourn archive export --table events --format csv --all-tenants | gzip > events.csv.gz",
    ],
)
@click.argument("file", default="-", metavar="[FILE]")
@_FORMAT
@click.option("--table", type=click.Choice(_TABLES), default="sessions", show_default=True, help="Which rows.")
@click.option("--all-tenants", is_flag=True, help="Everybody's.")
@options(*FILTER_OPTIONS)
@pass_state
def export(state: State, /, file: str, all_tenants: bool, status: tuple[str, ...], **choice: Any) -> None:
    """Write archived rows to a file, or to stdout.

    All are written as they are at one moment. The filters choose sessions; of entries, events and snapshots, those of
    such sessions. What is written holds whatever the sessions hold: guard it as you guard the archive. The file gets
    its name when it is whole, and only you may read it.
    """
    if all_tenants and "tenant" in state.arguments:
        raise click.UsageError("--tenant and --all-tenants exclude each other", click.get_current_context())
    to_stdout = file == "-"
    if to_stdout and choice["file_format"] is None and state.output == "csv":
        choice["file_format"] = "csv"
    if to_stdout and choice["file_format"] == "parquet" and on_terminal():
        raise click.UsageError("Parquet is not for terminals: name a file", click.get_current_context())
    with needs_worker_extra():
        from sojourn.archive.transfer import export_rows
    archive_url(state)
    # It changes nothing, but takes out all that there is.
    with (
        state.telling("archive.export", file=file[-_LONGEST:], table=choice["table"], all_tenants=all_tenants) as told,
        bar("exporting", "rows", quiet=to_stdout and on_terminal()) as progress,
    ):
        told["rows"] = rows = export_rows(
            state.settings, sys.stdout.buffer if to_stdout else Path(file), all_tenants=all_tenants,
            status=status or None, progress=progress, **choice,
        )  # fmt: skip
    if not to_stdout:
        tell(state, {"table": choice["table"], "rows": rows, "file": file})


@archive.command(
    name="import",
    output=Document("Imported"),
    examples=[
        "sojourn archive import sessions.jsonl --dry-run",
        "sojourn archive import sessions.jsonl",
        "sojourn archive import - < sessions.jsonl",
    ],
)
@click.argument("file", metavar="FILE")
@_FORMAT
@click.option("--strict", is_flag=True, help="Stop at the first damaged row, instead of leaving it out.")
@DRY_RUN
@pass_state
def import_(state: State, file: str, file_format: str | None, strict: bool, dry_run: bool) -> None:
    """Read what export wrote into the archive.

    A FILE of - reads stdin. Rows go to the tenants that they name, whatever the --tenant: import only what you trust.
    Older states never overwrite newer ones, so it may be run again, also after it was interrupted.
    The exit code is 5 if rows were damaged.
    """
    with needs_worker_extra():
        from sojourn.archive.transfer import DamagedFile, import_rows
    archive_url(state)
    context = click.get_current_context()

    def do() -> dict[str, Any]:
        total = None if file == "-" else _size(file)
        with bar("importing", "bytes") as progress:
            return import_rows(
                state.settings, sys.stdin.buffer if file == "-" else Path(file),
                file_format=file_format, strict=strict, dry_run=dry_run, damaged=partial(complain, code="damaged_row"),
                progress=None if progress is None else lambda done: progress(done, total),
            ).to_json()  # fmt: skip

    try:
        if dry_run:
            report = do()
        else:
            with state.telling("archive.import", file=file[-_LONGEST:]) as told:
                report = do()
                told |= report
    except DamagedFile as error:
        complain(f"{file}: {error}", code="damaged_file")
        context.exit(failures.DAMAGED)
    tell(state, report | {"dry_run": dry_run})
    if dry_run:
        hint("nothing was written: that is what would become of the rows")
    if report["damaged"]:
        context.exit(failures.DAMAGED)


def _size(file: str) -> int | None:
    try:
        return os.stat(file).st_size or None  # noqa: PTH116 (as it was typed)
    except OSError:
        return None  # opening it will tell
