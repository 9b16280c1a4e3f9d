"""Ending with whoever started this process: a pipe to standard input ends when they do, even if they are killed."""

from __future__ import annotations

import os
import signal
import threading

__all__ = ["end_with_stdin"]


def end_with_stdin(exit_after_s: float | None = None) -> None:
    """Stop as at SIGTERM once standard input ends, and exit so long after that at the latest."""
    threading.Thread(target=_wait, args=(exit_after_s,), daemon=True).start()


def _wait(exit_after_s: float | None) -> None:
    while os.read(0, 4096):
        pass
    # To the thread that handles signals: sent to the process, it may not wake that one from what it waits for.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    if exit_after_s is not None:
        timer = threading.Timer(exit_after_s, os._exit, args=(1,))
        timer.daemon = True
        timer.start()
