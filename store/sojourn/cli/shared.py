"""What all commands share: the global options, wherever on the line they stand, and the store behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from sojourn.client import SessionStore
    from sojourn.codec import Models
    from sojourn.models import Session
    from sojourn.settings import Settings

__all__ = ["SHARED", "Command", "Group", "State", "pass_state"]


@dataclass
class State:
    """What the global options say."""

    arguments: dict[str, str] = field(default_factory=dict)
    as_json: bool = False
    _stores: dict[type[Session], SessionStore[Session]] = field(default_factory=dict)

    @cached_property
    def settings(self) -> Settings:
        """The settings, with what the command line gave over all else.

        Raises:
            SettingsError: they are no good.
        """
        from sojourn.settings import load_settings

        _find_modules_of_the_working_directory()
        return load_settings(**self.arguments)

    @cached_property
    def models(self) -> Models:
        """The models that the settings name, and the ready ones.

        Raises:
            SettingsError, InvalidModel: one of them is no good.
        """
        return self.settings.load_models()

    @property
    def store(self) -> SessionStore[Session]:
        """A store that sees sessions of every kind."""
        from sojourn.models import Session

        return self.store_of(Session)

    def store_of(self, model: type[Session]) -> SessionStore[Session]:
        """A store of a session's own model, which knows the fields that a base class does not."""
        from sojourn.client import SessionStore
        from sojourn.models import Session, UnknownSession

        if model is UnknownSession:  # which is no model of its own, but what is left of those that are not known
            model = Session
        if model not in self._stores:
            self._stores[model] = SessionStore(settings=self.settings, model=model)
        return self._stores[model]

    def close(self) -> None:
        """Close the connections of its stores."""
        for each in self._stores.values():
            each.close()


def _find_modules_of_the_working_directory() -> None:
    """Let the settings name models and hooks of the project one stands in, as ``python -m`` would."""
    import sys

    here = os.getcwd()  # noqa: PTH109 (sys.path holds strings)
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last, so that nothing there stands in for a library


pass_state = click.make_pass_decorator(State, ensure=True)


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep a global option for all commands; what stands nearer to the end of the line wins."""
    state = context.ensure_object(State)
    if not value or parameter.name is None:
        return
    if parameter.name == "as_json":
        state.as_json = True
    else:
        state.arguments[parameter.name] = value


_option = partial(click.Option, expose_value=False, is_eager=True, callback=_note)

SHARED: Final[tuple[Callable[[], click.Option], ...]] = (
    lambda: _option(["--redis-url"], metavar="URL", help="The sessions' Redis."),
    lambda: _option(["--archive-url"], metavar="URL", help="The archive's PostgreSQL."),
    lambda: _option(["--tenant"], metavar="NAME", help="Whose sessions."),
    lambda: _option(["--json", "as_json"], is_flag=True, help="Print JSON, for programs."),
)
"""The global options; each command and group takes them too, so that they may stand anywhere."""


class _Sharing(click.Command):
    """Adds the global options to a command's own, and lists them apart."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self._examples = examples
        self._shared = [make() for make in SHARED]
        self.params.extend(self._shared)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for each in self.get_params(ctx):
            record = each.get_help_record(ctx)
            if record is not None and isinstance(each, click.Option):
                (shared if each in self._shared else own).append(record)
        for title, records in (("Options", own), ("Global options", shared)):
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self._examples:
            with formatter.section("Examples"):
                for each in self._examples:
                    formatter.write(f"  {each}\n")
        super().format_epilog(ctx, formatter)


class Command(_Sharing):
    """A command that also takes the global options."""


class Group(_Sharing, click.Group):
    """A group of such commands, shown in the order in which they were added."""

    command_class = Command

    def __init__(self, *args: Any, **options: Any) -> None:
        # Without a command: one line, as for other mistakes, not the whole help.
        super().__init__(*args, no_args_is_help=False, **options)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names in the order of the help page."""
        return list(self.commands)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options, then the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
