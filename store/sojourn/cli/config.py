"""``sojourn config``."""

from __future__ import annotations

import click

from sojourn.cli.output import Cell, Column, print_json, print_table
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.tables import shown

__all__ = ["config"]


@click.command(cls=Command, examples=["sojourn config", "SOJOURN_TTL=600 sojourn config --json"])
@pass_state
def config(state: State) -> None:
    """Show the settings, and where each came from.

    Passwords and keys are masked.
    """
    from pydantic_core import to_jsonable_python

    from sojourn.settings import masked, origins

    found = origins(**state.arguments)
    if state.as_json:
        told = [
            {"name": each.name, "value": to_jsonable_python(masked(each.value)), "source": each.source,
             "where": each.where or None}
            for each in found
        ]  # fmt: skip
        print_json({"settings": told})
        return
    columns = (Column("SETTING"), Column("VALUE", folds=True), Column("FROM", folds=True))
    rows = []
    for each in found:
        argument = "--" + each.name.replace("_", "-") if each.source == "argument" else ""
        where = f"{each.source} {argument or each.where}".strip()
        style = "" if each.source == "default" else "bold"
        value = shown(masked(each.value))
        rows.append([Cell(each.name, style), Cell(value, style), Cell(where, style)])
    print_table(columns, rows)
