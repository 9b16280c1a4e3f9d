"""The role `jobs`: an RQ worker on one queue, which runs the functions in `jobs` and nothing else."""

from __future__ import annotations

import logging
from typing import Any, Final

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, RedisError, TimeoutError  # noqa: A004 - Redis's own
from rq import Queue
from rq.exceptions import AbandonedJobError, StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from structlog.contextvars import bound_contextvars

from sojourn.errors import ArchiveError, SettingsError
from sojourn.settings import Settings, resolve_hook
from sojourn_worker import config
from sojourn_worker.blame import blame_for, once_more, runs_hook, sound, told, without_blame
from sojourn_worker.forking import ForkingWorker
from sojourn_worker.logs import LOG, tell_left_out
from sojourn_worker.presence import Presence
from sojourn_worker.queues import HOOKS, SafeJob, SafeQueue, connect, count, open_queue
from sojourn_worker.stop import Outage, Stop
from sojourn_worker.verdict import Judge

__all__ = ["JobsWorker", "work"]

_WORKER_S: Final = 17
_MONITOR_S: Final = 2
_HEARTBEAT_S: Final = 8
_MAINTENANCE_S: Final = 1
_STUCK: Final = "Job was stuck in intermediate queue."


class JobsWorker(ForkingWorker):
    """RQ's worker, with three differences beside those of `ForkingWorker`.

    It refuses jobs that are not on the allow-list. It notices within some 10 s that a worker has died, and gives the
    job to another without counting that as the job's failure. And it moves jobs to be retried into the queue by itself.
    """

    queue_class = SafeQueue
    job_class = SafeJob

    def __init__(
        self, settings: Settings, queue: SafeQueue, connection: Redis, stop: Stop, presence: Presence | None = None
    ) -> None:
        self._presence = presence
        super().__init__(
            [queue],
            stop,
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
        self._queue = queue
        self._judge = Judge(settings, queue)
        self._error: BaseException | None = None

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

    def _settle(self, job: Job, *, blame: str | None) -> None:
        """Decide whether a job is tried again, and bury what it leaves undone if it is not.

        Buried before the job ends: killed in between, it runs again and finds nothing to do. While Redis tells
        nothing of its events, it does not end.
        """
        stopped = self._stopped_job_id == job.id
        if not stopped and not self._judge.decide(job, self._error, blame=blame):
            once_more(job)
        elif (stopped or not job.should_retry) and not self._judge.give_up(job, self._error, stopped=stopped):
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
                if not without_blame(job, self._judge.in_hand(job)):
                    self._settle(job, blame="its worker ended")
            except (ConnectionError, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001 - one odd job must not keep the others of the dead
                LOG.error("job cannot be looked after", job=job.id, error=error)
        return True

    def run_maintenance_tasks(self) -> None:
        """Recover the jobs of dead workers, and enqueue the jobs whose time to be retried has come.

        And stop here if asked to where the request was swallowed: RQ raises in whatever runs when the signal comes,
        as in a log handler, which lets nothing out.
        """
        if self._stop.requested:
            raise StopRequested
        tell_left_out()
        try:
            super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
            self._queue.enqueue_due()
        except ValueError:  # an id that cannot be read; the next round does the rest
            self._queue.drop_unreadable()


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
