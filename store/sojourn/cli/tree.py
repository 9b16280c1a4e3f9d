"""The tree of commands as data: for the reference in the docs, and for the test of their one manner."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import click

from sojourn.cli.root import SECTIONS, cli
from sojourn.cli.shapes import Shape
from sojourn.cli.shared import Sharing

__all__ = ["Node", "Option", "walk"]


@dataclass(frozen=True)
class Option:
    """An option or an argument."""

    names: tuple[str, ...]
    """``("--limit",)``; of an argument its metavar."""
    metavar: str
    """What it takes; '' for a flag."""
    help: str
    required: bool
    repeats: bool


@dataclass(frozen=True)
class Node:
    """A command, or a group of commands."""

    path: tuple[str, ...]
    """``("archive", "run")``; of ``sojourn`` itself it is empty."""
    summary: str
    """The first sentence of its help, as the help of its group lists it."""
    help: str
    """All of its help, in paragraphs: plain text that is good Markdown, too."""
    usage: str
    """``sojourn archive run [OPTIONS]``."""
    arguments: tuple[Option, ...]
    options: tuple[Option, ...]
    """Its own. The global ones, which each command takes, are those of the root."""
    examples: tuple[str, ...]
    """Lines for a shell."""
    notes: str
    """What stands at the end, such as exit codes of its own."""
    outputs: tuple[Shape, ...]
    """What it prints with ``--json``; of a group that only holds commands there is nothing."""
    section: str
    """Under which title the root's help lists it; of a command in a group: that of the group."""
    is_group: bool

    @property
    def name(self) -> str:
        """As it is typed.

        Example:
            >>> [node.name for node in walk() if node.path[:1] == ("acl",)]
            ['sojourn acl']
        """
        return " ".join(("sojourn", *self.path))


def walk() -> Iterator[Node]:
    """All commands, each group before what it holds, in the order of the help pages.

    Example:
        >>> next(walk()).path
        ()
    """
    yield from _nodes(cli, click.Context(cli, info_name="sojourn"), (), "")


def _nodes(command: click.Command, context: click.Context, path: tuple[str, ...], section: str) -> Iterator[Node]:
    yield _node(command, context, path, section)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                inner = click.Context(found, parent=context, info_name=name)
                yield from _nodes(found, inner, (*path, name), section or _section_of(name))


def _section_of(name: str) -> str:
    return next((title for title, names in SECTIONS.items() if name in names), "More")


def _node(command: click.Command, context: click.Context, path: tuple[str, ...], section: str) -> Node:
    sharing = command if isinstance(command, Sharing) else None
    shared = () if sharing is None or not path else sharing.shared
    own = [each for each in command.get_params(context) if each not in shared]
    options = [each for each in own if isinstance(each, click.Option) and each.name != "help"]
    return Node(
        path=path,
        summary=command.get_short_help_str(),
        help=inspect.cleandoc(command.help or ""),
        usage=command.get_usage(context).removeprefix("Usage: "),
        arguments=tuple(_argument(each, context) for each in own if isinstance(each, click.Argument)),
        options=tuple(_option(each, context) for each in options if not each.hidden),
        examples=() if sharing is None else tuple(sharing.examples),
        notes=command.epilog or "",
        outputs=() if sharing is None else sharing.outputs,
        section=section,
        is_group=isinstance(command, click.Group),
    )


def _argument(each: click.Argument, context: click.Context) -> Option:
    name = each.make_metavar(context)
    return Option((name,), name, "", each.required, each.nargs != 1)


def _option(each: click.Option, context: click.Context) -> Option:
    record = each.get_help_record(context)
    names = (*each.opts, *each.secondary_opts)
    metavar = "" if each.is_flag or each.count else each.make_metavar(context)
    return Option(names, metavar, record[1] if record else each.help or "", each.required, each.multiple)
