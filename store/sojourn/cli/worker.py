"""``sojourn worker``."""

from __future__ import annotations

from typing import Final

import click

from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.shared import Command, State, pass_state

__all__ = ["worker"]

_ROLES: Final = {
    "listen": "listen",
    "dispatch": "dispatch",
    "hooks": "jobs:hooks",
    "archive": "jobs:archive",
    "schedule": "schedule",
}
"""Roles as they are called here, and in the library."""


@click.command(cls=Command, examples=["sojourn worker", "sojourn worker --role listen"])
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(tuple(_ROLES)), help="Only this role; may be repeated."
)
@pass_state
def worker(state: State, roles: tuple[str, ...]) -> None:
    """Run the workers: all roles, or those that are named.

    Several roles run under a supervisor, one alone in this very process: listen claims sessions whose deadline has
    passed, dispatch hands events to hooks, hooks runs them, archive writes sessions to the archive, and schedule
    enqueues what is done at intervals.
    """
    settings = state.settings
    with needs_worker_extra():
        from sojourn_worker.supervise import run_role, supervise
    wanted = [_ROLES[each] for each in roles]
    code = run_role(wanted[0], settings) if len(wanted) == 1 else supervise(settings, wanted)
    click.get_current_context().exit(code)
