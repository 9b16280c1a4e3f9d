"""Sojourn's RQ queues, and jobs that cannot run anything but what is on the allow-list."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any, Final

from redis import Redis
from redis.backoff import ExponentialBackoff
from redis.client import Pipeline
from redis.exceptions import ResponseError, WatchError
from redis.retry import Retry as RedisRetry
from rq import Queue, Retry
from rq.exceptions import DequeueTimeout, DeserializationError, NoSuchJobError
from rq.executions import Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.utils import current_timestamp, now

from sojourn import redis_urls
from sojourn.errors import SettingsError
from sojourn.keys import queue_counts
from sojourn.settings import Settings, masked
from sojourn_worker.logs import LOG

__all__ = [
    "ALLOWED",
    "ARCHIVE",
    "HOOKS",
    "RUN_ARCHIVE",
    "RUN_HOOK",
    "RUN_RETENTION",
    "RUN_SWEEP",
    "QueueRedis",
    "SafeJob",
    "SafeQueue",
    "backoff",
    "connect",
    "count",
    "note_one_more",
    "noted",
    "notes",
    "open_queue",
    "pause_s",
    "queue_name",
    "whole_seconds",
]

HOOKS: Final = "hooks"
ARCHIVE: Final = "archive"

RUN_HOOK: Final = "sojourn_worker.jobs.run_hook"
RUN_ARCHIVE: Final = "sojourn_worker.jobs.archive"
RUN_RETENTION: Final = "sojourn_worker.jobs.retention"
RUN_SWEEP: Final = "sojourn_worker.jobs.sweep"
ALLOWED: Final = frozenset({RUN_HOOK, RUN_ARCHIVE, RUN_RETENTION, RUN_SWEEP})
"""What jobs may name, exactly so."""

_LONGEST_RETRY_S: Final = 300
_LONGEST_PAUSE_S: Final = 60
_SLACK_S: Final = 60
"""By how much the clocks of two machines may differ without harm."""
_MOST_NOTED: Final = 10**6
_NEVER: Final = -1
"""What Redis tells of a key that does not expire."""
_MAINTENANCE_LOCK_S: Final = 10
_TAKEN_S: Final = 10.0
_MOVED_AT_ONCE: Final = 100
_UNREADABLE_JOBS: Final = "unreadable_jobs"


def queue_name(settings: Settings, kind: str) -> str:
    """The name of the queue for `hooks` or for `archive`."""
    return f"{settings.queue_prefix}-{kind}"


class QueueRedis(Redis):
    """The Redis that holds the queues. It goes along with every job and queue, and so does where to count."""

    counts_key: str | None = None


def count(connection: Redis, what: str) -> None:
    """Count that something went wrong; for where it is logged."""
    if isinstance(connection, QueueRedis) and connection.counts_key is not None:
        try:
            connection.hincrby(connection.counts_key, what, 1)
        except ResponseError as error:
            LOG.error("trouble cannot be counted", what=what, error=error)  # what is counted matters more than that


def connect(settings: Settings) -> QueueRedis:
    """A connection to the Redis that holds the queues.

    Raises:
        SettingsError: its URL is malformed.
    """
    url = settings.queue_url or settings.redis_url
    try:
        connections = redis_urls.pool(
            url,
            # RQ sends nothing that does harm when it is sent twice; what it takes twice, the ledger sorts out.
            retry=RedisRetry(ExponentialBackoff(cap=0.5, base=0.02), 2),
            socket_timeout=max(settings.socket_timeout, 5.0),
            socket_connect_timeout=settings.socket_timeout,
            protocol=2,
            client_name="sojourn-queue",
        )
    except ValueError:
        raise SettingsError(f"queue_url {masked(url)} is not a URL for Redis") from None
    connection = QueueRedis.from_pool(connections)
    assert isinstance(connection, QueueRedis)  # noqa: S101 - for the type checker
    connection.counts_key = queue_counts(settings.queue_prefix)
    return connection


def notes(job: Job) -> dict[str, Any]:
    """What workers note in a job about its runs. Anyone may have written there: what is no mapping is forgotten."""
    found: Any = job.meta
    job.meta = sound = dict(found) if isinstance(found, dict) else {}
    return sound


def noted(job: Job, name: str) -> int:
    """A number from a job's notes; 0 for anything else."""
    found = notes(job).get(name)
    return found if type(found) is int and 0 <= found < _MOST_NOTED else 0


def note_one_more(job: Job, name: str) -> int:
    """Count something in a job's notes; how often so far."""
    number = notes(job)[name] = noted(job, name) + 1
    return number


def pause_s(times: int) -> int:
    """How long to wait for something that was away so many times: 2, 4, 8 ... seconds, at most a minute."""
    return int(min(_LONGEST_PAUSE_S, 2 ** min(times, 10)))


