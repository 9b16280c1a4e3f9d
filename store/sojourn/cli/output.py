"""Printing text and JSON, and never what could steer a terminal."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Sequence
from typing import Any, Final

import click

from sojourn.cli.grid import print_table
from sojourn.cli.state import State
from sojourn.cli.terminal import BEYOND_ASCII, Cell, Column, in_colour, on_terminal, plain
from sojourn.errors import SojournError
from sojourn.tokens.form import masked_tokens

__all__ = [
    "Cell",
    "Column",
    "complain",
    "hint",
    "json_text",
    "on_terminal",
    "plain",
    "print_json",
    "print_line",
    "print_table",
    "problem_code",
]

_UNSAFE_IN_JSON: Final = re.compile(f"[{BEYOND_ASCII}]")
_ABOUT: Final = {"session": "session_id", "tenant": "tenant", "candidates": "candidates"}
"""What programs are told of an error, and the attribute that holds it."""
_WORD: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")


def problem_code(error: type[BaseException]) -> str:
    """The code by which programs know an error: its class in words.

    Example:
        >>> problem_code(SojournError)
        'sojourn_error'
    """
    return _WORD.sub("_", error.__name__).lower()


def complain(problem: str | SojournError, *, code: str = "problem", as_json: bool | None = None, **about: Any) -> None:
    """One line on stderr, or a JSON object where JSON is wanted. What click quotes of a command line may be a token.

    Args:
        problem: what went wrong.
        code: by which programs know it; an error has its own.
        as_json: whether JSON is wanted, where no command is at work that knows.
        about: what else programs may want to know, such as the ``session``.
    """
    text = masked_tokens(str(problem))
    if not (_json_is_wanted() if as_json is None else as_json):
        click.echo(f"sojourn: {plain(text)}", err=True)
        return
    if isinstance(problem, SojournError):
        code = problem_code(type(problem))
        known = {name: getattr(problem, of, None) for name, of in _ABOUT.items()}
        about = {name: value for name, value in known.items() if value} | about
    click.echo(json_text({"error": {"code": code, "message": text, **about}}), err=True)


def hint(text: str) -> None:
    """A line for people, on stderr so that pipes do not get it; among JSON errors it is JSON, too."""
    click.echo(json_text({"note": text}) if _json_is_wanted() else text, err=True)


def _json_is_wanted() -> bool:
    context = click.get_current_context(silent=True)
    state = None if context is None else context.find_object(State)
    return state is not None and state.as_json


def json_text(value: Any, *, indent: int | None = None) -> str:
    """A value as JSON that nothing in it can steer a terminal with."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def print_json(value: Any, *, lines: bool = False) -> None:
    """A value as JSON: indented on a terminal, else (and for JSON lines) on one line."""
    click.echo(json_text(value, indent=2 if on_terminal() and not lines else None))


def print_line(cells: Iterable[Cell]) -> None:
    """One line of cells; in brief, as far as that is needed, where it is wider than the terminal."""
    coloured = in_colour()
    shown = (
        click.style(text, fg=cell.style) if coloured and cell.style else text for text, cell in _fitted(list(cells))
    )
    click.echo("  ".join(shown), color=coloured)


def _fitted(cells: Sequence[Cell]) -> list[tuple[str, Cell]]:
    from rich.cells import cell_len

    texts = [plain(each.text) for each in cells]
    if on_terminal():
        over = sum(map(cell_len, texts)) + 2 * (len(texts) - 1) - shutil.get_terminal_size().columns
        for number, each in enumerate(cells):
            if over > 0 and each.brief:
                over -= cell_len(texts[number]) - cell_len(plain(each.brief))
                texts[number] = plain(each.brief)
    return list(zip(texts, cells, strict=True))
