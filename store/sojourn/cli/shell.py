"""``sojourn shell``."""

from __future__ import annotations

import code
import sys
import traceback
from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.shapes import Text
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.terminal import plain

if TYPE_CHECKING:
    from sojourn.models import Session

__all__ = ["shell"]


@click.command(
    cls=Command,
    output=Text("what the code prints"),
    examples=[
        "sojourn shell",
        """sojourn shell -c 'print(store.count(status="pending"))'""",
        "sojourn shell --tenant acme < script.py",
    ],
)
@click.option("-c", "given", metavar="CODE", help="Run this, and end.")
@click.option("--plain", "without_ipython", is_flag=True, help="Python's own prompt, even where IPython is installed.")
@pass_state
def shell(state: State, given: str | None, without_ipython: bool) -> None:
    """Open Python with a store ready.

    In it are store, settings, sojourn, and the models by their names; it tells what there is. What is done in it is
    done by the actor cli:USER, unless --actor names another. Code from -c or stdin is run, and an error in it ends it
    with 1. IPython is used where it is installed.
    """
    names = _names(state)
    if given is not None:
        _run(given, "<string>", names)
    elif not sys.stdin.isatty():
        _run(sys.stdin.read(), "<stdin>", names)
    elif without_ipython or not _in_ipython(_banner(state, names), names):
        _interact(_banner(state, names), names)


def _names(state: State) -> dict[str, Any]:
    """What the code finds there."""
    from datetime import UTC, datetime, timedelta

    import sojourn

    models = {each.__name__: each for each in _models(state)}
    return {
        "__name__": "__main__", "__doc__": None, "UTC": UTC, "datetime": datetime, "timedelta": timedelta, **models,
        "sojourn": sojourn, "settings": state.acting, "store": state.store,
    }  # fmt: skip


def _models(state: State) -> list[type[Session]]:
    known = state.models
    return [known.codec(kind).model for kind in known.kinds]


def _banner(state: State, names: dict[str, Any]) -> str:
    from sojourn.settings import masked

    settings = state.acting
    models = ", ".join(each.__name__ for each in _models(state) if each.__name__ in names)
    lines = (
        f"Python {sys.version.split()[0]}, Sojourn at {masked(settings.redis_url)}, acting as {settings.actor}",
        f"  store     the sessions of tenant {settings.tenant}; store.for_tenant(NAME) for another's",
        "  settings  all settings; sojourn  the library; datetime, timedelta, UTC",
        f"  models    {models}: sojourn.SessionStore(settings=settings, model=...) knows their own fields",
    )
    return "\n".join(map(plain, lines))


def _run(source: str, where: str, names: dict[str, Any]) -> None:
    """Run code as Python does a script: what it raises is shown whole, and its exit code is ours."""
    try:
        exec(compile(source, where, "exec"), names)  # noqa: S102 - that is what it is for
    except (SystemExit, KeyboardInterrupt, BrokenPipeError):
        raise
    except BaseException as error:  # noqa: BLE001 - whatever it is
        own = error.__traceback__
        traceback.print_exception(error.with_traceback(None if own is None else own.tb_next))
        click.get_current_context().exit(1)


def _in_ipython(banner: str, names: dict[str, Any]) -> bool:
    """Whether there was an IPython to talk to."""
    try:
        import IPython
        from traitlets.config import Config
    except ImportError:
        return False
    config = Config()
    config.TerminalInteractiveShell.banner1 = banner + "\n"
    config.TerminalIPythonApp.display_banner = True
    IPython.start_ipython(argv=[], user_ns=names, config=config)
    return True


def _interact(banner: str, names: dict[str, Any]) -> None:
    try:
        import readline
        import rlcompleter
    except ImportError:  # not everywhere
        pass
    else:
        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner=banner, local=names, exitmsg="")
