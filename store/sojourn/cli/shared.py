"""What all commands share: the global options, wherever on the line they stand, and the store behind them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.output import complain
from sojourn.errors import SojournError, StoreUnavailable

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
        from sojourn_worker.logs import set_up_command

        _find_modules_of_the_working_directory()
        settings = load_settings(**self.arguments)
        set_up_command(settings)
        return settings

    @cached_property
    def models(self) -> Models:
        """The models that the settings name, and the ready ones.

        Raises:
            SettingsError, InvalidModel: one of them is no good.
        """
        return self.settings.load_models()

    @cached_property
    def acting(self) -> Settings:
        """The settings, in which somebody acts: where they name nobody, the user of this machine."""
        settings = self.settings
        return settings if settings.actor else settings.model_copy(update={"actor": f"cli:{_user()}"})

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
            self._stores[model] = SessionStore(settings=self.acting, model=model)
        return self._stores[model]

    def tell(self, action: str, **detail: Any) -> None:
        """Tell the audit what was done, as ``noun.verb``. Where that fails it stays done, and is complained of."""
        try:
            self.store.administered(action, **detail)
        except SojournError as error:
            complain(f"the audit trail could not be told of {action}: {error}")

    @contextmanager
    def telling(self, action: str, **detail: Any) -> Iterator[dict[str, Any]]:
        """Tell the audit what the block does, when it has; it may add to the detail. A failure is told, too."""
        try:
            yield detail
        except StoreUnavailable:  # there is nobody to tell
            raise
        except BaseException as error:
            self.tell(action, **detail, failed=type(error).__name__)
            raise
        self.tell(action, **detail)

    def close(self) -> None:
        """Close the connections of its stores."""
        for each in self._stores.values():
            each.close()


def _user() -> str:
    """Whoever the operating system says that this process belongs to, whatever the environment says."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except ImportError:  # not on Windows
        import getpass

        return getpass.getuser()
    except KeyError:  # as in containers that run under any number
        return str(os.getuid())


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
    lambda: _option(["--actor"], metavar="NAME", help="Who acts, for the audit.  [default: cli:USER]"),
    lambda: _option(["--trace", "--trace-id", "trace_id"], metavar="ID", help="In which trace, for the audit."),
    lambda: _option(["--json", "as_json"], is_flag=True, help="Print JSON, for programs."),
)
"""The global options; each command and group takes them too, so that they may stand anywhere."""


class _Sharing(click.Command):
    """Adds the global options to a command's own, and lists them apart."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self._examples = examples
        own = {name for each in self.params for name in each.opts}  # which go before global ones of the same name
        self._shared = [each for each in (make() for make in SHARED) if own.isdisjoint(each.opts)]
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
