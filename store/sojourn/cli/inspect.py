"""``sojourn inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli import failures
from sojourn.cli.ids import IDS, each_id, whole_anywhere
from sojourn.cli.inspection import lines
from sojourn.cli.output import print_line
from sojourn.cli.shapes import Lines
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell_each

if TYPE_CHECKING:
    from sojourn.inspection import Inspection

__all__ = ["inspect"]

_DRIFT: Final = 6
"""As doctor tells warnings."""
_CODES: Final[Mapping[str, int]] = {"missing": failures.NOT_FOUND, "damaged": failures.DAMAGED}


@click.command(
    cls=Command,
    output=(Lines("Inspection"), Lines("Inspected", when="with --output csv")),
    examples=[
        "sojourn inspect 0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b",
        "sojourn inspect 0b0e7f --json",
        "sojourn list --owner ada --ids | sojourn inspect -",
    ],
    epilog=f"Exit codes: 0 all is as it should be, {failures.NOT_FOUND} there is no such session, {failures.DAMAGED} "
    f"it cannot be read, {_DRIFT} something is not as it should be.",
)
@IDS
@pass_state
def inspect(state: State, ids: tuple[str, ...]) -> None:
    """Show every key, row and job that belongs to a session.

    For each the line of redis-cli or psql that shows the same, with the servers' URLs from the environment:
    SOJOURN_REDIS_URL, SOJOURN_ARCHIVE_URL, and SOJOURN_QUEUE_URL where the queues have a Redis of their own. What
    should be there and is not, or is and should not, is marked as drift. It changes nothing. An ID of - reads ids from
    stdin.
    """
    worst = 0

    def each() -> Iterator[Inspection]:
        nonlocal worst
        from sojourn.inspection import inspect as take_apart

        for session_id in each_id(state, ids, whole_anywhere):
            found = take_apart(state.settings, session_id)
            worst = max(worst, _CODES.get(found.state, _DRIFT if found.drift else 0))
            yield found

    if state.output == "table":
        for found in each():
            for line in lines(found):
                print_line(line)
    elif state.output == "csv":
        items = ({"session_id": found.session_id, **asdict(item)} for found in each() for item in found.items)
        tell_each(state, items, dict, lambda _: ())
    else:
        tell_each(state, each(), _to_json, lambda _: ())
    click.get_current_context().exit(worst)


def _to_json(found: Inspection) -> dict[str, Any]:
    return found.to_json()
