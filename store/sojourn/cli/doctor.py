"""``sojourn doctor`` and ``sojourn metrics``."""

from __future__ import annotations

from typing import Final

import click

from sojourn.cli.output import Cell, print_json, print_line
from sojourn.cli.shapes import Document, Text
from sojourn.cli.shared import Command, State, pass_state

__all__ = ["doctor", "metrics"]

WARNED: Final = 6
WRONG: Final = 7
_STYLES: Final = {"ok": "green", "warning": "yellow", "error": "red"}
_CODES: Final = {"ok": 0, "warning": WARNED, "error": WRONG}


@click.command(
    cls=Command,
    output=Document("Findings"),
    examples=["sojourn doctor", "sojourn doctor --json"],
    epilog=f"Exit codes: 0 all is well, {WARNED} there are warnings, {WRONG} something is wrong.",
)
@pass_state
def doctor(state: State) -> None:
    """Check a deployment: what is wrong, why it matters, and the command that mends it."""
    from sojourn.doctor import examine

    code = 0
    findings = []
    for each in examine(state.settings):
        code = max(code, _CODES[each.severity])
        findings.append(each.to_json())
        if not state.as_json:
            print_line([Cell(f"{each.severity:<7}", _STYLES[each.severity]), Cell(f"{each.check}:"), Cell(each.found)])
            for told in filter(None, (each.why, each.mend and f"to mend it: {each.mend}")):
                print_line([Cell(" " * 7), Cell(told)])
    if state.as_json:
        print_json({"findings": findings})
    raise SystemExit(code)


@click.command(
    cls=Command,
    output=(Document("Metrics"), Text("the format that Prometheus scrapes", when="without --json")),
    examples=["sojourn metrics", "sojourn metrics --json"],
)
@pass_state
def metrics(state: State) -> None:
    """Print the numbers that Redis keeps of a deployment, in the format that Prometheus scrapes."""
    from sojourn.metrics import read_metrics

    found = read_metrics(state.settings)
    if state.as_json:
        print_json(found.to_json())
        return
    from sojourn.exposition import exposition

    click.echo(exposition(found), nl=False)
