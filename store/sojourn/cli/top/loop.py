"""The live view: reads, draws, and does what keys and signals say."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from rich.console import Console, Group
from rich.live import Live

from sojourn.cli.terminal import in_colour
from sojourn.cli.top.keys import Terminal
from sojourn.cli.top.look import Look, pressed
from sojourn.cli.top.reading import Reader
from sojourn.cli.top.view import frame
from sojourn.settings import Settings

__all__ = ["watch_live"]

_SIGNALLED: Final = 128
"""What shells add to the number of the signal that ended a process."""


def watch_live(settings: Settings, look: Look) -> int:
    """Show frames on the terminal's other screen until asked to end; the exit code."""
    console = Console(no_color=not in_colour(), highlight=False, markup=False, emoji=False)
    with ExitStack() as stack:
        terminal = stack.enter_context(Terminal())
        reader = Reader(settings, look.interval_s, terminal.wake)
        stack.callback(reader.stop)
        live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False,
            vertical_overflow="crop",
        )  # fmt: skip
        stack.callback(live.stop)  # also where it is stopped already
        live.start()
        reader.start()
        while not look.done and terminal.ended_by is None:
            if reader.failed is not None:
                raise reader.failed
            size = console.size
            live.update(Group(*frame(reader.latest, look, size.width, size.height)), refresh=True)
            for key in terminal.keys(None):
                look = pressed(look, key)
            reader.change(look.interval_s, paused=look.paused)
            if terminal.suspends:
                live.stop()
                terminal.suspend()
                live.start()
    return 0 if terminal.ended_by is None else _SIGNALLED + terminal.ended_by
