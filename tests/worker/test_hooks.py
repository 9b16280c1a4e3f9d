"""Hooks: each event once, whoever dies on the way, and none held up by another."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import redis
from tests.waiting import eventually
from tests.worker.processes import Processes, effects, settings_for

from sojourn import Session, SessionStore
from sojourn.errors import SettingsError
from sojourn.events import Event, dispatch_group, join_group, read_new, take_over
from sojourn.settings import HookSettings, Settings
from sojourn_worker import config, jobs
from sojourn_worker.dispatch import Dispatcher
from sojourn_worker.hooks import HookFailed, HookRun
from sojourn_worker.queues import HOOKS, connect, open_queue
from sojourn_worker.redis_link import RedisLink

GROUP = dispatch_group("sojourn")


def _hook(function: str, **more: Any) -> dict[str, Any]:
    return {"events": ["created"], "function": f"tests.worker.hook_functions:{function}", **more}


def _with_hook(url: str, function: str, **more: Any) -> Settings:
    return settings_for(url, hooks={"watch": _hook(function, **more)})


def _sessions(settings: Settings, count: int) -> list[Session]:
    with SessionStore(settings=settings) as store:
        return store.create_many([{"owner": f"owner{n}"} for n in range(count)])


def _events(settings: Settings) -> list[Event]:
    """All events there are, read by a group of the test's own."""
    link = RedisLink(settings)
    link.run(join_group(settings.all_partitions, "test", "oldest"))
    found = [event for _, event in link.run(read_new(settings.all_partitions, "test", "test", 1000, 0.01))]
    found += [event for _, event in link.run(take_over(settings.all_partitions, "test", "test", 0.001, 1000))]
    link.close()
    return sorted({event.id: event for event in found}.values(), key=lambda event: event.id)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as found:
        yield found


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let jobs run in this process without leaving settings behind."""
    monkeypatch.setattr(config, "_used", None)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_events_reach_the_hook_with_the_session(redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """Created and expired sessions are told once each, in batches, with the last state; the outbox is acknowledged."""
    settings = settings_for(redis_url, hooks={"watch": _hook("record", events=["created", "expired"], batch=10)})
    roles = [processes.role(role, settings) for role in ("listen", "dispatch", "jobs:hooks")]
    with SessionStore(settings=settings) as store:
        sessions = store.create_many([{"owner": f"owner{n}"} for n in range(25)], ttl=0.5)
    eventually(lambda: client.llen("effects") == 50, deadline_s=60)
    told = [json.loads(each) for each in client.lrange("effects", 0, -1)]
    assert set(effects(client).values()) == {1}
    last = [each for each in told if each["seen"]["status"] == "expired"]
    assert {each["session"] for each in last} == {session.id for session in sessions}
    assert {each["seen"]["owner"] for each in last} == {session.owner for session in sessions}
    eventually(lambda: all(client.xpending(each.events, GROUP)["pending"] == 0 for each in settings.all_partitions))
    eventually(lambda: sum(client.xlen(each.events) for each in settings.all_partitions) <= 1, deadline_s=5)
    assert [role.stop() for role in roles] == [0, 0, 0]
    consumers = [client.xinfo_consumers(each.events, GROUP) for each in settings.all_partitions]
    assert consumers == [[]] * 4


def test_sessions_that_ended_for_room_reach_the_hook(
    redis_url: str, client: redis.Redis, processes: Processes
) -> None:  # fmt: skip
    """Those that a tenant's limit evicts are told as any others that end, once each, with their last state."""
    settings = settings_for(redis_url, hooks={"watch": _hook("record", events=["ended"])})
    roles = [processes.role(role, settings) for role in ("dispatch", "jobs:hooks")]
    with SessionStore(settings=settings) as store:
        store.set_tenant_limits(sessions=2, policy="evict_lru")
        made = [store.create(owner=f"owner{number}").id for number in range(5)]
        gone = [each for each in made if not store.get(each).is_live]
    eventually(lambda: client.llen("effects") >= 3, deadline_s=60)
    assert [role.stop() for role in roles] == [0, 0]
    told = [json.loads(each) for each in client.lrange("effects", 0, -1)]
    assert len(gone) == 3
    assert sorted(each["session"] for each in told) == sorted(gone)
    assert {each["seen"]["status"] for each in told} == {"terminated"}


