"""``sojourn watch``."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

import click

from sojourn.cli.events import show_event
from sojourn.cli.output import complain
from sojourn.cli.parameters import moment
from sojourn.cli.shared import Command, State, pass_state
from sojourn.settings import EventType

__all__ = ["watch"]


@click.command(
    cls=Command,
    examples=[
        "sojourn watch",
        "sojourn watch --tenant acme --type ended --type expired",
        "sojourn watch --since 5m --owner ada --json",
    ],
)
@click.option(
    "--type", "types", multiple=True, type=click.Choice(get_args(EventType)), metavar="TYPE",
    help="Only events of this type, such as created, ended or expired; may be repeated.",
)  # fmt: skip
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only of sessions of this kind; may be repeated.")
@click.option("--session", "ids", multiple=True, metavar="ID", help="Only of this session; may be repeated.")
@click.option("--owner", metavar="OWNER", help="Only of this owner's sessions, as far as Redis knows the owner.")
@click.option("--since", metavar="TIME", help="Tell first what happened since then: 5m, or 2026-01-31T12:00:00Z.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many events.")
@pass_state
def watch(
    state: State, types: tuple[str, ...], kinds: tuple[str, ...], ids: tuple[str, ...], owner: str | None,
    since: str | None, limit: int | None,
) -> None:  # fmt: skip
    """Follow what happens to sessions, as it happens.

    The events are those of all tenants, unless --tenant is on the command line. This only looks: it takes nothing from
    anybody, and keeps nothing from being trimmed. When Redis goes away it says so, waits, and then tells what happened
    meanwhile. With --json: one JSON object per line.
    """
    from sojourn.watching import Notice, Wanted, Watch

    begin: datetime | None = None if since is None else moment(since)
    wanted = Wanted(types=types, kinds=kinds, session_ids=ids, owner=owner)
    left = limit
    with Watch(state.settings, tenant=state.arguments.get("tenant"), since=begin, wanted=wanted) as watching:
        for seen in watching:
            if isinstance(seen, Notice):
                complain(seen.text)
                continue
            show_event(state, seen, with_tenant="tenant" not in state.arguments)
            if left is not None:
                left -= 1
                if left == 0:
                    return
