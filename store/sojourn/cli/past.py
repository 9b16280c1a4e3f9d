"""``sojourn history``, ``sojourn restore`` and ``sojourn rehydrate``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from sojourn.cli.events import show_event
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.output import Cell, Column, hint, print_json, print_table
from sojourn.cli.pages import show
from sojourn.cli.parameters import Lifetime, lifetime, moment
from sojourn.cli.progress import bar
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.tables import shown
from sojourn.errors import SessionNotFound

if TYPE_CHECKING:
    from sojourn.events import Event

__all__ = ["history", "rehydrate", "restore"]

_PAGE = 10_000


@click.command(cls=Command, examples=["sojourn history ID", "sojourn history ID --json"])
@click.argument("session_id", metavar="ID")
@pass_state
def history(state: State, session_id: str) -> None:
    """Show all that happened to a session: when, by whom, which fields became what. With --json: one object per line.

    From the archive, where there is one, and from what is on its way there.
    """
    told = False
    for event in _history(state, session_id):
        told = True
        show_event(state, event)
    if not told:
        raise SessionNotFound(session_id, state.store.tenant)


def _history(state: State, session_id: str) -> Iterator[Event]:
    from sojourn.keys import check_id

    session_id = check_id(session_id)
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
    examples=[
        "sojourn restore ID --version 3",
        "sojourn restore ID --at 2h --live --ttl 30m",
        "sojourn restore ID --live",
    ],
)
@click.argument("session_id", metavar="ID")
@click.option("--version", type=click.IntRange(min=1), help="As it was at this version (see sojourn history).")
@click.option("--at", type=moment, metavar="TIME", help="As it was at this time; also as in 2h, for two hours ago.")
@click.option("--live", is_flag=True, help="Make that its newest version, live, even if it has ended.")
@click.option("--ttl", type=lifetime, metavar="TIME", help="With --live: how long it lives.  [default: as then]")
@pass_state
def restore(
    state: State, session_id: str, version: int | None, at: datetime | None, live: bool, ttl: Lifetime | None
) -> None:
    """Show a session as it once was, from the archive; with --live make it so again.

    Without --version and --at: as it was last archived.
    """
    if ttl is not None and not live:
        raise click.UsageError("--ttl goes with --live", click.get_current_context())
    with needs_worker_extra():
        from sojourn.archive import Archive
    if not live:
        show(state, Archive(state.settings, state.models).restore(session_id, version=version, at=at))
        return
    from sojourn.facade import DEFAULT

    lives = DEFAULT if ttl is None else ttl.value
    with state.telling("session.restore", id=session_id) as told:
        restored = state.store.restore(session_id, version=version, at=at, ttl=lives)
        told["version"] = restored.version
    show(state, restored)


@click.command(
    cls=Command,
    examples=["sojourn rehydrate", "sojourn rehydrate --tenant acme", "sojourn rehydrate ID ID"],
)
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--restart", is_flag=True, help="Begin anew, not where it was cut short the last time.")
@pass_state
def rehydrate(state: State, ids: tuple[str, ...], restart: bool) -> None:
    """Fill Redis from the archive, after a disaster: live sessions, with the time that they have left.

    Of all tenants, or of the one given with --tenant. Nothing is overwritten by something older; sessions past their
    deadline come back too, so that their hooks run. Cut short, it goes on where it was.
    """
    with needs_worker_extra():
        from sojourn import archive as library
    with (
        state.telling("session.rehydrate", all_tenants=not (ids or "tenant" in state.arguments)) as told,
        bar("sessions") as progress,
    ):
        report = library.rehydrate(
            state.acting,
            ids=ids or None,
            tenant=state.arguments.get("tenant"),
            restart=restart,
            progress=progress,
        ).to_json()
        told |= report
    if state.as_json:
        print_json(report)
    else:
        rows = [[Cell(name), Cell(shown(value))] for name, value in report.items()]
        print_table((Column("WHAT"), Column("COUNT")), rows, headed=False)
    if report["missing"]:
        hint(f"{report['missing']} of them are not in the archive")
        raise SystemExit(1)
