"""``sojourn config``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.output import Cell, Column
from sojourn.cli.shapes import Listing
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.tables import shown
from sojourn.cli.telling import View, tell_list

if TYPE_CHECKING:
    from sojourn.settings import Origin

__all__ = ["config"]


@click.command(
    cls=Command,
    output=Listing("settings", "Setting"),
    examples=["sojourn config", "SOJOURN_TTL=600 sojourn config --json"],
)
@pass_state
def config(state: State) -> None:
    """Show the settings, and where each came from.

    Passwords and keys are masked. The exit code is 2 where a setting is no good; 'sojourn doctor' looks at what the
    settings lead to.
    """
    from sojourn.settings import origins

    columns = (Column("SETTING"), Column("VALUE", folds=True), Column("FROM", folds=True))
    tell_list(state, "settings", origins(**state.arguments), View(_to_json, columns, _row))


def _to_json(setting: Origin) -> dict[str, Any]:
    from pydantic_core import to_jsonable_python

    from sojourn.settings import masked

    return {
        "name": setting.name, "value": to_jsonable_python(masked(setting.value)), "source": setting.source,
        "where": setting.where or None,
    }  # fmt: skip


def _row(setting: Origin) -> list[Cell]:
    from sojourn.settings import masked

    argument = "--" + setting.name.replace("_", "-") if setting.source == "argument" else ""
    where = f"{setting.source} {argument or setting.where}".strip()
    style = "" if setting.source == "default" else "bold"
    return [Cell(setting.name, style), Cell(shown(masked(setting.value)), style), Cell(where, style)]
