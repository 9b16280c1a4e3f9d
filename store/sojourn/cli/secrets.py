"""``sojourn secrets``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from sojourn.cli.failures import CONFLICT, DAMAGED
from sojourn.cli.output import Cell, Column, hint, print_table
from sojourn.cli.parameters import DRY_RUN
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.telling import tell

if TYPE_CHECKING:
    from sojourn.secrets import ResealReport
    from sojourn.secrets.reseal import Progress

__all__ = ["secrets"]

_COLUMNS = (Column("KEY"), Column("REDIS"), Column("ARCHIVE"), Column("EVENTS"), Column("OUTBOX"))
_TOLD = 10


@click.group(cls=Group, examples=["sojourn secrets keygen >> keys", "sojourn secrets status"])
def secrets() -> None:
    """Make keys for secret fields, and move to the newest."""


@secrets.command(
    output=Document("Key"), examples=["sojourn secrets keygen", "(umask 077; sojourn secrets keygen >> keys)"]
)
@pass_state
def keygen(state: State) -> None:
    """Print a fresh key.

    As the setting secret_keys and the file that secret_keys_file names take it.
    """
    from sojourn.sealing import new_key

    key = new_key()
    tell(state, {"key": key}, lambda: click.echo(key))


@secrets.command(
    output=Document("Sealed"),
    examples=["sojourn secrets reseal", "sojourn secrets reseal --tenant acme", "sojourn secrets reseal --dry-run"],
    epilog=f"Exit codes: 0 done, {CONFLICT} some kept changing (run it again), {DAMAGED} some cannot be opened.",
)
@DRY_RUN
@pass_state
def reseal(state: State, dry_run: bool) -> None:
    """Move all that is sealed to the newest key.

    What is in Redis, and what is archived. Of all tenants, or of the one given with --tenant. First give the new key to
    all processes. Cut short, it does the rest when it is run again. What is left under each key is shown; a key with
    nothing left can go.
    """
    if dry_run:
        _status(state)
        return
    from sojourn.secrets import reseal as move

    with bar("redis") as progress:
        report = move(
            state.settings, tenant=state.arguments.get("tenant"), actor=state.acting.actor, progress=_staged(progress)
        )
    _show(state, report, moved=True)


@secrets.command(
    output=Document("Sealed"),
    examples=["sojourn secrets status", "sojourn secrets status --json"],
    epilog=f"Exit codes: 0 all can be opened, or there is no keyring; {DAMAGED} some cannot.",
)
@pass_state
def status(state: State) -> None:
    """Show how many secrets are sealed under which key."""
    _status(state)


def _status(state: State) -> None:
    from sojourn.secrets import status as look

    with bar("redis") as progress:
        report = look(state.settings, tenant=state.arguments.get("tenant"), progress=_staged(progress))
    _show(state, report, moved=False)


def _staged(progress: Callable[..., None] | None) -> Progress | None:
    return None if progress is None else lambda stage, done, total: progress(done, total, stage)


def _show(state: State, report: ResealReport, *, moved: bool) -> None:
    """The report, what to do about it, and the exit code."""
    tell(state, report.to_json(), lambda: _print(report))
    if moved:
        told = report.moved
        hint(f"moved to key {report.newest}: {told.live} in Redis, {told.archived} archived, {told.events} in events")
    elif report.newest is None:
        hint("there is no keyring: nothing was tried to be opened")
    _advise(report)
    if report.unopened:
        click.get_current_context().exit(DAMAGED)
    if report.changed:
        click.get_current_context().exit(CONFLICT)


def _print(report: ResealReport) -> None:
    if report.keys:
        rows = []
        for key, found in sorted(report.keys.items(), key=lambda each: each[0] == report.newest):
            name = f"{key} (newest)" if key == report.newest else key
            counts = (found.live, found.archived, found.events, found.outbox)
            rows.append([Cell(name), *(Cell(str(each)) for each in counts)])
        print_table(_COLUMNS, rows)
    else:
        hint("nothing is sealed")


def _advise(report: ResealReport) -> None:
    """What is to be done about it."""
    if any(each.outbox for key, each in report.keys.items() if key != report.newest):
        hint("events in Redis hold texts under older keys: run 'sojourn secrets reseal' again once they are archived")
    for each in report.unopened_first[:_TOLD]:
        hint(
            f"cannot be opened: field '{each.field}' of session {each.session_id} of tenant '{each.tenant}', "
            f"key {each.key} ({each.place})"
        )
    if report.unopened > _TOLD:
        hint(f"... and {report.unopened - _TOLD} more")
    if report.changed:
        hint(f"{report.changed} kept changing meanwhile: run it again")