def backoff(retries: int) -> Retry | None:
    """Up to so many retries after 1, 2, 4 ... seconds, at most 5 minutes apart."""
    if retries == 0:
        return None
    return Retry(max=retries, interval=[min(_LONGEST_RETRY_S, 2**n) for n in range(retries)])


class _Executions(ExecutionRegistry):
    """A job's runs.

    The run of a killed worker expires a minute before its entry here does; for that minute RQ would tell each later
    run of the job as failed, when it tidies up after it.
    """

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        """The runs that are still there."""
        found = []
        for each in self.get_execution_ids(start, end):
            try:
                found.append(Execution.fetch(each, self.job_id, self.connection))
            except ValueError:
                self.connection.zrem(self.key, each)
        return found


class SafeJob(Job):
    """A job as a worker reads it from Redis, where others may have written it.

    RQ imports and runs whatever function and callbacks a job names, unpickles what it carries and calls the URLs in
    it. Here a job is JSON, its function is one of four, and it has no callbacks and no webhooks.
    """

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:  # noqa: A002
        del serializer
        super().__init__(id, connection, JSONSerializer)

    @property
    def refusal(self) -> str | None:
        """Why this job must not run; None if it may."""
        try:
            name, bound = self.func_name, self.instance
        except DeserializationError:
            return "its content cannot be read"
        if not isinstance(name, str) or name not in ALLOWED:
            return "it names a function that is not on the allow-list"
        if bound is not None:
            return "it names a method of an object"
        if self._success_callback_name or self._failure_callback_name or self._stopped_callback_name:
            return "it names a callback"
        if self.webhooks:
            return "it names a webhook"
        return None

    @property
    def func(self) -> Callable[..., Any]:
        """The function to run.

        Raises:
            PermissionError: the job must not run.
        """
        if self.refusal is not None:
            raise PermissionError(f"job {self.id} is refused: {self.refusal}")
        module, _, name = str(self.func_name).rpartition(".")
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return found

    @property
    def success_callback(self) -> None:
        """None, whatever the job says."""

    @property
    def failure_callback(self) -> None:
        """None, whatever the job says; RQ would also call it for a job that it finds abandoned."""

    @property
    def stopped_callback(self) -> None:
        """None, whatever the job says."""

    @property
    def execution_registry(self) -> ExecutionRegistry:
        """The job's runs."""
        return _Executions(self.id, connection=self.connection)

    def send_webhooks(self, status: Any, *, exc_string: str | None = None) -> None:
        """Call no URL, whatever the job says."""

    def restore(self, raw_data: Any) -> None:
        """Read the job's hash. One that cannot be read is no job: an error here would end every worker in turn."""
        try:
            super().restore(raw_data)
        except Exception as error:  # it does no more than read the hash, and raises whatever it meets
            LOG.error("job cannot be read and is dropped", job=self.id, error=error)
            count(self.connection, _UNREADABLE_JOBS)
            raise NoSuchJobError(f"job {self.id} cannot be read") from error

    def refresh(self) -> None:
        """Read the job again.

        Raises:
            NoSuchJobError: it is not there, or no job.
        """
        try:
            super().refresh()  # type: ignore[no-untyped-call]
        except ResponseError as error:
            LOG.error("job cannot be read and is dropped", job=self.id, reason="it is not a hash")
            count(self.connection, _UNREADABLE_JOBS)
            raise NoSuchJobError(f"job {self.id} is not a hash") from error


class _Taken(IntermediateQueue):
    """Jobs taken by a worker that has not begun them. One that stays here for 10 s has lost its worker (RQ: 60 s)."""

    def get_job_ids(self) -> list[str]:
        """The ids; what cannot be read is dropped."""
        found = []
        raws: list[Any] = self.connection.lrange(self.key, 0, -1)
        for raw in raws:
            try:
                found.append(raw.decode())
            except UnicodeDecodeError:
                _drop(self.connection, self.key, raw)
        return found

    def should_be_cleaned_up(self, job_id: str) -> bool:
        first_seen = self.get_first_seen(job_id)
        return first_seen is not None and (now() - first_seen).total_seconds() > _TAKEN_S


def _drop(connection: Redis, key: str, raw: Any) -> None:
    LOG.error("id cannot be read and is dropped", key=key)
    count(connection, _UNREADABLE_JOBS)
    connection.lrem(key, 0, raw)


