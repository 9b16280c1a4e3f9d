"""Telling in Redis that a role is there, and which of its settings must agree with others'."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sojourn.clients import TELL_EVERY_S, tell_client
from sojourn.errors import SojournError
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport
from sojourn_worker.logs import LOG

__all__ = ["Presence", "present"]

_PATIENCE_S: Final = 1.0
_LOOK_S: Final = 1.0
_LEAVE_S: Final = 0.2


class Presence:
    """One role's sign of life, at most every few seconds; a Redis that is away is no trouble of it.

    Args:
        settings: the role's.
        role: its name.
    """

    def __init__(self, settings: Settings, role: str) -> None:
        self._settings = settings
        self._role = role
        self._pid = os.getpid()
        self._transport = Transport(
            settings.model_copy(update={"retries": 0, "socket_timeout": min(settings.socket_timeout, _PATIENCE_S)})
        )
        self._tell_at = 0.0
        self._is_told = False

    def tell(self) -> None:
        """Tell it, if it is time to; not in a child that inherited this."""
        now = time.monotonic()
        if now >= self._tell_at and os.getpid() == self._pid:
            self._tell_at = now + TELL_EVERY_S
            self._say(leaves=False)

    def leave(self) -> None:
        """Tell that the role ends."""
        if os.getpid() == self._pid:
            if self._is_told:  # else Redis is away, and stopping must not wait for it
                self._say(leaves=True)
            self._transport.close()

    def _say(self, *, leaves: bool) -> None:
        try:
            self._transport.execute([tell_client(self._settings, self._role, leaves=leaves)])
            self._is_told = True
        except SojournError as error:
            self._is_told = False
            LOG.debug("sign of life cannot be told", error=error)


@contextmanager
def present(settings: Settings, role: str) -> Iterator[None]:
    """Tell it from a thread of its own while the block runs. Not for a process that forks: see `Presence`."""
    presence = Presence(settings, role)
    over = threading.Event()

    def keep_telling() -> None:
        presence.tell()
        while not over.wait(_LOOK_S):
            presence.tell()

    thread = threading.Thread(target=keep_telling, name="presence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LEAVE_S)
        presence.leave()
