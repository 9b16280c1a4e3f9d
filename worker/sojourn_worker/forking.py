"""Processes of an RQ worker: the child in which a job runs, the signals that reach both, and how they stop."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence
from resource import struct_rusage
from types import FrameType
from typing import Any, Final

from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError, StopRequested
from rq.job import Job

from sojourn_worker.logs import LOG
from sojourn_worker.stop import Outage, Stop

__all__ = ["ForkingWorker"]

_ONE_REQUEST_S: Final = 1.0
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class ForkingWorker(Worker):
    """RQ's worker, with three differences in its processes.

    Its child, in which a job runs, ends with it. It waits for that child's end even while Redis is away. And it stops
    at the first signal once the job in hand is done, and at the second puts that job back.

    Args:
        queues: where its jobs come from.
        stop: what tells of a signal that came while RQ's handlers were not in place.
        options: what else RQ's worker takes.
    """

    def __init__(self, queues: Sequence[Queue], stop: Stop, **options: Any) -> None:
        super().__init__(queues, **options)
        self._stop = stop
        self._hurry = False
        self._lifeline: int | None = None
        self._theirs = -1
        self._asked = (0, 0.0)
        self._ended: tuple[int | None, int | None, struct_rusage | None] | None = None

    # The child

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Start the child that runs a job. It holds one end of a pipe; when the other goes with us, so does it.

        Signals wait meanwhile: our handlers are not for the child, and it has its own in a moment.
        """
        self._theirs, self._lifeline = os.pipe()
        _hold_signals()
        try:
            super().fork_work_horse(job, queue)
        finally:
            _let_signals()
        os.close(self._theirs)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """What the child does."""
        if self._lifeline is not None:
            os.close(self._lifeline)
            threading.Thread(target=_die_with, args=(self._theirs,), daemon=True).start()
        super().main_work_horse(job, queue)

    def setup_work_horse_signals(self) -> None:
        """Leave stopping to the parent, which kills this child if need be: a supervisor may signal all processes.

        With a handler that does nothing, as what is ignored is so in the programs that a hook starts, too. What it
        forks takes signals as any process does.
        """
        for number in _STOPPING:
            signal.signal(number, _leave_it_to_the_parent)
            signal.siginterrupt(number, False)
        os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals, after_in_child=_take_signals)
        _let_signals()

    def wait_for_horse(self) -> tuple[int | None, int | None, struct_rusage | None]:
        """Wait for the child's end. How it ended is kept: it can be asked for only once, and Redis may be away then."""
        if self._ended is None:
            self._ended = super().wait_for_horse()
        return self._ended

    def monitor_work_horse(self, job: Job, queue: Queue) -> None:
        """Wait for the child, and for Redis, should it be away meanwhile.

        RQ's worker would quit then; its job would count as running until its last sign of life is old enough.
        """
        self._ended = None
        outage = Outage("the queues' Redis")
        try:
            while True:
                try:
                    if outage.lasts:
                        # What a try that came to nothing has noted in the job is not so. It may be done, and gone.
                        with contextlib.suppress(NoSuchJobError):
                            job.refresh()  # type: ignore[no-untyped-call]
                    super().monitor_work_horse(job, queue)
                except RedisError as error:
                    if self._hurry:
                        raise
                    time.sleep(outage.failed(error))
                else:
                    outage.over()
                    break
        finally:
            if self._lifeline is not None:
                os.close(self._lifeline)
                self._lifeline = None
            self._ended = None

    @property
    def _was_stopped_with_us(self) -> bool:
        """Whether the child ended by the signal that asked all of us to stop."""
        status = self._ended[1] if self._ended is not None else None
        signalled = status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) in _STOPPING
        return signalled and self._stop.requested

    # Stopping

    def check_for_suspension(self, burst: bool) -> None:
        """Stop here if asked to before the handlers of signals were in place."""
        if self._stop.requested:
            raise StopRequested
        super().check_for_suspension(burst)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """At the first signal: finish the job in hand, take no other."""
        self._stop.request()
        self._asked = (signum, time.monotonic())
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """At the second: put the job in hand back into the queue.

        The same signal within a second is the same request: it came from the supervisor and from the system.
        """
        del frame
        first, at_s = self._asked
        if signum == first and time.monotonic() - at_s < _ONE_REQUEST_S:
            LOG.info("was asked to stop already")
            return
        self._hurry = True
        if not self.horse_pid:
            raise SystemExit(1)
        LOG.warning("job goes back to its queue")
        self.kill_horse()


def _leave_it_to_the_parent(signum: int, frame: FrameType | None) -> None:
    """Do nothing."""


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _take_signals() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _let_signals()


def _die_with(pipe: int) -> None:
    """Wait for the pipe's other end to go, then end this process and all that the job started."""
    os.read(pipe, 1)
    os.killpg(os.getpgrp(), signal.SIGKILL)
