"""What is done to several sessions at once: one that cannot be dealt with does not stop the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import click

from sojourn.cli.failures import exit_code
from sojourn.cli.ids import each_id, whole
from sojourn.cli.output import Cell, complain, hint, on_terminal
from sojourn.cli.progress import bar
from sojourn.cli.shared import State
from sojourn.cli.telling import tell_each
from sojourn.errors import LimitError, SessionError

__all__ = ["deal_with_each"]

T = TypeVar("T")


def deal_with_each(
    state: State, ids: Sequence[str], act: Callable[[str], T], *, done: str, to_json: Callable[[T], Any],
    line: Callable[[T], Sequence[Cell]], resolve: Callable[[State, str], str] = whole,
) -> None:  # fmt: skip
    """Do it to each session, in bounded memory; a line for each, also for those with which it failed.

    Ends the command where some failed, with the worst exit code.

    Args:
        state: which format.
        ids: as they were given; ``-`` stands for those on stdin.
        act: what to do to one; its errors about that session, or about its tenant's limits, are told.
        done: what was done, for the summary: ``ended``.
        to_json: what programs are told of the outcome.
        line: what people are.
        resolve: how an id is made whole.
    """
    counts = {"done": 0, "failed": 0, "code": 0}

    def outcomes() -> Iterator[T]:
        known = None if "-" in ids else len(ids)
        with bar(done, "sessions", quiet=on_terminal()) as progress:
            for session_id in each_id(state, ids, resolve):
                try:
                    outcome = act(session_id)
                except (SessionError, LimitError) as error:
                    complain(error)
                    counts["failed"] += 1
                    counts["code"] = max(counts["code"], exit_code(error))
                else:
                    counts["done"] += 1
                    yield outcome
                if progress is not None:
                    progress(counts["done"] + counts["failed"], known)

    try:
        tell_each(state, outcomes(), to_json, line)
    finally:
        if counts["failed"] and counts["done"] + counts["failed"] > 1:
            hint(f"{counts['done']} {done}, {counts['failed']} not")
    if counts["code"]:
        click.get_current_context().exit(counts["code"])
