"""The role `schedule`: enqueues the periodic jobs, each at most once at a time, whatever dies meanwhile."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from redis import Redis
from redis.exceptions import (  # Redis's own
    ConnectionError,  # noqa: A004
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004
    WatchError,
)
from rq import Retry
from rq.exceptions import DuplicateJobError
from rq_scheduler.scheduler import Scheduler

from sojourn.jobqueues import SCHEDULER_SEEN
from sojourn.keys import queue_counts
from sojourn.settings import Settings
from sojourn_worker.logs import LOG, tell_left_out
from sojourn_worker.queues import (
    ARCHIVE,
    HOOKS,
    RUN_ARCHIVE,
    RUN_RETENTION,
    RUN_SWEEP,
    SafeJob,
    SafeQueue,
    connect,
    count,
    open_queue,
)
from sojourn_worker.stop import Outage, Stop

__all__ = ["Periodic", "PeriodicScheduler", "periodic_jobs", "schedule"]

_LOOP_S: Final = 0.5
_LOCK_MS: Final = 5_000
_FAILURE_S: Final = 3600
_KEPT_ASIDE: Final = 1_000
_NEVER: Final = -1
"""What Redis tells of a key that does not expire."""

_UNLOCK: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
"""


@dataclass(frozen=True)
class Periodic:
    """A job to be enqueued again and again."""

    id: str
    function: str
    kind: str
    """Of the queue: `hooks` or `archive`."""
    interval_s: float
    timeout_s: int
    retry: Retry | None


def periodic_jobs(settings: Settings) -> dict[str, Periodic]:
    """The periodic jobs that the settings ask for, by id."""
    prefix = re.sub(r"[^A-Za-z0-9_-]", "-", settings.queue_prefix)
    if prefix != settings.queue_prefix:  # so that two prefixes do not become one
        prefix += f"-{hashlib.sha256(settings.queue_prefix.encode()).hexdigest()[:8]}"
    jobs = [Periodic(f"{prefix}-sweep", RUN_SWEEP, HOOKS, settings.backstop_interval, 300, None)]
    if settings.archive_url is not None:
        # While PostgreSQL is away one job tries again and again; no other one is enqueued beside it.
        retry = Retry(max=20, interval=[1, 2, 3])
        jobs.append(Periodic(f"{prefix}-archive", RUN_ARCHIVE, ARCHIVE, settings.archive_interval, 600, retry))
    if settings.archive_url is not None and (settings.archive_retention or settings.audit_retention is not None):
        each_s = settings.archive_retention_interval
        jobs.append(Periodic(f"{prefix}-retention", RUN_RETENTION, ARCHIVE, each_s, 600, None))
    return {each.id: each for each in jobs}


