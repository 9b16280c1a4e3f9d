"""What commands print their results with, in the format that was asked for.

A command says what it found as JSON values, and how that looks to people; here is decided which of it is printed. The
columns of CSV are those of the schema that the command declares (see `sojourn.cli.shapes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import click

from sojourn.cli.grid import Table
from sojourn.cli.output import Cell, Column, hint, json_text, print_json, print_line, print_table
from sojourn.cli.shapes import Text
from sojourn.cli.shared import Sharing, State
from sojourn.cli.spreadsheet import Csv
from sojourn.cli.terminal import on_terminal

__all__ = ["View", "pairs", "tell", "tell_each", "tell_list"]

T = TypeVar("T")
_AT_ONCE: Final = 1_000
_PAIRS: Final = (Column("WHAT"), Column("VALUE", folds=True))


@dataclass(frozen=True)
class View(Generic[T]):
    """How things of one sort are told."""

    to_json: Callable[[T], Mapping[str, Any]]
    columns: Sequence[Column]
    row: Callable[[T], Sequence[Cell]]


def tell(
    state: State,
    document: Mapping[str, Any],
    table: Callable[[], None] | None = None,
    *,
    rows: Iterable[Mapping[str, Any]] | None = None,
) -> None:
    """Tell one thing.

    Args:
        state: which format.
        document: the thing, as JSON values.
        table: prints it for people; by default a line for each name and its value.
        rows: its rows as CSV; by default it is one.
    """
    if state.output == "json":
        print_json(document)
    elif state.output == "csv":
        shown = [document] if rows is None else list(rows)
        Csv(_columns(shown[0] if shown else document, declared=rows is None)).add_all(shown)
    elif table is not None:
        table()
    else:
        pairs(document)


def pairs(found: Mapping[str, Any]) -> None:
    """A line for each name and its value."""
    from sojourn.cli.tables import shown

    print_table(_PAIRS, [[Cell(name, "bold"), Cell(shown(value))] for name, value in found.items()], headed=False)


def tell_list(
    state: State, name: str, items: Iterable[T], view: View[T], *, cursor: Callable[[], str | None] = lambda: None,
    nothing: str = "",
) -> None:  # fmt: skip
    """Tell a list of things, in bounded memory: each is printed as it comes.

    Args:
        state: which format.
        name: what the list is called in JSON.
        items: the things.
        view: how each is told.
        cursor: where the list goes on; asked for at the end.
        nothing: what to say to people where there are none.
    """
    if state.output == "json":
        _json_list(name, map(view.to_json, items), cursor)
    elif state.output == "csv":
        _csv(map(view.to_json, items))
    else:
        table, each = Table(view.columns), iter(items)
        count = 0
        while some := list(islice(each, _AT_ONCE)):
            count += len(some)
            table.add([view.row(one) for one in some])
        if not count and nothing:
            hint(nothing)


def tell_each(
    state: State, items: Iterable[T], to_json: Callable[[T], Any], line: Callable[[T], Sequence[Cell]]
) -> int:
    """Tell things on a line each, at the moment that each comes; how many there were."""
    count = 0
    if state.output == "csv":
        return _csv(map(to_json, items))
    for count, each in enumerate(items, 1):  # noqa: B007 (it is told at the end)
        if state.output == "json":
            print_json(to_json(each), lines=True)
        else:
            print_line(line(each))
    return count


def _csv(documents: Iterable[Mapping[str, Any]]) -> int:
    count, each = 0, iter(documents)
    first = next(each, None)
    table = Csv(_columns(first))
    if first is not None:
        table.add(first)
        count = 1
        for document in each:
            table.add(document)
            count += 1
    table.begin()
    return count


def _columns(first: Mapping[str, Any] | None, *, declared: bool = True) -> Sequence[str]:
    """The columns of CSV: what the command's schema declares, and what the first row has beyond that."""
    from sojourn.cli.schemas import fields_of

    command = click.get_current_context().command
    known: list[str] = []
    if declared and isinstance(command, Sharing):
        shapes = [each for each in command.outputs if not isinstance(each, Text)]
        candidates = [fields_of(each.schema) for each in shapes]
        if first is not None:
            candidates.sort(key=lambda fields: len(set(fields) & set(first)), reverse=True)
        known = list(candidates[0]) if candidates else []
    return list(dict.fromkeys([*known, *(first or ())]))


def _json_list(name: str, documents: Iterator[Mapping[str, Any]], cursor: Callable[[], str | None]) -> None:
    """The document, printed as it comes. Cut short by an error it stays open, so that nobody takes it for whole."""
    indented = on_terminal()
    between = ",\n    " if indented else ", "
    begun = False
    for each in documents:
        text = json_text(each, indent=2 if indented else None).replace("\n", "\n    ")
        click.echo((between if begun else _opening(name, indented)) + text, nl=False)
        begun = True
    last = json_text(cursor())
    if not begun:
        print_json({name: [], "cursor": cursor()})
    else:
        click.echo(f'\n  ],\n  "cursor": {last}\n}}' if indented else f'], "cursor": {last}}}')


def _opening(name: str, indented: bool) -> str:
    return f'{{\n  "{name}": [\n    ' if indented else f'{{"{name}": ['
