"""``sojourn events``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final, cast

import click

from sojourn.cli.asking import confirm
from sojourn.cli.completing import completes_group
from sojourn.cli.output import Cell, hint
from sojourn.cli.parameters import DRY_RUN, YES
from sojourn.cli.shapes import Document, Lines
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell, tell_each
from sojourn.cli.words import exact

if TYPE_CHECKING:
    from sojourn.events import Event, Start
    from sojourn.peek import From

__all__ = ["event_json", "event_line", "events", "show_events"]

_SHOWN: Final = 20
_PAGE: Final = 10_000
_LONGEST: Final = 100
_SHORT_ID: Final = 8
"""Characters of an id where a terminal has no room for it: commands take the beginning of one."""
_SHORTEST_S: Final = 0.001
_STYLES: Final = {
    "created": "green", "ended": "blue", "expired": "yellow", "deleted": "magenta", "lost": "red", "damaged": "red",
}  # fmt: skip


@click.command(
    cls=Command,
    output=(Lines("Event"), Document("Forgotten", when="with --forget")),
    examples=[
        "sojourn events --limit 5",
        "sojourn events --from oldest --limit 1000 --json",
        "sojourn events --group billing --follow",
        "sojourn events --group billing --forget --dry-run",
    ],
)
@click.option("--group", metavar="GROUP", shell_complete=completes_group,
              help="Take events as one of this group: each goes to one of its members.")  # fmt: skip
@click.option("--follow", "-f", is_flag=True, help="With --group: wait for further events.")
@click.option("--from", "start", type=click.Choice(["oldest", "new"]),
              help="Where to begin. Without it: at the last ones; a new group: at new ones.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help=f"Events at most.  [default: {_SHOWN} without --group]")
@click.option("--forget", is_flag=True, help="Remove the group, which else keeps its events from being trimmed.")
@DRY_RUN
@YES
@pass_state
def events(
    state: State, group: str | None, follow: bool, start: str | None, limit: int | None, forget: bool, dry_run: bool,
    yes: bool,
) -> None:  # fmt: skip
    """Show what happened to sessions, oldest first.

    Without a group this only looks: nothing is taken from anybody. To see events as they come: sojourn watch.
    Redis keeps what has still to be read or archived; what was before is told by sojourn history, and by sojourn watch
    --since. --forget removes a group, with the note of what it has still to read: --dry-run tells how much that is.
    """
    if forget:
        _forget(state, group, others_given=bool(follow or start or limit), dry_run=dry_run, yes=yes)
        return
    if dry_run or yes:
        raise click.UsageError("--dry-run and --yes go with --forget", click.get_current_context())
    if group is not None:
        begin: Start = "oldest" if start == "oldest" else "new"
        timeout = None if follow else _SHORTEST_S
        show_events(state, state.store.events(group, start=begin, timeout=timeout, limit=limit))
        return
    if follow:
        raise click.UsageError("--follow goes with --group; to see events as they come: sojourn watch",
                               click.get_current_context())  # fmt: skip
    if start is None and limit is not None and limit > _PAGE:
        raise click.UsageError(f"the last {_PAGE} at most; for more: --from oldest", click.get_current_context())
    show_events(state, _look(state, start or "recent", limit))


def _forget(state: State, group: str | None, *, others_given: bool, dry_run: bool, yes: bool) -> None:
    if group is None or others_given:
        raise click.UsageError("--forget goes with --group and nothing else", click.get_current_context())
    told: dict[str, Any] = {"group": group, "dry_run": dry_run}
    if dry_run:
        told |= _standing(state, group)
    else:
        confirm(f"Remove group '{group}'? What it has not read it never will", yes=yes)
        with state.telling("events.forget", group=group[:_LONGEST]) as detail:
            told["found"] = detail["found"] = state.store.forget_events(group)

    def people() -> None:
        if not told["found"]:
            hint(f"there is no group '{group}'")
        elif dry_run:
            hint(f"group '{group}' would be removed: pending {told['pending']}, behind by {told['lag_s']:.3g} s")

    tell(state, told, people)


def _standing(state: State, group: str) -> dict[str, Any]:
    """How far a group is behind."""
    from sojourn.events import group_name
    from sojourn.metrics import read_metrics

    behind = read_metrics(state.settings).groups.get(group_name(state.store.tenant, group))
    if behind is None:
        return {"found": False, "pending": 0, "lag_s": 0.0}
    return {"found": True, "pending": behind.pending, "lag_s": round(behind.lag_s, 3)}


def _look(state: State, start: str, limit: int | None) -> Iterator[Event]:
    left = limit or _SHOWN
    page = state.store.peek_events(start=cast("From", start), limit=min(left, _PAGE))
    while True:
        yield from page.events
        left -= len(page.events)
        if left == 0 or not (page.events and start == "oldest"):
            return
        page = state.store.peek_events(cursor=page.cursor, limit=min(left, _PAGE))


def show_events(state: State, events: Iterable[Event]) -> int:
    """Events on a line each, as they come; how many there were."""
    return tell_each(state, events, event_json, event_line)


def event_json(event: Event) -> dict[str, Any]:
    """An event as JSON values."""
    return event.to_json() | {"at": exact(event.at)}


def event_line(event: Event) -> list[Cell]:
    """What a line says of an event: the time, the type, the session, and who changed what."""
    changes = " ".join(f"{name}={_was(event, name)}{_brief(value)}" for name, value in event.changes.items())
    return [
        Cell(exact(event.at)),
        Cell(f"{event.type:<8}", _STYLES.get(event.type, "")),
        Cell(event.session_id, brief=event.session_id[:_SHORT_ID]),
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