class PeriodicScheduler(Scheduler):  # type: ignore[misc]
    """rq-scheduler's Scheduler, made safe to kill and to run several times.

    What is due is in its sorted set, as there; but what the jobs are comes from the settings, and is put back into
    the set in every round. So nothing in Redis is needed to go on, and nothing in there is run unless it is known.
    """

    def __init__(self, settings: Settings, connection: Redis) -> None:
        self._prefix = settings.queue_prefix
        prefix = f"{settings.queue_prefix}:scheduler"
        self.scheduler_key = prefix
        self.redis_scheduler_namespace_prefix = f"{prefix}:instance:"
        self.scheduler_lock_key = f"{prefix}:lock"
        self.scheduled_jobs_key = f"{prefix}:scheduled"
        self.set_aside_key = f"{prefix}:set-aside"
        self._periodic = periodic_jobs(settings)
        self._queues = {kind: open_queue(settings, kind, connection) for kind in (HOOKS, ARCHIVE)}
        super().__init__(
            queue=self._queues[HOOKS], connection=connection, interval=1, job_class=SafeJob, queue_class=SafeQueue
        )
        self._token = secrets.token_hex(8)
        self._unlock: Callable[..., Any] = connection.register_script(_UNLOCK)
        shortest = min(each.interval_s for each in self._periodic.values())
        self._loop_s = min(_LOOP_S, shortest / 2)

    def acquire_lock(self) -> bool:
        """Take the lock for one round, in seconds rather than rq-scheduler's interval and ten."""
        taken = self.connection.set(self.scheduler_lock_key, self._token, px=_LOCK_MS, nx=True)
        self._lock_acquired = bool(taken)
        if not taken and self.connection.pttl(self.scheduler_lock_key) == _NEVER:  # no scheduler leaves it so
            self.connection.pexpire(self.scheduler_lock_key, _LOCK_MS)
        return self._lock_acquired

    def remove_lock(self) -> None:
        """Give the lock back, unless it ran out and is another's by now."""
        if self._lock_acquired:
            self._lock_acquired = False
            if not self._unlock(keys=[self.scheduler_lock_key], args=[self._token]):
                LOG.warning("lock lost", key=self.scheduler_lock_key, reason="a round took longer than it holds")

    def get_queue_for_job(self, job: SafeJob) -> SafeQueue:
        """The queue of a job. The class that it names is not imported: anyone may have written it there."""
        return SafeQueue(job.origin, connection=self.connection, job_class=SafeJob)

    def register(self) -> None:
        """Put each periodic job into the set where it is missing; none later than its interval from now."""
        now = self._now()
        if self.connection.type(self.scheduled_jobs_key) not in (b"zset", b"none"):
            aside = f"{self.set_aside_key}:{secrets.token_hex(4)}"
            self.connection.rename(self.scheduled_jobs_key, aside)
            LOG.error("key is no sorted set", key=self.scheduled_jobs_key, moved_to=aside)
            count(self.connection, "set_aside_jobs")
        with self.connection.pipeline() as pipe:
            for job in self._periodic.values():
                pipe.zadd(self.scheduled_jobs_key, {job.id: now}, nx=True)
                pipe.zadd(self.scheduled_jobs_key, {job.id: now + job.interval_s}, lt=True)
            pipe.execute()

    def enqueue_jobs(self) -> list[str]:
        """One round: enqueue what is due; the ids of what was enqueued."""
        self.register()
        enqueued = []
        for raw in self.connection.zrangebyscore(self.scheduled_jobs_key, "-inf", self._now()):
            job_id = raw.decode(errors="surrogateescape")
            periodic = self._periodic.get(job_id)
            if periodic is None:
                self._set_aside(raw)
            elif self._enqueue_periodic(periodic):
                enqueued.append(job_id)
        return enqueued

    def _enqueue_periodic(self, job: Periodic) -> bool:
        queue = self._queues[job.kind]
        try:
            enqueued = self._make_room(queue, job.id) and self._push(queue, job)
        except (ConnectionError, TimeoutError, OSError):
            raise
        except Exception as error:  # noqa: BLE001 - one job's trouble must not keep the others from their time
            LOG.error("periodic job cannot be enqueued", job=job.id, error=error)
            count(self.connection, "failed_enqueues")
            enqueued = False
        # Killed before this line: the next round finds the copy that waits, and enqueues none beside it.
        self.connection.zadd(self.scheduled_jobs_key, {job.id: self._now() + job.interval_s})
        LOG.debug("periodic job is due", job=job.id, enqueued=enqueued)
        return enqueued

    def _make_room(self, queue: SafeQueue, job_id: str) -> bool:
        """Whether no copy waits or runs; what is left of an earlier one, or of another's making, is removed."""
        key = SafeJob.key_for(job_id)
        with self.connection.pipeline() as pipe:
            try:
                pipe.watch(key)
                if queue.holds(job_id):
                    return False
                pipe.multi()
                queue.forget(job_id, pipe)
                pipe.execute()
            except WatchError:
                return False  # another scheduler was quicker
        return True

    def _push(self, queue: SafeQueue, job: Periodic) -> bool:
        try:
            queue.enqueue_call(
                job.function,
                timeout=job.timeout_s,
                result_ttl=0,
                failure_ttl=_FAILURE_S,
                description=job.id,
                job_id=job.id,
                retry=job.retry,
                unique=True,
            )
        except DuplicateJobError:
            return False
        return True

    def _set_aside(self, member: bytes) -> None:
        """Move what is not ours out of the way, where a person can look at it."""
        with self.connection.pipeline() as pipe:
            pipe.zrem(self.scheduled_jobs_key, member)
            pipe.zadd(self.set_aside_key, {member: self._now()})
            pipe.zremrangebyrank(self.set_aside_key, 0, -_KEPT_ASIDE - 1)
            pipe.zcard(self.set_aside_key)
            *_, kept = pipe.execute()
        count(self.connection, "set_aside_jobs")
        LOG.error("scheduled job set aside", reason="it is not ours", kept=kept, key=self.set_aside_key)

    def _tell_seen(self) -> None:
        """Say that a scheduler is there, whether it or another one has the lock."""
        try:
            self.connection.hset(queue_counts(self._prefix), SCHEDULER_SEEN, int(self._now() * 1000))
        except ResponseError as error:  # other hands made something else of the key
            LOG.debug("scheduler's sign of life cannot be noted", error=error)

    def _now(self) -> float:
        seconds, micros = self.connection.time()
        return float(seconds) + float(micros) / 1e6

    def run(self, burst: bool = False, stop: Stop | None = None) -> None:
        """Schedule until asked to stop (`burst`: one round), whatever happens to Redis."""
        stop = stop or Stop()
        outage = Outage("the queues' Redis")
        born = False
        while not stop.requested:
            pause_s = self._loop_s
            try:
                if not born:
                    self.register_birth()
                    born = True
                self.heartbeat()
                self._tell_seen()
                if self.acquire_lock():
                    try:
                        self.enqueue_jobs()
                    finally:
                        self.remove_lock()
                outage.over()
            except (RedisError, OSError) as error:
                pause_s = outage.failed(error)
            tell_left_out()
            if burst:
                break
            stop.wait(pause_s)
        if born and not outage.lasts:
            self.register_death()


def schedule(settings: Settings, stop: Stop) -> int:
    """Enqueue the periodic jobs until asked to stop; the exit code."""
    connection = connect(settings)
    scheduler = PeriodicScheduler(settings, connection)
    LOG.info("scheduling", jobs=list(periodic_jobs(settings)))
    scheduler.run(stop=stop)
    connection.close()
    return 0
