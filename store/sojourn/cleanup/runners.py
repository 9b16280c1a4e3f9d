"""What keeps a cleanup running: a task of an event loop, or a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from sojourn.cleanup.report import Tally
from sojourn.cleanup.schedule import LOG, CleanupScheduler
from sojourn.errors import InvalidInput

__all__ = ["Runner", "TaskRunner", "ThreadRunner", "check_none_runs", "check_timeout"]

_CANCELLED_S: Final = 1.0
"""For so long a task that was cancelled may take to end."""
Stopping = Callable[[], bool]


class Runner(Protocol):
    """What the two have in common."""

    status: CleanupScheduler

    @property
    def runs(self) -> bool:
        """Whether it is still at work."""


def check_none_runs(runner: Runner | None) -> None:
    """Refuse to start a second one.

    Raises:
        InvalidInput: there is one.
    """
    if runner is not None and runner.runs:
        raise InvalidInput(
            f"the cleanup of tenant '{runner.status.tenant}' is running: stop_cleanup_scheduler() before another start"
        )


def check_timeout(timeout_s: float) -> None:
    """Refuse what is no time to wait.

    Raises:
        InvalidInput: it is none.
    """
    if type(timeout_s) not in (int, float) or not 0 <= timeout_s <= threading.TIMEOUT_MAX:
        raise InvalidInput("timeout is a number of seconds from 0 on")


class TaskRunner:
    """Runs `clean` in a task of the running event loop until it is stopped.

    Raises:
        InvalidInput: no event loop is running.
    """

    def __init__(
        self, status: CleanupScheduler, clean: Callable[[CleanupScheduler, Tally, Stopping], Awaitable[object]]
    ) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise InvalidInput("start_cleanup_scheduler() is called where an event loop is running") from None
        self.status = status
        self._clean = clean
        self._stop = asyncio.Event()
        self._task = loop.create_task(self._run(), name=f"sojourn-cleanup-{status.tenant}")
        self._task.add_done_callback(self._ended)

    @property
    def runs(self) -> bool:
        """Whether it is still at work; what a closed loop left is not."""
        return not self._task.done() and not self._task.get_loop().is_closed()

    def _stops(self) -> bool:
        # In Python 3.11 a cancellation may be lost in `wait_for`, by which redis-py connects; the task still knows.
        return self._stop.is_set() or self._task.cancelling() > 0

    async def _run(self) -> None:
        while not self._stops():
            tally = Tally()
            try:
                await self._clean(self.status, tally, self._stops)
            except Exception as error:  # noqa: BLE001 - whatever it is: it is kept and told, and the next run comes
                self.status.failed(error, tally)
            else:
                self.status.succeeded(tally)
            with suppress(TimeoutError):
                async with asyncio.timeout(0 if self._stops() else self.status.pause_s()):
                    await self._stop.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.status.running = False
        error = None if task.cancelled() else task.exception()
        if error is not None:
            LOG.error("cleanup gave up", error=error, tenant=self.status.tenant)

    async def stop(self, timeout_s: float) -> bool:
        """Let it finish the step under way; whether it did within that time. Else it is cancelled."""
        if not self.runs:
            return True
        if self._task.get_loop() is not asyncio.get_running_loop():
            raise InvalidInput("the cleanup is stopped in the event loop in which it was started")
        self._stop.set()
        done, _ = await asyncio.wait({self._task}, timeout=timeout_s)
        if not done:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CANCELLED_S)
        return bool(done)


class ThreadRunner:
    """The same in a thread, which does not keep the process from ending."""

    def __init__(self, status: CleanupScheduler, clean: Callable[[CleanupScheduler, Tally, Stopping], object]) -> None:
        self.status = status
        self._clean = clean
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sojourn-cleanup-{status.tenant}", daemon=True)
        self._thread.start()

    @property
    def runs(self) -> bool:
        """Whether it is still at work; in a process that was forked it is not."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                tally = Tally()
                try:
                    self._clean(self.status, tally, self._stop.is_set)
                except Exception as error:  # noqa: BLE001 - whatever it is: it is kept and told, and the next run comes
                    self.status.failed(error, tally)
                else:
                    self.status.succeeded(tally)
                self._stop.wait(self.status.pause_s())
        finally:
            self.status.running = False

    def stop(self, timeout_s: float) -> bool:
        """Let it finish the step under way; whether it did within that time. Else it ends as soon as it can."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()
