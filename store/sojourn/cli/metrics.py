"""``sojourn metrics`` and ``sojourn health``."""

from __future__ import annotations

from typing import Final

import click

from sojourn.cli.output import Cell, print_line
from sojourn.cli.shapes import Document, Text
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell

__all__ = ["health", "metrics"]

DEGRADED: Final = 6
UNHEALTHY: Final = 7
_CODES: Final = {"healthy": 0, "degraded": DEGRADED, "unhealthy": UNHEALTHY}
_STYLES: Final = {"healthy": "green", "degraded": "yellow", "unhealthy": "red"}


@click.command(
    cls=Command,
    output=(Document("Metrics"), Text("the format that Prometheus scrapes", when="as a table")),
    examples=["sojourn metrics", "sojourn metrics --json", "sojourn metrics | grep sojourn_sessions_active"],
)
@pass_state
def metrics(state: State) -> None:
    """Print a deployment's numbers as Prometheus scrapes them.

    Redis keeps them: they are exact whatever workers there are, and the same that a worker serves at /metrics. With
    --json: all of them as one object, with each tenant's own under "tenants".
    """
    from sojourn.metrics import read_metrics

    found = read_metrics(state.settings)
    if state.output != "table":
        tell(state, found.to_json())
        return
    from sojourn.exposition import exposition
    from sojourn.health import Health, judge

    click.echo(exposition(found, str(Health(judge(found, state.settings)).state)), nl=False)


@click.command(
    cls=Command,
    output=Document("Health"),
    examples=["sojourn health", "sojourn health --json"],
    epilog=f"Exit codes: 0 healthy, {DEGRADED} degraded, {UNHEALTHY} unhealthy.",
)
@pass_state
def health(state: State) -> None:
    """Tell whether a deployment is healthy, and why not.

    It is unhealthy where Redis cannot be used, and degraded past one of the thresholds in the settings (health_*), or
    where the archive, the queues or the scheduler are away. Each reason comes with what to do; for a closer look see
    "sojourn doctor".
    """
    from sojourn.health import read_health

    found = read_health(state.settings)
    name = str(found.state)

    def people() -> None:
        print_line([Cell(name, _STYLES[name])])
        for each in found.reasons:
            print_line([Cell(f"{each.state:<9}", _STYLES[each.state]), Cell(f"{each.what}:"), Cell(each.told)])
            print_line([Cell(" " * 9), Cell(f"to mend it: {each.mend}")])

    tell(state, found.to_json(), people)
    raise SystemExit(_CODES[name])