def test_without_hooks_events_are_acknowledged(redis_url: str, client: redis.Redis) -> None:
    """Where no hook is configured, the dispatcher still lets the outbox be trimmed."""
    settings = settings_for(redis_url)
    _sessions(settings, 10)
    link, connection = RedisLink(settings), connect(settings)
    dispatcher = Dispatcher(settings, link, open_queue(settings, HOOKS, connection))
    assert dispatcher.step() == 10
    assert all(client.xpending(each.events, GROUP)["pending"] == 0 for each in settings.all_partitions)
    assert not client.exists("rq:queue:sojourn-hooks")
    link.close()
    connection.close()


def test_a_dispatcher_killed_before_it_acknowledged(
    redis_url: str, client: redis.Redis, processes: Processes, here: None
) -> None:
    """What it had enqueued is enqueued again, also in other batches; the ledger keeps each effect at one."""
    settings = _with_hook(redis_url, "record", batch=7)
    _sessions(settings, 20)
    link, connection = RedisLink(settings), connect(settings)
    queue = open_queue(settings, HOOKS, connection)
    dead = Dispatcher(settings, link, queue, "dead")
    link.run(join_group(settings.all_partitions, GROUP, "oldest"))
    taken = link.run(read_new(settings.all_partitions, GROUP, "dead", 100, 0.01))
    dead._enqueue([event for _, event in taken][:10])  # and here it dies
    _sessions(settings, 5)
    roles = [processes.role(role, settings) for role in ("dispatch", "jobs:hooks")]
    roles[0].tells("took over events of another dispatcher", count=20)
    eventually(lambda: len(effects(client)) == 25, deadline_s=60)
    eventually(lambda: not queue.count and not queue.started_job_registry.get_job_count(cleanup=False))
    assert set(effects(client).values()) == {1}
    link.close()
    connection.close()


