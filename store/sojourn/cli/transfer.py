"""``sojourn archive export`` and ``sojourn archive import``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

import click

from sojourn.cli import failures
from sojourn.cli.archive import archive
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.output import Cell, Column, complain, on_terminal, print_json, print_table
from sojourn.cli.pages import FILTER_OPTIONS, options
from sojourn.cli.progress import bar
from sojourn.cli.shared import State, pass_state
from sojourn.cli.tables import shown
from sojourn.errors import SettingsError

__all__ = ["export", "import_"]

_LONGEST: Final = 200
"""Of a file's name, for the audit."""
_FORMATS: Final = ("csv", "jsonl", "parquet")
_TABLES: Final = ("sessions", "entries", "events", "snapshots")
_FORMAT = click.option(
    "--format", "file_format", type=click.Choice(_FORMATS), help="By default the file's suffix tells, else jsonl."
)


@archive.command(
    examples=[
        "sojourn archive export sessions.parquet --status expired --created-after 30d",
        "sojourn archive export --table events --format csv --all-tenants | gzip > events.csv.gz",
    ]
)
@click.argument("file", default="-", metavar="[FILE]")
@_FORMAT
@click.option("--table", type=click.Choice(_TABLES), default="sessions", show_default=True, help="Which rows.")
@click.option("--all-tenants", is_flag=True, help="Everybody's.")
@options(*FILTER_OPTIONS)
@pass_state
def export(state: State, /, file: str, all_tenants: bool, status: tuple[str, ...], **choice: Any) -> None:
    """Write archived rows to a file, or to stdout for -, all as they are at one moment.

    The filters choose sessions; of entries, events and snapshots, those of such sessions.
    What is written holds whatever the sessions hold: guard it as you guard the archive.
    The file gets its name when it is whole, and only you may read it.
    """
    if all_tenants and "tenant" in state.arguments:
        raise click.UsageError("--tenant and --all-tenants exclude each other", click.get_current_context())
    to_stdout = file == "-"
    if to_stdout and choice["file_format"] == "parquet" and on_terminal():
        raise click.UsageError("Parquet is not for terminals: name a file", click.get_current_context())
    with needs_worker_extra():
        from sojourn.archive.transfer import export_rows
    _need_url(state)
    with bar("exporting", "rows", quiet=to_stdout and on_terminal()) as progress:
        rows = export_rows(
            state.settings, sys.stdout.buffer if to_stdout else Path(file), all_tenants=all_tenants,
            status=status or None, progress=progress, **choice,
        )  # fmt: skip
    if not to_stdout:
        _tell(state, {"table": choice["table"], "rows": rows, "file": file})


@archive.command(
    name="import", examples=["sojourn archive import sessions.parquet", "sojourn archive import - < a.jsonl"]
)
@click.argument("file", metavar="FILE")
@_FORMAT
@click.option("--strict", is_flag=True, help="Stop at the first damaged row, instead of leaving it out.")
@pass_state
def import_(state: State, file: str, file_format: str | None, strict: bool) -> None:
    """Read what export wrote into the archive; - reads stdin.

    Rows go to the tenants that they name, whatever the --tenant: import only what you trust.
    Older states never overwrite newer ones, so it may be run again, also after it was interrupted.
    The exit code is 5 if rows were damaged.
    """
    with needs_worker_extra():
        from sojourn.archive.transfer import DamagedFile, import_rows
    _need_url(state)
    context = click.get_current_context()
    try:
        with state.telling("archive.import", file=file[-_LONGEST:]) as told, bar("importing", "bytes") as progress:
            total = None if file == "-" else _size(file)
            report = import_rows(
                state.settings, sys.stdin.buffer if file == "-" else Path(file),
                file_format=file_format, strict=strict, damaged=complain,
                progress=None if progress is None else lambda done: progress(done, total),
            )  # fmt: skip
            told |= report.to_json()
    except DamagedFile as error:
        complain(f"{file}: {error}")
        context.exit(failures.DAMAGED)
    _tell(state, report.to_json())
    if report.damaged:
        context.exit(failures.DAMAGED)


def _need_url(state: State) -> None:
    if state.settings.archive_url is None:
        raise SettingsError("archive_url is not set: give --archive-url or SOJOURN_ARCHIVE_URL, or set it in the file")


def _tell(state: State, report: dict[str, Any]) -> None:
    if state.as_json:
        print_json(report)
        return
    columns = (Column("WHAT"), Column("COUNT"))
    print_table(columns, [[Cell(name), Cell(shown(value))] for name, value in report.items()], headed=False)


def _size(file: str) -> int | None:
    try:
        return os.stat(file).st_size or None  # noqa: PTH116 (as it was typed)
    except OSError:
        return None  # opening it will tell
