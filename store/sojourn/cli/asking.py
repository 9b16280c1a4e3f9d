"""Asking before something is done that cannot be undone."""

from __future__ import annotations

import sys

import click

__all__ = ["confirm"]


def confirm(question: str, *, yes: bool) -> None:
    """Ask on a terminal; elsewhere nobody can answer, so ``--yes`` is needed.

    Raises:
        Abort: the answer is no.
        UsageError: this is no terminal.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        end = "." if "?" in question else "?"  # after the question there may be what to know before one answers
        raise click.UsageError(f"{question}{end} Nobody can be asked here: add --yes", click.get_current_context())
    click.confirm(question, abort=True, err=True)
