"""Jobs as anybody may write them who can write to the queues' Redis."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from tests.fuzz.profile import examples
from tests.servers import RedisServers, redis_executables
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn import Event, SessionStore, Settings, SojournError
from sojourn.settings import HookSettings
from sojourn_worker import config, jobs
from sojourn_worker.queues import ALLOWED, HOOKS, RUN_HOOK, RUN_SWEEP, QueueRedis, SafeJob, connect, open_queue

_HOOK: Final = "probe"
_SEEN: Final[list[Any]] = []
_LARGE: Final = st.sampled_from([10**400, "a" * 5_000])
_JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | _LARGE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def probe(event: Event, session: object) -> None:
    """The hook that jobs name."""
    _SEEN.append((event, session))


@pytest.fixture(scope="module")
def hooked(redis_servers: RedisServers) -> Iterator[Settings]:
    """Give settings with one hook, which this process has as a worker's."""
    url = redis_servers.clean_url(next(iter(redis_executables().values())))
    hook = HookSettings(events=("created",), function=f"{__name__}:probe", retries=0)
    settings = settings_for(url, hooks={_HOOK: hook})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "_used", settings)
        yield settings


@pytest.fixture
def processes() -> Iterator[Processes]:
    """Give a starter of worker processes, which all end with the test."""
    with Processes() as started:
        yield started


@pytest.fixture(scope="module")
def queues(hooked: Settings) -> Iterator[QueueRedis]:
    """Give the Redis of the queues."""
    connection = connect(hooked)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def event(hooked: Settings) -> dict[str, Any]:
    """Give an event as the dispatcher tells it in a job."""
    with SessionStore(settings=hooked) as store:
        store.create(owner="ada")
        (found,) = store.peek_events().events
    return found.to_json()


@given(data=st.data())
@examples(120)
def test_events_that_are_none(hooked: Settings, event: dict[str, Any], data: st.DataObject) -> None:
    """A hook runs on events alone; what is none becomes a dead letter, and takes nothing from its neighbours."""
    damaged = st.builds(lambda name, value: event | {name: value}, st.sampled_from(sorted(event)), _JSON)
    events: Any = data.draw(st.lists(_JSON | damaged, max_size=4) | _JSON, label="events")
    _SEEN.clear()
    try:
        jobs.run_hook(_HOOK, events)
    except SojournError as error:
        assert len(str(error)) < 2_000  # noqa: PT017
    assert all(type(each) is Event for each, _ in _SEEN)


@given(name=_JSON)
@examples(40)
def test_hooks_that_there_are_none_of(hooked: Settings, event: dict[str, Any], name: Any) -> None:
    """A name that the settings do not have, or what is no name at all, is refused without quoting it."""
    with pytest.raises(SojournError) as caught:
        jobs.run_hook(name, [event])
    assert len(str(caught.value)) < 300


def _packed(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode("utf-8", "surrogatepass"))


_NAMES: Final = (RUN_HOOK, RUN_SWEEP, "os.system", "builtins.eval", "sojourn_worker.jobs._rq", f"{RUN_HOOK} ")
_CALLS: Final = st.tuples(
    st.sampled_from(_NAMES) | _JSON,
    st.none() | _JSON,
    st.lists(_JSON, max_size=3) | _JSON,
    st.dictionaries(st.text(max_size=5), _JSON, max_size=2) | _JSON,
).map(list)
_ODD: Final = (b"", b"0", b"-1", b"null", b"queued", b"2026-11-24T10:00:00.000000Z", b"[]", b"{}")
_FIELDS: Final = st.fixed_dictionaries(
    {"data": st.binary(max_size=60) | _CALLS.map(_packed) | _JSON.map(_packed)},
    optional={
        name: st.binary(max_size=30) | st.sampled_from(_ODD)
        for name in (
            "status", "created_at", "started_at", "enqueued_at", "ended_at", "last_heartbeat", "timeout", "result_ttl",
            "failure_ttl", "ttl", "retries_left", "retry_intervals", "meta", "dependency_ids", "origin", "description",
            "exc_info", "success_callback_name", "failure_callback_name", "stopped_callback_name", "webhooks",
            "repeats_left", "group_id", "worker_name",
        )
    },
)  # fmt: skip


@given(fields=_FIELDS)
@examples(300)
def test_hashes_that_are_no_jobs(queues: QueueRedis, fields: dict[str, bytes]) -> None:
    """A worker reads a job that may run, one that is refused, or none."""
    key = Job.key_for("odd")
    queues.delete(key)
    queues.hset(key, mapping=dict[Any, Any](fields))
    try:
        job: Any = SafeJob.fetch("odd", connection=queues, serializer=JSONSerializer)
    except NoSuchJobError:
        return
    if job.refusal is None:
        assert job.func_name in ALLOWED
        assert job.func is getattr(jobs, job.func_name.rpartition(".")[2])
        assert (job.success_callback, job.failure_callback, job.stopped_callback) == (None, None, None)
    else:
        with pytest.raises(PermissionError):
            _ = job.func


def test_a_worker_among_them(hooked: Settings, queues: QueueRedis, processes: Processes) -> None:
    """A real worker gets through a queue of them, runs none, and then the one job that is good."""
    made: list[dict[str, bytes]] = []

    @given(fields=_FIELDS)
    @examples(60)
    def collect(fields: dict[str, bytes]) -> None:
        made.append(fields)

    collect()
    queue = open_queue(hooked, HOOKS, queues)
    for number, fields in enumerate(made):
        queues.hset(Job.key_for(f"odd-{number}"), mapping=dict[Any, Any](fields))
        queues.rpush(queue.key, f"odd-{number}")
    good = queue.enqueue_call(RUN_SWEEP, result_ttl=60)
    worker = processes.role("jobs:hooks", hooked)
    eventually(lambda: good.get_status(refresh=True) == "finished", deadline_s=60)
    assert worker.popen.poll() is None
    assert worker.stop(timeout_s=60) == 0
