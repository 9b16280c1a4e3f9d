"""``sojourn watch``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, get_args

import click

from sojourn.cli.completing import completes_id, completes_kind
from sojourn.cli.events import event_json, event_line
from sojourn.cli.ids import whole
from sojourn.cli.output import Cell, complain
from sojourn.cli.parameters import moment
from sojourn.cli.shapes import Lines
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell_each

if TYPE_CHECKING:
    from sojourn.events import Event
    from sojourn.watching import Notice

__all__ = ["watch"]


def _complete_types(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    del context, parameter
    return [each for each in _all_types() if each.startswith(incomplete)]


def _all_types() -> tuple[str, ...]:
    from sojourn.settings import EventType

    return get_args(EventType)


@click.command(
    cls=Command,
    output=Lines("Event"),
    examples=[
        "sojourn watch",
        "sojourn watch --tenant acme --type ended --type expired",
        "sojourn watch --since 5m --owner ada --json",
    ],
)
@click.option(
    "--type", "types", multiple=True, metavar="TYPE", shell_complete=_complete_types,
    help="Only events of this type, such as created, ended or expired; may be repeated.",
)  # fmt: skip
@click.option("--kind", "kinds", multiple=True, metavar="KIND", shell_complete=completes_kind,
              help="Only of sessions of this kind; may be repeated.")  # fmt: skip
@click.option("--session", "ids", multiple=True, metavar="ID", shell_complete=completes_id,
              help="Only of this session; may be repeated.")  # fmt: skip
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
    from sojourn.watching import Wanted, Watch

    _check_types(types)
    begin: datetime | None = None if since is None else moment(since)
    wanted = Wanted(types=types, kinds=kinds, session_ids=tuple(whole(state, each) for each in ids), owner=owner)
    tenant = state.arguments.get("tenant")
    with Watch(state.settings, tenant=tenant, since=begin, wanted=wanted) as watching:
        line = event_line if tenant is not None else _line_with_tenant
        tell_each(state, islice(_events(watching), limit), event_json, line)


def _line_with_tenant(event: Event) -> list[Cell]:
    when, type_, *rest = event_line(event)
    return [when, type_, Cell(event.tenant), *rest]


def _check_types(types: Iterable[str]) -> None:
    for each in types:
        if each not in _all_types():
            raise click.BadParameter(f"{each!r} is none of {', '.join(_all_types())}", param_hint="--type")


def _events(watching: Iterable[Event | Notice]) -> Iterator[Event]:
    """The events; what happens to the watching itself goes to stderr."""
    from sojourn.watching import Notice

    for seen in watching:
        if isinstance(seen, Notice):
            complain(seen.text, code=seen.what)
        else:
            yield seen
