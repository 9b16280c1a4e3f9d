"""The command ``sojourn`` itself, and what becomes of the errors of all commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import click

import sojourn.cli.migrating
import sojourn.cli.transfer  # noqa: F401 (both add to the group `archive`)
from sojourn.cli import failures
from sojourn.cli.acl import acl
from sojourn.cli.archive import archive
from sojourn.cli.audit import audit
from sojourn.cli.cleanup import cleanup
from sojourn.cli.completion import completion
from sojourn.cli.config import config
from sojourn.cli.dead import dead
from sojourn.cli.doctor import doctor
from sojourn.cli.ending import delete, end, touch
from sojourn.cli.events import events
from sojourn.cli.inspect import inspect
from sojourn.cli.mcp import mcp
from sojourn.cli.metrics import health, metrics
from sojourn.cli.output import complain
from sojourn.cli.past import history, rehydrate, restore
from sojourn.cli.reading import get, list_
from sojourn.cli.secrets import secrets
from sojourn.cli.shared import Group, State
from sojourn.cli.shell import shell
from sojourn.cli.tenant import tenant
from sojourn.cli.token import rotate, token
from sojourn.cli.top import top
from sojourn.cli.watch import watch
from sojourn.cli.worker import worker
from sojourn.cli.writing import append, create, update
from sojourn.errors import SojournError

__all__ = ["SECTIONS", "cli"]

SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "Sessions": ("create", "get", "list", "update", "append", "touch", "end", "delete", "rotate", "mcp"),
    "Watching": ("events", "watch", "inspect", "top", "history"),
    "Tokens and tenants": ("token", "tenant", "acl"),
    "Archive": ("archive", "audit", "restore", "rehydrate", "secrets"),
    "Operation": ("worker", "doctor", "metrics", "health", "dead", "cleanup"),
    "This machine": ("config", "shell", "completion"),
}
"""Under which title the help lists each command."""


class _ClosedPipe(Exception):
    """Whoever read our output has seen enough."""


class Root(Group):
    """Runs a command, and turns whatever it raises on purpose into one line on stderr and an exit code."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        options["standalone_mode"] = False
        code = self._run(args, *rest, **options)
        sys.exit(code)

    def _run(self, args: Sequence[str] | None, *rest: Any, **options: Any) -> int:
        args = sys.argv[1:] if args is None else list(args)
        as_json = partial(_json_is_wanted, args)
        try:
            code = super().main(args, *rest, **options)
        except SojournError as error:
            complain(error, as_json=as_json())
            return failures.exit_code(error)
        except click.UsageError as error:
            where = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
            complain(error.format_message() + where, code="usage", as_json=as_json())
            return failures.USAGE
        except click.ClickException as error:
            complain(error.format_message(), code="usage", as_json=as_json())
            return failures.USAGE
        except (click.Abort, KeyboardInterrupt):
            return failures.INTERRUPTED
        except _ClosedPipe:
            _discard_output()
            return failures.CLOSED_PIPE
        except OSError as error:  # such as a full disk under the output; the library's own are SojournErrors
            complain(str(error), code="output", as_json=as_json())
            _discard_output()
            return failures.UNAVAILABLE
        return code if isinstance(code, int) else 0

    def invoke(self, ctx: click.Context) -> Any:
        # Caught here because click, further out, would answer a closed pipe itself.
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise _ClosedPipe from None
        return result


def _json_is_wanted(args: Sequence[str]) -> bool:
    """Whether the line asks for JSON; by its words, for it may be the line itself that is no good."""
    wanted = False
    for before, word in zip(("", *args), args, strict=False):
        if word == "--":
            break
        if word == "--json" or word in ("--output=json", "-ojson") or (before in ("-o", "--output") and word == "json"):
            wanted = True
    return wanted


def _discard_output() -> None:
    """Spare the interpreter, which flushes stdout at its end, another closed pipe."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        found = version("sojourn")
    except PackageNotFoundError:
        found = "(not installed)"
    click.echo(f"sojourn {found}")
    context.exit()


@click.group(
    cls=Root,
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version and exit.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    sections=SECTIONS,
    examples=[
        "id=$(sojourn create --owner ada --ttl 30m)",
        "sojourn get $id",
        "sojourn list --status pending --ids | sojourn end -",
    ],
    epilog="Exit codes: 0 done, 1 not found, 2 usage or settings, 3 conflict, 4 unavailable, 5 damaged; of doctor and "
    "health, 6 warnings and 7 what is wrong.\n\n"
    "An ID may be the beginning of one, of at least four characters. A TIME is 2026-01-31T12:00:00Z, or how long ago: "
    "2h, 7d. A DURATION is 45s, 30m, 1h30m, 7d or PT1H30M. Times are shown in UTC.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Create, watch, change and end sessions in Redis, and run their workers."""
    context.call_on_close(context.ensure_object(State).close)


for _command in (
    create, get, list_, update, append, touch, end, delete, rotate, token, events, watch, inspect, top, history,
    restore, rehydrate, mcp, dead, worker, archive, audit, tenant, acl, doctor, health, metrics, cleanup,
    secrets, config, shell, completion,
):  # fmt: skip
    cli.add_command(_command)