def test_a_flushed_redis_gets_its_groups_back(redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """After FLUSHALL the dispatcher makes its groups again and goes on."""
    settings = settings_for(redis_url)
    dispatcher = processes.role("dispatch", settings)
    eventually(lambda: client.exists(settings.all_partitions[0].events), deadline_s=60)
    client.flushall()
    dispatcher.tells("group is gone from an outbox")
    eventually(lambda: client.exists(settings.all_partitions[0].events))
    _sessions(settings, 3)
    groups = [each.events for each in settings.all_partitions if client.xlen(each.events)]
    assert groups
    eventually(lambda: all(client.xinfo_groups(each)[0]["last-delivered-id"] != "0-0" for each in groups))
    assert dispatcher.stop() == 0


def test_the_child_dies_with_its_worker(any_redis_url: str, processes: Processes) -> None:
    """A worker that is killed alone takes the process along in which its job runs."""
    settings = _with_hook(any_redis_url, "wait_once")
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        client.set("calls", 2)
        _sessions(settings, 1)
        worker = processes.role("jobs:hooks", settings)
        processes.role("dispatch", settings)
        child = int(eventually(lambda: client.get("waiting"), deadline_s=60))
    worker.popen.kill()
    eventually(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie", deadline_s=3)


def test_at_a_second_signal_the_job_goes_back(redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """SIGTERM waits for the job; so it does if it comes twice at once. Another puts the job back, to run at once."""
    settings = _with_hook(redis_url, "wait_once")
    client.set("calls", 2)
    _sessions(settings, 1)
    worker = processes.role("jobs:hooks", settings)
    processes.role("dispatch", settings)
    eventually(lambda: client.get("waiting"), deadline_s=60)
    worker.popen.send_signal(signal.SIGTERM)
    eventually(lambda: client.hget(next(iter(client.scan_iter("rq:worker:*"))), "shutdown_requested_date"))
    worker.popen.send_signal(signal.SIGTERM)
    worker.tells("was asked to stop already")
    assert not worker.told("job goes back to its queue")
    worker.stop(signal.SIGINT, timeout_s=3)
    again = time.monotonic()
    processes.role("jobs:hooks", settings)
    eventually(lambda: client.llen("effects") == 1, deadline_s=5)
    assert time.monotonic() - again < 5


@pytest.mark.parametrize("function", ["fail_on_marked", "die", "hang_on_marked"])
def test_a_poison_event_holds_up_no_other(any_redis_url: str, processes: Processes, function: str) -> None:
    """One event of a batch raises, ends the process or hangs: the others run, once; then it alone is given up."""
    settings = _with_hook(any_redis_url, function, retries=1, timeout=1)
    sessions = _sessions(settings, 6)
    events = _events(settings)
    poison = next(event for event in events if event.session_id == sessions[2].id)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        client.sadd("marked", poison.session_id)
        worker = processes.role("jobs:hooks", settings)
        processes.role("dispatch", settings)
        worker.tells("dead-lettered", event_id=poison.id, tries=2, deadline_s=60)
        eventually(lambda: client.zcard("rq:failed:sojourn-hooks") == 1)
        assert effects(client) == {event.id: 1 for event in events if event.id != poison.id}
        assert not list(client.scan_iter("sojourn:*running:*"))
    assert "secret" not in worker.log


def test_a_slow_hook_does_all_of_its_batch(any_redis_url: str, processes: Processes) -> None:
    """A batch takes longer than its job may: the job comes back for the rest, and no retry is needed for that."""
    settings = _with_hook(any_redis_url, "record_slowly", retries=0, timeout=1)
    _sessions(settings, 50)
    worker = processes.role("jobs:hooks", settings)
    processes.role("dispatch", settings)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        eventually(lambda: len(effects(client)) == 50, deadline_s=60)
        assert set(effects(client).values()) == {1}
        assert client.zcard("rq:failed:sojourn-hooks") == 0
    assert not worker.told("hook took too long")


def test_events_that_end_the_process_leave_their_neighbours_alone(any_redis_url: str, processes: Processes) -> None:
    """Five of thirty events kill the job, which has one retry: the others run once, and only those are given up."""
    settings = _with_hook(any_redis_url, "die", retries=1)
    marked = [session.id for session in _sessions(settings, 30)][::6]
    events = _events(settings)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        client.sadd("marked", *marked)
        worker = processes.role("jobs:hooks", settings)
        processes.role("dispatch", settings)
        eventually(lambda: client.zcard("rq:failed:sojourn-hooks") == 1, deadline_s=60)
        worker.tells("job given up", buried=[])
        assert effects(client) == {event.id: 1 for event in events if event.session_id not in marked}
        assert client.get("deaths") == str(2 * len(marked))
    for event in events:
        given_up = bool(worker.told("dead-lettered", event_id=event.id, tries=2))
        assert given_up == (event.session_id in marked)


def test_an_unreadable_event_is_given_up_alone(any_redis_url: str, processes: Processes) -> None:
    """What anybody wrote into the outbox, with a tenant or an id that is none, does not hold up the batch."""
    settings = _with_hook(any_redis_url, "record")
    sessions = _sessions(settings, 4)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        bad: dict[str, Any] = {"type": "created", "tenant": "a b", "id": sessions[0].id, "at_ms": "1"}
        client.xadd(settings.all_partitions[0].events, bad)
        client.xadd(settings.all_partitions[0].events, {**bad, "tenant": "default", "id": "x"})
        worker = processes.role("jobs:hooks", settings)
        processes.role("dispatch", settings)
        eventually(lambda: len(effects(client)) == 4, deadline_s=60)
        eventually(lambda: len(worker.told("dead-lettered", reason="cannot be read")) == 2)
        assert not client.zcard("rq:failed:sojourn-hooks")


def test_an_event_nested_too_deep_comes_without_its_changes(any_redis_url: str, processes: Processes) -> None:
    """What anybody wrote into the outbox, as deep as can be, ends neither the dispatcher nor the batch."""
    settings = _with_hook(any_redis_url, "record")
    (session,) = _sessions(settings, 1)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        for depth in (200, 310, 900, 940, 980, 100_000):
            changes = '{"a":' * depth + "1" + "}" * depth
            fields: dict[str, Any] = {"type": "created", "tenant": "default", "id": session.id, "changes": changes}
            client.xadd(settings.all_partitions[0].events, fields)
        roles = [processes.role(role, settings) for role in ("dispatch", "jobs:hooks")]
        eventually(lambda: len(effects(client)) == 7, deadline_s=60)
        assert not client.zcard("rq:failed:sojourn-hooks")
    assert roles[0].told("event comes without its changes", session_id=session.id)


def test_two_deployments_on_one_redis_get_each_event(any_redis_url: str, processes: Processes) -> None:
    """Each queue_prefix is a deployment with hooks of its own, of the same name even; none takes another's events."""
    one = _with_hook(any_redis_url, "record")
    other = settings_for(any_redis_url, queue_prefix="other", hooks={"watch": _hook("record_other")})
    _sessions(one, 20)
    for settings in (one, other):
        processes.role("dispatch", settings)
        processes.role("jobs:hooks", settings)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        eventually(lambda: (client.llen("effects"), client.llen("others")) == (20, 20), deadline_s=60)
        assert set(effects(client).values()) == {1}


def test_a_coroutine_function_is_a_hook_too(any_redis_url: str, here: None) -> None:
    """An `async def` hook runs to its end."""
    settings = _with_hook(any_redis_url, "record_async")
    config.use(settings)
    _sessions(settings, 2)
    events = _events(settings)
    jobs.run_hook("watch", [event.to_json() for event in events])
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        assert effects(client) == {event.id: 1 for event in events}


def test_a_failing_hook_is_tried_again(any_redis_url: str, processes: Processes) -> None:
    """An event that fails and then does not is done after its retry, and the others are not repeated."""
    settings = _with_hook(any_redis_url, "fail_on_marked", retries=3)
    sessions = _sessions(settings, 3)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        client.sadd("marked", sessions[1].id)
        processes.role("jobs:hooks", settings)
        processes.role("dispatch", settings)
        eventually(lambda: client.get("failures"), deadline_s=60)
        client.delete("marked")
        eventually(lambda: len(effects(client)) == 3, deadline_s=60)
        assert set(effects(client).values()) == {1}


def test_two_jobs_with_one_event_do_not_run_it_at_once(any_redis_url: str) -> None:
    """While one job has an event in hand another one leaves it alone, and says so."""
    settings = _with_hook(any_redis_url, "record")
    _sessions(settings, 1)
    (event,) = _events(settings)
    link = RedisLink(settings)
    inner: list[list[str]] = []
    hook = HookSettings(events=("created",), function="tests.worker.hook_functions:record")
    first, second = HookRun(settings, link, "watch", hook, "one"), HookRun(settings, link, "watch", hook, "two")

    def function(event: Event, session: Session | None) -> None:
        assert session is not None
        inner.append(second.run([event]).busy)

    first._function = function
    assert first.run([event]).done == [event.id]
    assert inner == [[event.id]]
    assert second.run([event]).done == []
    link.close()


def test_jobs_with_unknown_hooks_or_damaged_events(
    any_redis_url: str, here: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A hook that the settings do not name is refused, whatever the job says; so are events that are none."""
    config.use(_with_hook(any_redis_url, "record"))
    with pytest.raises(SettingsError, match="not in the settings"):
        jobs.run_hook("os:system", [])
    jobs.run_hook("watch", [{"at_ms": 0, "function": "os:system"}])
    assert 'reason="cannot be read"' in caplog.text


def test_a_failing_batch_names_the_events(any_redis_url: str, here: None) -> None:
    """The error of a job lists the failed events, and nothing that the hook raised."""
    settings = _with_hook(any_redis_url, "fail_on_marked")
    config.use(settings)
    session, _ = _sessions(settings, 2)
    with redis.Redis.from_url(any_redis_url) as client:
        client.sadd("marked", session.id)
    events = _events(settings)
    bad = next(event.id for event in events if event.session_id == session.id)
    with pytest.raises(HookFailed) as caught:
        jobs.run_hook("watch", [event.to_json() for event in events])
    assert caught.value.event_ids == (bad,)
    assert "12345" not in str(caught.value)
    assert caught.value.__context__ is None
