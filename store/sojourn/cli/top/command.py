"""``sojourn top``: its options, and its output where that is no terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.output import complain
from sojourn.cli.parameters import lifetime
from sojourn.cli.shapes import Lines
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell_each
from sojourn.cli.top.look import COLUMNS, Look
from sojourn.cli.words import exact

if TYPE_CHECKING:
    from sojourn.cli.top.view import Frame

__all__ = ["top"]

_ONCE_S: Final = 1.0
"""How far apart the two looks of ``--once`` are, at most."""
_WIDTH: Final = 120
_HEIGHT: Final = 1_000
"""Of a frame that goes elsewhere than to a terminal."""
_LONGEST_S: Final = 3600.0


@click.command(
    cls=Command,
    output=(Lines("Top"), Lines("TopRow", when="with --output csv")),
    examples=[
        "sojourn top",
        "sojourn top --by kind --sort created_per_s --interval 5s",
        "sojourn top --once",
        "sojourn top --json --limit 10",
    ],
)
@click.option("--by", "group", type=click.Choice(("tenant", "kind")), default="tenant", show_default=True,
              help="A row for each.")  # fmt: skip
@click.option("--sort", type=click.Choice(COLUMNS), default="live", show_default=True, metavar="COLUMN",
              help="Sort by it: name, live, pending, in_progress, overdue, completed, failed, terminated, expired, "
              "deleted, created_per_s, ended_per_s or memory_bytes.")  # fmt: skip
@click.option("--reverse", is_flag=True, help="The other way round: the smallest first.")
@click.option("--filter", "text", metavar="TEXT", default="", help="Only rows with that in their name.")
@click.option("--interval", metavar="DURATION", default="2s", show_default=True, help="Look so often.")
@click.option("--once", is_flag=True, help="Print one frame and end.")
@click.option("--limit", type=click.IntRange(min=1), help="End after so many frames; with --json and --output csv.")
@pass_state
def top(
    state: State, group: Any, sort: str, reverse: bool, text: str, interval: str, once: bool, limit: int | None
) -> None:
    """Watch sessions, lags, queues and hooks live.

    Sessions by status and tenant, created and ended per second, how late expiries are claimed, what waits for the
    archive and in the queues, hooks (the slowest first), workers, memory and dead letters.

    In the live view h shows the keys: to sort, filter, group and pause. Where the output is no terminal, one frame is
    printed; with --json an object on a line for each interval. When Redis goes away it says so and goes on.
    """
    interval_s = _seconds(interval)
    names = state.arguments.get("tenant", text) if group == "tenant" else text
    look = Look(
        sort=sort, ascending=(sort == "name") != reverse, filter=names, group=group, interval_s=interval_s
    )  # fmt: skip
    programs = state.output != "table"
    if limit is not None and not programs:
        raise click.UsageError("--limit goes with --json or --output csv", click.get_current_context())
    if programs:
        _tell(state, look, 1 if once else limit)
    elif once or not sys.stdout.isatty():
        _print_once(state, look)
    else:
        from sojourn.cli.top.loop import watch_live

        click.get_current_context().exit(watch_live(state.settings, look))


def _seconds(text: str) -> float:
    value = lifetime(text).value
    seconds = 0.0 if value is None else value.total_seconds()
    if not 0.05 <= seconds <= _LONGEST_S:
        raise click.BadParameter(f"{text!r} is not between 50ms and 1h", param_hint="--interval")
    return seconds


def _print_once(state: State, look: Look) -> None:
    from rich.console import Console

    from sojourn.cli.terminal import in_colour
    from sojourn.cli.top.reading import each_frame
    from sojourn.cli.top.view import frame

    found = next(each_frame(state.settings, lambda: min(look.interval_s, _ONCE_S)))
    coloured = in_colour()
    console = Console(
        force_terminal=coloured or None, no_color=not coloured, highlight=False, markup=False, emoji=False
    )
    width = console.width if console.is_terminal else _WIDTH
    for line in frame(found, look, width, _HEIGHT, keys=False):
        console.print(line, soft_wrap=True)
    if found.now is None:
        click.get_current_context().exit(4)


def _tell(state: State, look: Look, limit: int | None) -> None:
    from sojourn.cli.top.reading import each_frame

    interval_s = min(look.interval_s, _ONCE_S) if limit == 1 else look.interval_s
    frames = islice(each_frame(state.settings, lambda: interval_s), limit)
    if state.output == "json":
        tell_each(state, (_to_json(each, look) for each in frames), dict, lambda _: ())
    else:
        tell_each(state, (row for each in frames for row in _rows(each, look)), dict, lambda _: ())


def _at(found: Frame) -> str | None:
    return None if found.now is None else exact(datetime.fromtimestamp(found.now.at_s, UTC))


def _rows(found: Frame, look: Look) -> Iterator[dict[str, Any]]:
    from sojourn.cli.top.look import arranged
    from sojourn.cli.top.model import rows

    if found.problem:
        complain(found.problem, code="store_unavailable")
    if found.now is not None:
        for each in arranged(rows(found.before, found.now, look.group), look):
            yield {"at": _at(found), "by": look.group, **asdict(each)}


def _to_json(found: Frame, look: Look) -> dict[str, Any]:
    """A frame as JSON values."""
    from sojourn.cli.top.model import hook_rows, summary

    whole = found.now
    return {
        "at": _at(found),
        "problem": found.problem or None,
        "summary": None if whole is None else _finite(summary(found.before, whole).to_json()),
        "rows": list(_rows(found, look)),
        "hooks": [] if whole is None else [_finite(asdict(each)) for each in hook_rows(found.before, whole)],
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """The same without infinity, which JSON does not know: a time beyond the last bucket is not known."""
    return {name: None if value == float("inf") else value for name, value in values.items()}
