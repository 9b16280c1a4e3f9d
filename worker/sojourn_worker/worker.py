"""The role `jobs`: an RQ worker on one queue, which runs the functions in `jobs` and nothing else."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from resource import struct_rusage
from types import FrameType
from typing import Any, Final

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, RedisError, TimeoutError  # noqa: A004 - Redis's own
from rq import Queue, Worker
from rq.exceptions import AbandonedJobError, NoSuchJobError, StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from structlog.contextvars import bound_contextvars

from sojourn.errors import ArchiveError, SettingsError, SojournError, StoreError
from sojourn.logs import place_of
from sojourn.operations.dead import check_hook
from sojourn.settings import Settings, resolve_hook
from sojourn_worker import config
from sojourn_worker.blame import blame_for, once_more, runs_hook, sound, told, without_blame
from sojourn_worker.burial import NO_SUCH_HOOK, bury_event, bury_unreadable, scope
from sojourn_worker.hooks import HookFailed, HookHeldUp
from sojourn_worker.logs import LOG, tell_left_out
from sojourn_worker.presence import Presence
from sojourn_worker.queues import (
    HOOKS,
    RUN_HOOK,
    SafeJob,
    SafeQueue,
    backoff,
    connect,
    count,
    noted,
    notes,
    open_queue,
)
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.stop import Outage, Stop
from sojourn_worker.tries import readable, standing, states

__all__ = ["JobsWorker", "work"]

_WORKER_S: Final = 17
_MONITOR_S: Final = 2
_HEARTBEAT_S: Final = 8
_MAINTENANCE_S: Final = 1
_ONE_REQUEST_S: Final = 1.0
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)
_STUCK: Final = "Job was stuck in intermediate queue."


class JobsWorker(Worker):
    """RQ's worker, with four differences.

    It refuses jobs that are not on the allow-list. It notices within some 10 s that a worker has died, and gives the
    job to another without counting that as the job's failure. It moves jobs to be retried into the queue by
    itself. And its child, in which a job runs, ends with it.
    """

    queue_class = SafeQueue
    job_class = SafeJob

    def __init__(
        self, settings: Settings, queue: SafeQueue, connection: Redis, stop: Stop, presence: Presence | None = None
    ) -> None:
        self._presence = presence
        super().__init__(
            [queue],
            connection=connection,
            exception_handlers=[self._abandoned],
            maintenance_interval=_MAINTENANCE_S,
            worker_ttl=_WORKER_S,
            job_monitoring_interval=_MONITOR_S,
            job_class=SafeJob,
            queue_class=SafeQueue,
            log_job_description=False,
            serializer=JSONSerializer,
        )
        self._settings = settings
        self._stop = stop
        self._hurry = False
        self._error: BaseException | None = None
        self._lifeline: int | None = None
        self._theirs = -1
        self._asked = (0, 0.0)
        self._ended: tuple[int | None, int | None, struct_rusage | None] | None = None

    @property
    def dequeue_timeout(self) -> int:
        """Seconds to wait for a job before looking after the dead and the retries."""
        return 1

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Give a sign of life."""
        super().heartbeat(timeout, pipeline)
        if self._presence is not None:
            self._presence.tell()

    def get_heartbeat_ttl(self, job: Job) -> int:
        """Seconds without a sign of life after which a job's worker counts as dead."""
        del job
        return _HEARTBEAT_S

    # What may run

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Run a job in a child process, if it may run."""
        if self._refuses(job, queue):
            return
        super().execute_job(job, queue)

    def perform_job(self, job: Job, queue: Queue) -> bool:
        """Run a job in this process, if it may run. Every line that is logged meanwhile names it."""
        if self._refuses(job, queue):
            return False
        with bound_contextvars(job=job.id, hook=self._hook_of(job)):
            return super().perform_job(job, queue)

    def _hook_of(self, job: Job) -> str | None:
        """The hook that a job runs; None if there is none of that name. Anyone may have written it there."""
        given: Any = job.args if runs_hook(job) else ()
        named = isinstance(given, list | tuple) and given and isinstance(given[0], str)
        return given[0] if named and given[0] in self._settings.hooks else None

    def _refuses(self, job: Job, queue: Queue) -> bool:
        reason = job.refusal if isinstance(job, SafeJob) else "it was not read as it must be"
        if reason is None:
            return False
        LOG.error("job refused", job=job.id, reason=reason)
        count(self.connection, "refused_jobs")
        job.retries_left = None
        job.webhooks = []
        self.handle_job_failure(job, queue, exc_string=f"refused: {reason}")
        queue.intermediate_queue.remove(job.id)
        return True

    # Failures and deaths

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        """Tell of a failed job in one line, without its arguments and without its error's text unless it is ours."""
        self._error = exc_info[1]

    def handle_job_failure(
        self, job: Job, queue: Queue, started_job_registry: Any = None, exc_string: str = ""
    ) -> None:
        """Have a failed job tried again, or give it up."""
        if self._error is not None:
            exc_string = told(self._error)  # RQ's text of it may hold what the hook was working on
        spared = self._hurry or exc_string == _STUCK or self._was_stopped_with_us
        if not (spared and without_blame(job)):
            self._settle(job, blame=blame_for(self._error))
        if job.should_retry:  # else it was told that it is given up
            self._tell_failed(job, exc_string)
        super().handle_job_failure(job, queue, started_job_registry, exc_string)

    def _tell_failed(self, job: Job, reason: str) -> None:
        """Tell of a failed job in one line, without its arguments and without its error's text unless it is ours."""
        # That the archive is away is told once, by its runs.
        LOG.log(
            logging.DEBUG if isinstance(self._error, ArchiveError) else logging.WARNING, "job failed", job=job.id,
            error=self._error, reason=None if self._error else reason,
            again_in_s=job.get_retry_interval() if sound(job.retry_intervals) else None, retries_left=job.retries_left,
        )  # fmt: skip

    @property
    def _was_stopped_with_us(self) -> bool:
        """Whether the child ended by the signal that asked all of us to stop."""
        status = self._ended[1] if self._ended is not None else None
        signalled = status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) in _STOPPING
        return signalled and self._stop.requested

    def _settle(self, job: Job, *, blame: str | None) -> None:
        """Decide whether a job is tried again, and bury what it leaves undone if it is not.

        Buried before the job ends: killed in between, it runs again and finds nothing to do. While Redis tells
        nothing of its events, it does not end.
        """
        stopped = self._stopped_job_id == job.id
        if not stopped and not self._judge(job, blame=blame):
            once_more(job)
        elif (stopped or not job.should_retry) and not self._give_up(job, stopped=stopped):
            self._stopped_job_id = None
            once_more(job)

    def _abandoned(self, job: Job, *exc_info: Any) -> bool:
        """RQ found a job whose worker died."""
        if exc_info[0] is AbandonedJobError:
            LOG.warning("job lost its worker", job=job.id)
            count(self.connection, "lost_workers")
            try:
                if not sound(job.retry_intervals):
                    job.retry_intervals = None
                if not without_blame(job, self._in_hand(job)):
                    self._settle(job, blame="its worker ended")
            except (ConnectionError, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001 - one odd job must not keep the others of the dead
                LOG.error("job cannot be looked after", job=job.id, error=error)
        return True

    def _in_hand(self, job: Job) -> str | None:
        """The event that a job had in hand when it ended; None if it had none, or nobody can tell."""
        if not runs_hook(job):
            return None
        link = RedisLink(self._settings)
        try:
            name, raws = job.args
            events, _ = readable(self._settings, raws)
            found = states(link, scope(self._settings, check_hook(name)), events)
        except (SojournError, ValueError, TypeError, KeyError) as error:
            LOG.debug("events of a job cannot be told apart", job=job.id, error=error)
            return None
        finally:
            link.close()
        for event, (done, holder, _) in zip(events, found, strict=True):
            if not done and holder == job.id:
                return event.id
        return None

    def _judge(self, job: Job, *, blame: str | None) -> bool:
        """Decide whether a hook's job is tried again: by its events, of which each has retries of its own.

        The job's own retries are for tries in which nothing became of any event, as where its hook is missing.

        Returns:
            Whether that is decided; not while the sessions' Redis is away or full.
        """
        if not runs_hook(job):
            return True
        if isinstance(self._error, StoreError):
            return False
        link = RedisLink(self._settings)
        try:
            name, raws = job.args
            hook = self._settings.hooks[name]
            events, _ = readable(self._settings, raws)
            found = standing(link, self._settings, name, events, job.id, blame=blame)
        except StoreError as error:
            LOG.warning("events of a job cannot be told apart yet", job=job.id, error=error)
            return False
        except (SojournError, ValueError, TypeError, KeyError) as error:
            LOG.debug("events of a job cannot be told apart", job=job.id, error=error)
            return True
        finally:
            link.close()
        aside = self._error.aside if isinstance(self._error, HookFailed) else ()
        held_up = isinstance(self._error, HookHeldUp)
        over = not found.waiting and (found.given_up or isinstance(self._error, HookFailed))
        if over or (held_up and not found.ready):
            job.retries_left = None
        elif held_up or found.mark > noted(job, "mark"):
            notes(job).pop("away", None)
            notes(job)["mark"] = found.mark
            job.retries_left = (job.retries_left or 0) + 1
            job.retry_intervals = [found.pause_s(aside)]
        else:
            retry = backoff(hook.retries)
            job.retry_intervals = retry.intervals if retry is not None else None
        return True

    def _give_up(self, job: Job, *, stopped: bool = False) -> bool:
        """The end of a job that failed for the last time, before it goes to RQ's registry of failed jobs.

        The one place through which every event passes that a job leaves undone: they are buried, except those that
        another job has in hand. Whether that is done; where it is not, the job must not end.
        """
        if not isinstance(job, SafeJob) or job.refusal is not None:
            return True  # it never ran
        if job.func_name != RUN_HOOK:
            LOG.error("job given up", job=job.id, error=self._error)
            return True
        link = RedisLink(self._settings)
        try:
            name, raws = job.args
            if name not in self._settings.hooks:
                count(self.connection, "refused_jobs")
            left = self._bury_rest(link, job.id, check_hook(name), raws, stopped=stopped)
        except StoreError as error:
            LOG.warning("events of a job cannot be buried yet", job=job.id, error=error)
            return False
        except (SojournError, ValueError, TypeError) as error:
            # The error may tell what others wrote there.
            reason = f"it holds nothing that can be kept ({type(error).__name__})"
            LOG.error("job given up", job=job.id, reason=reason)
        else:
            LOG.error("job given up", hook=name, job=job.id, error=self._error, buried=left)
        finally:
            link.close()
        return True

    def _bury_rest(self, link: RedisLink, job_id: str, name: str, raws: Any, *, stopped: bool) -> list[str]:
        """Bury what a job leaves undone and no other job has in hand; the events' ids."""
        if name not in self._settings.hooks:
            reason = NO_SUCH_HOOK
        elif stopped:
            reason = "its job was stopped"
        elif isinstance(self._error, HookHeldUp):
            reason = "a job that is gone had it in hand"
        elif self._error is None:
            reason = "its job was given up"
        else:
            reason = f"its job was given up: {place_of(self._error)}"
        events, unreadable = readable(self._settings, raws)
        bury_unreadable(link, self._settings, name, unreadable, job_id)
        left = []
        for event, (done, _, tries) in zip(events, states(link, scope(self._settings, name), events), strict=True):
            token = job_id
            while not done:
                burial = bury_event(link, self._settings, name, event, job=token, tries=tries, reason=reason)
                if burial.outcome == "buried":
                    left.append(event.id)
                # Of a job that is gone nobody else will see to its event.
                if burial.outcome != "held" or any(each.holds(burial.holder) for each in self._safe_queues):
                    break
                token = burial.holder
        return left

    @property
    def _safe_queues(self) -> list[SafeQueue]:
        return [queue for queue in self.queues if isinstance(queue, SafeQueue)]

    def run_maintenance_tasks(self) -> None:
        """Recover the jobs of dead workers, and enqueue the jobs whose time to be retried has come.

        And stop here if asked to where the request was swallowed: RQ raises in whatever runs when the signal comes,
        as in a log handler, which lets nothing out.
        """
        if self._stop.requested:
            raise StopRequested
        tell_left_out()
        queues = self._safe_queues
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
            for queue in queues:
                queue.enqueue_due()
        except ValueError:  # an id that cannot be read; the next round does the rest
            for queue in queues:
                queue.drop_unreadable()

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


def work(settings: Settings, stop: Stop, kind: str) -> int:
    """Run jobs of the queue for `hooks` or for `archive` until asked to stop; the exit code."""
    config.use(settings)
    if kind == HOOKS:
        _preload(settings)
    connection = connect(settings)
    queue = open_queue(settings, kind, connection)
    outage = Outage("the queues' Redis")
    presence = Presence(settings, f"jobs:{kind}")
    LOG.info("working on queue", queue=queue.name)
    while not stop.requested:
        try:
            JobsWorker(settings, queue, connection, stop, presence).work(logging_level=None)
        except RedisError as error:
            stop.install()
            stop.wait(outage.failed(error))
            continue
        stop.install()
        if not stop.requested:
            # RQ's worker ends when Redis stays away; the next one takes up what this one left.
            stop.wait(outage.failed(ConnectionError("the RQ worker ended")))
    presence.leave()
    connection.close()
    return 0


def _preload(settings: Settings) -> None:
    """Import the hooks once here rather than in the child of each job; tell early of those that cannot be."""
    for name, hook in settings.hooks.items():
        try:
            resolve_hook(hook.function)
        except SettingsError as error:
            LOG.error("hook cannot be imported", hook=name, error=error)
