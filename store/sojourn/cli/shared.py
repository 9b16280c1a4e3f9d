"""What all commands share: the global options, wherever on the line they stand, and how their help pages look."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import click

from sojourn.cli.completing import completes_tenant
from sojourn.cli.failures import USAGE
from sojourn.cli.shapes import Shape
from sojourn.cli.state import State, pass_state

__all__ = ["SHARED", "Command", "Group", "Sharing", "State", "pass_state"]

_SENTENCE: Final = re.compile(r"(.+?)\.(?=\s|$)", re.DOTALL)


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a global option for all commands; what stands nearer to the end of the line wins."""
    state = context.ensure_object(State)
    if not value or parameter.name is None:
        return
    if parameter.name == "as_json":
        state.output = "json"
    elif parameter.name == "output":
        state.output = value
    else:
        state.arguments[parameter.name] = value


_option = partial(click.Option, expose_value=False, is_eager=True, callback=_note)

SHARED: Final[tuple[Callable[[], click.Option], ...]] = (
    lambda: _option(["--redis-url"], metavar="URL", help="The sessions' Redis."),
    lambda: _option(["--archive-url"], metavar="URL", help="The archive's PostgreSQL."),
    lambda: _option(["--tenant"], metavar="NAME", help="Whose sessions.", shell_complete=completes_tenant),
    lambda: _option(["--actor"], metavar="NAME", help="Who acts, for the audit.  [default: cli:USER]"),
    lambda: _option(["--trace", "--trace-id", "trace_id"], metavar="ID", help="In which trace, for the audit."),
    lambda: _option(
        ["--output", "-o"], type=click.Choice(("table", "json", "csv")),
        help="For people, for programs, or for spreadsheets.",
    ),
    lambda: _option(["--json", "as_json"], is_flag=True, help="Short for --output json."),
)  # fmt: skip
"""The global options; each command and group takes them too, so that they may stand anywhere."""


class Sharing(click.Command):
    """Adds the global options to a command's own, and lists them apart; shows examples.

    Args:
        examples: lines for a shell, each of which a test parses.
        output: what it prints for programs, or the several shapes that it may have.
    """

    def __init__(
        self, *args: Any, examples: Sequence[str] = (), output: Shape | tuple[Shape, ...] = (), **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self.examples = tuple(examples)
        self.outputs: tuple[Shape, ...] = output if isinstance(output, tuple) else (output,)
        own = {name for each in self.params for name in each.opts}  # which go before global ones of the same name
        self.shared = tuple(each for each in (make() for make in SHARED) if own.isdisjoint(each.opts))
        self.params.extend(self.shared)

    def get_short_help_str(self, limit: int = 0) -> str:
        """The first sentence of the help: it is short enough, and never cut off."""
        del limit
        first = " ".join((self.short_help or self.help or "").strip().partition("\n\n")[0].split())
        found = _SENTENCE.match(first)
        return f"{found[1]}." if found else first

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options, then the global ones."""
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if record is not None and isinstance(each, click.Option):
                (shared if each in self.shared else own).append(record)
        for title, records in (("Options", own), ("Global options", shared)):
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples, then the notes."""
        if self.examples:
            with formatter.section("Examples"):
                for each in self.examples:
                    formatter.write(f"  {each}\n")
        super().format_epilog(ctx, formatter)


class Command(Sharing):
    """A command that also takes the global options."""


class Group(Sharing, click.Group):
    """A group of such commands, shown in the order in which they were added.

    Args:
        sections: titles, and the names of the commands under each; by default there is one list of all.
    """

    command_class = Command

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]] | None = None, **options: Any) -> None:
        super().__init__(*args, no_args_is_help=False, **options)
        self._sections = sections or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A name alone asks what there is; a script that forgot the rest sees that by the exit code."""
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(USAGE)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the help page."""
        titled = [name for names in self._sections.values() for name in names if name in self.commands]
        return [*titled, *(name for name in self.commands if name not in titled)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, then the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands under their titles."""
        left = {name: each for name, each in self.commands.items() if not each.hidden}
        widest = max(map(len, left), default=0)
        for title, names in {
            **self._sections,
            "More" if self._sections else "Commands": self.list_commands(ctx),
        }.items():
            rows = [(name.ljust(widest), left.pop(name).get_short_help_str()) for name in names if name in left]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
