"""What the embedded servers share: choosing a port, waiting until the server answers, ending it."""

from __future__ import annotations

import importlib.util
import signal
import time
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from sojourn.embedded._process import GuardedProcess, free_port, log_tail
from sojourn.embedded.errors import EmbeddedMissing, PortInUse, ServerFailed

__all__ = ["EmbeddedServer", "wheel_directory"]

_POLL_S = 0.01
_PORT_ATTEMPTS = 10


def wheel_directory(package: str) -> Path:
    """Return the folder of an installed package without importing it (both wheels do much work on import).

    Raises:
        EmbeddedMissing: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise EmbeddedMissing(f"{package} is missing: pip install 'sojourn[embedded]'")
    return Path(spec.origin).parent


class EmbeddedServer(ABC):
    """A real server process of one's own on 127.0.0.1, in a folder of its own.

    Not for several threads at once. It ends with :meth:`stop`, at the end of a ``with`` block, or with its
    owner.
    """

    def __init__(self, directory: Path, deadline_s: float) -> None:
        self.directory = directory
        self.port = 0
        self._deadline_s = deadline_s
        self._process: GuardedProcess | None = None
        self._log_offset = 0

    @property
    def log(self) -> Path:
        """The file that the server writes its log to; it grows over restarts."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The server's process id.

        Raises:
            ServerFailed: it is not running.
        """
        return self._running_process().pid

    @property
    def running(self) -> bool:
        """Whether the process is there (frozen ones included)."""
        return self._process is not None and self._process.running

    def stop(self) -> None:
        """Stop gracefully, with SIGKILL where that takes too long, and wait. Does nothing when it has ended.

        Raises:
            ServerFailed: it is still there after SIGKILL.
        """
        if self._process is not None:
            self._process.close()
            self._process = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal that ends it (default SIGKILL: a crash) and wait until it and its children are gone.

        Raises:
            ServerFailed: it was not running, or the signal did not end it.
        """
        self._running_process().kill(number)
        self._process = None

    def pause(self) -> None:
        """Freeze it (SIGSTOP): connections are accepted by the kernel and stay open, nothing answers.

        Raises:
            ServerFailed: it is not running.
        """
        self._running_process().pause()

    def resume(self) -> None:
        """Undo :meth:`pause`.

        Raises:
            ServerFailed: it is not running.
        """
        self._running_process().resume()

    def restart(self, *, keep_port: bool = True) -> None:
        """Stop it where it runs, and start it on the same data, by default on the same port.

        Raises:
            PortInUse: another process took the port meanwhile.
            ServerFailed: it did not come up.
        """
        self.stop()
        self._launch(self.port if keep_port else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _running_process(self) -> GuardedProcess:
        if self._process is None or not self._process.running:
            raise ServerFailed(f"the server in {self.directory} is not running", log_tail=log_tail(self.log))
        return self._process

    def _launch(self, port: int | None) -> None:
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            try:
                self._launch_on(port or free_port())
            except PortInUse:
                # Between finding a port free and binding it, somebody else may have been quicker.
                if port is not None or attempt == _PORT_ATTEMPTS:
                    raise
            else:
                return

    def _launch_on(self, port: int) -> None:
        self.port = port
        self._log_offset = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn()
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, process: GuardedProcess) -> None:
        deadline = time.monotonic() + self._deadline_s
        while time.monotonic() < deadline:
            if not process.running:
                tail = log_tail(self.log, offset=self._log_offset)
                if "Address already in use" in tail:
                    raise PortInUse(f"port {self.port} is in use", log_tail=tail)
                raise ServerFailed(f"the server in {self.directory} ended at once", log_tail=tail)
            if self._ready(process.pid):
                return
            time.sleep(_POLL_S)
        raise ServerFailed(
            f"the server in {self.directory} did not answer within {self._deadline_s:.0f} s",
            log_tail=log_tail(self.log, offset=self._log_offset),
        )

    @abstractmethod
    def _spawn(self) -> GuardedProcess:
        """Start the process for ``self.port``."""

    @abstractmethod
    def _ready(self, pid: int) -> bool:
        """Whether process ``pid`` itself, not another one on its port, serves requests."""