class SafeQueue(Queue):
    """A queue of `SafeJob`s."""

    job_class = SafeJob

    @property
    def intermediate_queue(self) -> IntermediateQueue:
        """The jobs taken from this queue but not begun."""
        return _Taken(self.key, self.connection)

    @classmethod
    def lmove(cls, connection: Redis, queue_key: str, timeout: int | None) -> Any:
        """Take an id from the queue. One that cannot be read is dropped: it would end every worker in turn."""
        taken = super().lmove(connection, queue_key, timeout)
        if taken is None or not isinstance(taken[1], bytes):
            return taken
        try:
            taken[1].decode()
        except UnicodeDecodeError:
            _drop(connection, IntermediateQueue.get_intermediate_queue_key(queue_key), taken[1])
            if timeout is None:
                return cls.lmove(connection, queue_key, timeout)
            raise DequeueTimeout(timeout, queue_key) from None
        return taken

    def drop_unreadable(self) -> None:
        """Remove what no worker can have put beside the queue, and none can read."""
        self.intermediate_queue.get_job_ids()
        for registry in (self.started_job_registry, self.scheduled_job_registry):
            raws: list[Any] = self.connection.zrange(registry.key, 0, -1)
            for raw in raws:
                try:
                    registry.parse_job_id(raw.decode())
                except ValueError:
                    LOG.error("id cannot be read and is dropped", key=registry.key)
                    count(self.connection, _UNREADABLE_JOBS)
                    self.connection.zrem(registry.key, raw)

    def acquire_maintenance_lock(self) -> bool:
        """For a few seconds: a worker killed while it holds RQ's lock would stop all recovery for 15 minutes."""
        if self.connection.set(self.registry_cleaning_key, 1, nx=True, ex=_MAINTENANCE_LOCK_S):
            return True
        if self.connection.ttl(self.registry_cleaning_key) == _NEVER:
            self.connection.expire(self.registry_cleaning_key, _MAINTENANCE_LOCK_S)
        return False

    def enqueue_due(self) -> int:
        """Move jobs whose time to be retried has come into the queue; how many.

        Whoever is free does it, in one transaction. RQ's own scheduler is a process that outlives a killed worker and
        then holds its lock for a minute.
        """
        registry = self.scheduled_job_registry
        with self.connection.pipeline() as pipe:
            try:
                pipe.watch(registry.key)  # type: ignore[no-untyped-call]
                ids = registry.get_jobs_to_schedule(current_timestamp(), _MOVED_AT_ONCE)
                if not ids:
                    return 0
                found = [self.fetch_job(each) for each in ids]
                pipe.multi()
                for job in found:
                    if job is not None:
                        self._enqueue_job(job, pipeline=pipe, at_front=job.should_enqueue_at_front())
                pipe.zrem(registry.key, *ids)
                pipe.execute()
            except WatchError:
                return 0  # somebody else moves them
        return len(ids)

    def holds(self, job_id: str) -> bool:
        """Whether a copy of a job waits, runs, or is to be retried.

        An entry that no worker can have made, or with which none will ever deal, does not count: a retry later than
        any there is, or a run that is gone and would not be found abandoned for long.
        """
        with self.connection.pipeline(transaction=False) as pipe:
            pipe.lpos(self.key, job_id)
            pipe.lpos(self.intermediate_queue_key, job_id)
            pipe.zscore(self.scheduled_job_registry.key, job_id)
            pipe.zrange(self.started_job_registry.key, 0, -1, withscores=True)
            waiting, taken, retried, started = pipe.execute()
        soon = current_timestamp() + _SLACK_S
        if waiting is not None or taken is not None or (retried is not None and retried <= soon + _LONGEST_RETRY_S):
            return True
        runs = [(raw, score) for raw, score in started if raw.partition(b":")[0] == job_id.encode()]
        return any(score <= soon or self._is_there(raw) for raw, score in runs)

    def _is_there(self, run: bytes) -> bool:
        job_id, _, execution_id = run.decode().partition(":")
        return bool(self.connection.exists(Execution(execution_id, job_id, self.connection).key))

    def forget(self, job_id: str, pipe: Pipeline) -> None:
        """Have a transaction remove a job that `holds` does not find, and all that is left of it."""
        raws: list[Any] = self.connection.zrange(self.started_job_registry.key, 0, -1)
        for raw in raws:
            if raw.partition(b":")[0] == job_id.encode():
                pipe.zrem(self.started_job_registry.key, raw)
        pipe.zrem(self.scheduled_job_registry.key, job_id)
        pipe.zrem(self.failed_job_registry.key, job_id)
        pipe.delete(self.job_class.key_for(job_id))


def open_queue(settings: Settings, kind: str, connection: Redis) -> SafeQueue:
    """The queue for `hooks` or for `archive`."""
    return SafeQueue(queue_name(settings, kind), connection=connection, job_class=SafeJob, serializer=JSONSerializer)


def whole_seconds(seconds: float) -> int:
    """RQ's timeouts are whole seconds, and at least one."""
    return max(1, math.ceil(seconds))
