"""``sojourn worker``."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

import click

from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.shapes import Text
from sojourn.cli.shared import Command, State, pass_state
from sojourn.settings import Settings

__all__ = ["worker"]

_ROLES: Final = {
    "listen": "listen",
    "dispatch": "dispatch",
    "hooks": "jobs:hooks",
    "archive": "jobs:archive",
    "schedule": "schedule",
}
"""Roles as they are called here, and in the library."""


@click.command(
    cls=Command, output=Text("logs"), examples=["sojourn worker", "sojourn worker --role listen --role dispatch"]
)
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(tuple(_ROLES)), help="Only this role; may be repeated."
)
@click.option("--lifeline", is_flag=True, help="Stop when standard input ends, as when whoever holds it dies.")
@pass_state
def worker(state: State, roles: tuple[str, ...], lifeline: bool) -> None:
    """Run the workers: all roles, or those that are named.

    Several roles run under a supervisor, one alone in this very process: listen claims sessions whose deadline has
    passed, dispatch hands events to hooks, hooks runs them, archive writes sessions to the archive, and schedule
    enqueues what is done at intervals.
    """
    settings = state.settings
    wanted = [_ROLES[each] for each in roles]
    with needs_worker_extra():
        # Here rather than in each role's process, which the supervisor would start again and again.
        for package in _packages(settings, wanted):
            importlib.import_module(package)
        from sojourn_worker.lifeline import end_with_stdin
        from sojourn_worker.supervise import run_role, supervise
    if lifeline:
        # The supervisor sees to its own end; a role alone may have a job in hand that does not.
        end_with_stdin(settings.drain_timeout if len(wanted) == 1 else None)
    code = run_role(wanted[0], settings) if len(wanted) == 1 else supervise(settings, wanted)
    click.get_current_context().exit(code)


def _packages(settings: Settings, roles: Sequence[str]) -> list[str]:
    """What the roles import beyond the client's own needs."""
    if list(roles) == ["listen"]:
        return []
    archive = ["psycopg"] if settings.archive_url is not None else []
    return ["rq", "rq_scheduler", *archive]
