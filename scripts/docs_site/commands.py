"""The reference of commands, from the tree of click commands itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import click

from sojourn.cli.root import cli

__all__ = ["commands_text", "walk"]

_NOT_TOLD: Final = frozenset(
    ["--help", *(option for each in cli.params if isinstance(each, click.Option) for option in each.opts)]
)
"""Options that every command takes: told once, of the root."""


def walk(
    command: click.Command = cli, context: click.Context | None = None
) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands with their contexts, each group before what is in it, in the order of the help pages."""
    here = click.Context(command, info_name=command.name if context else "sojourn", parent=context)
    yield command, here
    if isinstance(command, click.Group):
        for name in command.list_commands(here):
            inner = command.get_command(here, name)
            if inner is not None and not inner.hidden:
                yield from walk(inner, here)


def commands_text() -> str:
    """A heading for each command, with its usage, what it does, its options and its examples."""
    return "\n".join(line for command, context in walk() for line in [*_section(command, context), ""])


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    depth = context.command_path.count(" ")
    yield f"{'#' * min(depth + 2, 4)} {context.command_path}"
    yield ""
    yield from _paragraphs(command.help or "")
    yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    yield ""
    options = [
        each.get_help_record(context)
        for each in command.get_params(context)
        if isinstance(each, click.Option) and not each.hidden and (command is cli or _NOT_TOLD.isdisjoint(each.opts))
    ]
    rows = [f"| `{record[0]}` | {_cell(record[1])} |" for record in options if record]
    if rows:
        yield from ["| option | meaning |", "| --- | --- |", *rows, ""]
    if isinstance(command, click.Group):
        inner = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
        yield from ["| command | does |", "| --- | --- |"]
        for name, each in inner:
            if each is not None and not each.hidden:
                path = f"{context.command_path} {name}"
                yield f"| [`{path}`](#{path.replace(' ', '-')}) | {_cell(each.get_short_help_str(200))} |"
        yield ""
    examples = getattr(command, "_examples", ())
    if examples:
        yield "\n".join(["```console", *(f"$ {each}" for each in examples), "```"])
        yield ""
    yield from _paragraphs(command.epilog or "")


def _paragraphs(text: str) -> Iterator[str]:
    for each in re.split(r"\n\s*\n", text.strip()):
        words = each.lstrip("\b").strip("\n")
        if not words:
            continue
        yield f"```text\n{words}\n```" if each.startswith("\b") else _text(" ".join(words.split()))
        yield ""


def _text(text: str) -> str:
    return re.sub(r"([*_\[\]])", r"\\\1", text.replace("<", "&lt;"))


def _cell(text: str) -> str:
    return _text(" ".join(text.split())).replace("|", "\\|")
