"""Examples of help pages: what of a line for a shell is ours, and running it in this process."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

import click
from click.testing import CliRunner, Result

from sojourn.cli import cli

__all__ = ["Stage", "parse", "run_stages", "stages"]

_OPERATORS = {"|", "<", ">", ">>", "(", ")", ";", "$(", "&&"}


@dataclass
class Stage:
    """One command of a pipe."""

    words: list[str] = field(default_factory=list)
    source: str | None = None
    target: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is `sojourn`, after variables."""
        return self.arguments is not None

    @property
    def arguments(self) -> list[str] | None:
        """What stands behind `sojourn`."""
        words = list(self.words)
        while words and "=" in words[0] and words[0].partition("=")[0].isidentifier():
            words.pop(0)
        return words[1:] if words and words[0] == "sojourn" else None


def stages(line: str) -> list[Stage]:
    """The commands of a line, those inside of ``$(...)`` and ``(...)`` among them."""
    line = line.replace('"$(', "$(").replace(')"', ")").replace("$(", "VALUE ( ")
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|<>();")
    lexer.whitespace_split = True
    found, redirect = [Stage()], ""
    for token in lexer:
        if redirect:
            setattr(found[-1], "source" if redirect == "<" else "target", token)
            redirect = ""
        elif token in ("<", ">", ">>"):
            redirect = token
        elif token in ("|", "(", ")", ";"):
            found.append(Stage())
        else:
            found[-1].words.append(token)
    return [each for each in found if each.words]


def parse(arguments: list[str]) -> None:
    """Have click parse a command line, without running it.

    Raises:
        click.ClickException: it is no good.
    """
    context = cli.make_context("sojourn", list(arguments))
    while isinstance(context.command, click.Group):
        left = [*context._protected_args, *context.args]
        if not left:
            assert context.command.invoke_without_command, arguments
            return
        name, command, rest = context.command.resolve_command(context, left)
        assert command is not None
        context = command.make_context(name, rest, parent=context)


def run_stages(several: list[Stage]) -> Result:
    """Run a pipe of our commands; what the last one printed."""
    text = ""
    result: Result | None = None
    for each in several:
        assert each.arguments is not None, each.words
        if each.source is not None:
            text = Path(each.source).read_text()
        result = CliRunner().invoke(cli, each.arguments, input=text, prog_name="sojourn")
        text = result.stdout
        if each.target is not None:
            Path(each.target).write_text(text)
    assert result is not None
    return result
