"""``sojourn events``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, cast

import click

from sojourn.cli.output import Cell, hint, print_json, print_line
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.words import exact

if TYPE_CHECKING:
    from sojourn.events import Event, Start
    from sojourn.peek import From

__all__ = ["event_json", "event_line", "events", "show_event"]

_SHOWN: Final = 20
_PAGE: Final = 10_000
_LONGEST: Final = 100
_SHORTEST_S: Final = 0.001
_STYLES: Final = {
    "created": "green", "ended": "blue", "expired": "yellow", "deleted": "magenta", "lost": "red", "damaged": "red",
}  # fmt: skip


@click.command(
    cls=Command,
    examples=[
        "sojourn events",
        "sojourn events --from oldest --limit 1000 --json",
        "sojourn events --group billing --follow",
        "sojourn events --group billing --forget",
    ],
)
@click.option("--group", metavar="GROUP", help="Take events as one of this group: each goes to one of its members.")
@click.option("--follow", "-f", is_flag=True, help="With --group: wait for further events.")
@click.option("--from", "start", type=click.Choice(["oldest", "new"]),
              help="Where to begin. Without it: at the last ones; a new group: at new ones.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help=f"Events at most.  [default: {_SHOWN} without --group]")
@click.option("--forget", is_flag=True, help="Remove the group, which else keeps its events from being trimmed.")
@pass_state
def events(state: State, group: str | None, follow: bool, start: str | None, limit: int | None, forget: bool) -> None:
    """Show what happened to sessions, oldest first. With --json: one JSON object per line.

    Without a group this only looks: nothing is taken from anybody. To see events as they come: sojourn watch.
    """
    if forget:
        _forget(state, group, others_given=bool(follow or start or limit))
        return
    if group is not None:
        begin: Start = "oldest" if start == "oldest" else "new"
        timeout = None if follow else _SHORTEST_S
        for event in state.store.events(group, start=begin, timeout=timeout, limit=limit):
            show_event(state, event)
        return
    if follow:
        raise click.UsageError("--follow goes with --group; to see events as they come: sojourn watch",
                               click.get_current_context())  # fmt: skip
    _look(state, start or "recent", limit)


def _forget(state: State, group: str | None, *, others_given: bool) -> None:
    if group is None or others_given:
        raise click.UsageError("--forget goes with --group and nothing else", click.get_current_context())
    with state.telling("events.forget", group=group[:_LONGEST]) as told:
        told["found"] = state.store.forget_events(group)
    if not told["found"]:
        hint(f"there is no group '{group}'")


def _look(state: State, start: str, limit: int | None) -> None:
    if start == "recent" and limit is not None and limit > _PAGE:
        raise click.UsageError(f"the last {_PAGE} at most; for more: --from oldest", click.get_current_context())
    left = limit or _SHOWN
    page = state.store.peek_events(start=cast("From", start), limit=min(left, _PAGE))
    while True:
        for event in page.events:
            show_event(state, event)
        left -= len(page.events)
        if left == 0 or not (page.events and start == "oldest"):
            return
        page = state.store.peek_events(cursor=page.cursor, limit=min(left, _PAGE))


def show_event(state: State, event: Event) -> None:
    """One event on one line."""
    if state.as_json:
        print_json(event_json(event), lines=True)
    else:
        print_line(event_line(event))


def event_json(event: Event) -> dict[str, Any]:
    """An event as JSON values."""
    return event.to_json() | {"at": exact(event.at)}


def event_line(event: Event) -> list[Cell]:
    """What a line says of an event: the time, the type, the session, and who changed what."""
    changes = " ".join(f"{name}={_was(event, name)}{_brief(value)}" for name, value in event.changes.items())
    return [
        Cell(exact(event.at)),
        Cell(f"{event.type:<8}", _STYLES.get(event.type, "")),
        Cell(event.session_id),
        Cell(event.kind),
        Cell(f"v{event.version}"),
        *([Cell(f"by {event.actor}")] if event.actor else []),
        *([Cell(changes)] if changes else []),
    ]


def _was(event: Event, name: str) -> str:
    """What a field held before, where that is known and something."""
    before = (event.before or {}).get(name)
    return "" if before is None else f"{_brief(before)}->"


def _brief(value: Any) -> str:
    from sojourn.sealing import key_of

    if isinstance(value, str) and key_of(value) is not None:
        return "(sealed)"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
