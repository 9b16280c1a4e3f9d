"""What the global options say, and the stores behind them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from sojourn.errors import SojournError, StoreUnavailable

if TYPE_CHECKING:
    from sojourn.client import SessionStore
    from sojourn.codec import Models
    from sojourn.models import Session
    from sojourn.settings import Settings

__all__ = ["Format", "State", "pass_state"]

Format = Literal["table", "json", "csv"]
_PASSWORD: Final = re.compile(r"://[^/@]*:[^/@]+@|password=", re.IGNORECASE)


@dataclass
class State:
    """What the global options say."""

    arguments: dict[str, str] = field(default_factory=dict)
    output: Format = "table"
    _stores: dict[type[Session], SessionStore[Session]] = field(default_factory=dict)

    @property
    def as_json(self) -> bool:
        """Whether JSON is wanted."""
        return self.output == "json"

    @cached_property
    def settings(self) -> Settings:
        """The settings, with what the command line gave over all else.

        Raises:
            SettingsError: they are no good.
        """
        from sojourn.settings import load_settings

        _find_modules_of_the_working_directory()
        found = load_settings(**self.arguments)
        self._warn_of_passwords()
        return found

    def _warn_of_passwords(self) -> None:
        """Others can read a command line, such as with ps: tell whoever typed it."""
        from sojourn.cli.output import hint

        if not sys.stderr.isatty():
            return
        for name, text in self.arguments.items():
            if name.endswith("_url") and _PASSWORD.search(text):
                hint(f"others can read the password in --{name.replace('_', '-')}: put it into SOJOURN_{name.upper()}")

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
            from sojourn.cli.output import complain

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
    here = os.getcwd()  # noqa: PTH109 (sys.path holds strings)
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last, so that nothing there stands in for a library


pass_state = click.make_pass_decorator(State, ensure=True)
