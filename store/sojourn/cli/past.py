"""``sojourn history``, ``sojourn restore`` and ``sojourn rehydrate``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.completing import completes_id
from sojourn.cli.events import show_events
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.failures import NOT_FOUND
from sojourn.cli.ids import ID, whole_anywhere, whole_archived
from sojourn.cli.output import hint
from sojourn.cli.pages import show
from sojourn.cli.parameters import DRY_RUN, Lifetime, lifetime, moment
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document, Lines
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell
from sojourn.errors import SessionNotFound

if TYPE_CHECKING:
    from sojourn.events import Event

__all__ = ["history", "rehydrate", "restore"]

_PAGE = 10_000


@click.command(cls=Command, output=Lines("Event"), examples=["sojourn history 0b0e7f", "sojourn history 0b0e7f --json"])
@ID
@pass_state
def history(state: State, session_id: str) -> None:
    """Show all that happened to a session.

    When, by whom, and which fields became what: from the archive, where there is one, and from what is on its way
    there.
    """
    session_id = whole_anywhere(state, session_id)
    if not show_events(state, _history(state, session_id)):
        raise SessionNotFound(session_id, state.store.tenant)


def _history(state: State, session_id: str) -> Iterator[Event]:
    known = set()
    if state.settings.archive_url is not None:
        with needs_worker_extra():
            from sojourn.archive import Archive
        for event in Archive(state.settings, state.models).history(session_id):
            known.add(event.id)
            yield event
    page = state.store.peek_events(start="oldest", limit=_PAGE)
    while page.events:
        yield from (each for each in page.events if each.session_id == session_id and each.id not in known)
        page = state.store.peek_events(cursor=page.cursor, limit=_PAGE)


@click.command(
    cls=Command,
    output=Document("Session"),
    examples=[
        "sojourn restore 0b0e7f --version 3",
        "sojourn restore 0b0e7f --at 2h --live --ttl 30m",
        "sojourn restore 0b0e7f --live --dry-run",
    ],
)
@ID
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="As it was at this version (see history).")
@click.option("--at", type=moment, metavar="TIME", help="As it was at this time; also as in 2h, for two hours ago.")
@click.option("--live", is_flag=True, help="Make that its newest version, live, even if it has ended.")
@click.option("--ttl", type=lifetime, metavar="DURATION", help="With --live: how long it lives.  [default: as then]")
@DRY_RUN
@pass_state
def restore(
    state: State, session_id: str, version: int | None, at: datetime | None, live: bool, ttl: Lifetime | None,
    dry_run: bool,
) -> None:  # fmt: skip
    """Show a session as it once was, or make it so again.

    As the archive has it; without --version and --at as it was last archived. With --live it becomes the session's
    newest version; with --dry-run, too, it is only shown.
    """
    if (ttl is not None or dry_run) and not live:
        raise click.UsageError("--ttl and --dry-run go with --live", click.get_current_context())
    with needs_worker_extra():
        from sojourn.archive import Archive
    session_id = whole_archived(state, session_id)
    if dry_run or not live:
        show(state, Archive(state.settings, state.models).restore(session_id, version=version, at=at))
        if dry_run:
            hint("nothing was changed: so it would be again")
        return
    from sojourn.facade import DEFAULT

    lives = DEFAULT if ttl is None else ttl.value
    with state.telling("session.restore", id=session_id) as told:
        restored = state.store.restore(session_id, version=version, at=at, ttl=lives)
        told["version"] = restored.version
    show(state, restored)


@click.command(
    cls=Command,
    output=Document("Rehydrated"),
    examples=[
        "sojourn rehydrate --dry-run",
        "sojourn rehydrate",
        "sojourn rehydrate --tenant acme",
        "sojourn rehydrate 0b0e7f 5d2c91",
    ],
)
@click.argument("ids", metavar="[ID]...", nargs=-1, shell_complete=completes_id)
@click.option("--restart", is_flag=True, help="Begin anew, not where it was cut short the last time.")
@DRY_RUN
@pass_state
def rehydrate(state: State, ids: tuple[str, ...], restart: bool, dry_run: bool) -> None:
    """Fill Redis from the archive, after a disaster.

    Live sessions come back, with the time that they have left. Of all tenants, or of the one given with --tenant.
    Nothing is overwritten by something older; sessions past their deadline come back too, so that their hooks run. Cut
    short, it goes on where it was.
    """
    with needs_worker_extra():
        from sojourn import archive as library
    wanted = [whole_archived(state, each) for each in ids] or None

    def do() -> dict[str, Any]:
        with bar("sessions") as progress:
            return library.rehydrate(
                state.acting, ids=wanted, tenant=state.arguments.get("tenant"), restart=restart, dry_run=dry_run,
                progress=progress,
            ).to_json()  # fmt: skip

    if dry_run:
        report = do()
    else:
        with state.telling("session.rehydrate", all_tenants=not (ids or "tenant" in state.arguments)) as told:
            report = do()
            told |= report
    tell(state, report)
    if dry_run:
        hint("nothing was changed: that is what would become of them")
    if report["missing"]:
        hint(f"{report['missing']} of them are not in the archive")
        click.get_current_context().exit(NOT_FOUND)
