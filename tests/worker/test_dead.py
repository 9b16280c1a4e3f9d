"""Dead letters: what a hook keeps failing on is kept, once, and can be replayed, once, whoever dies on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from rq.command import send_stop_job_command
from tests.waiting import eventually
from tests.worker.processes import Processes, effects, settings_for

from sojourn import Session, SessionStore
from sojourn.dead import DeadLetter, DeadLetters
from sojourn.events import Event, join_group, read_new
from sojourn.keys import PartitionKeys, parse_event_id
from sojourn.operations.dead import drop, revive
from sojourn.settings import HookSettings, Settings
from sojourn_worker.burial import NO_SUCH_HOOK, bury_event, bury_unreadable
from sojourn_worker.dispatch import enqueue_events
from sojourn_worker.hooks import HookRun
from sojourn_worker.memory import MemoryBound
from sojourn_worker.queues import HOOKS, SafeJob, SafeQueue, connect, open_queue
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.replay import replay
from sojourn_worker.stop import Stop
from sojourn_worker.worker import JobsWorker

FAILED = "rq:failed:sojourn-hooks"
DYING = """
import os, signal, socket, sys
import redis
from sojourn.dead import DeadLetters
from sojourn.transport import blocking
from sojourn_worker import config
from sojourn_worker.replay import replay

settings, step = config.from_line(sys.stdin.buffer.readline()), int(sys.argv[1])
sent = 0

def counted(real):
    def send(self, *args, **kwargs):
        global sent
        if sent == step:
            os.kill(os.getpid(), signal.SIGKILL)
        sent += 1
        return real(self, *args, **kwargs)
    return send

with DeadLetters(settings) as letters:
    chosen = list(letters.each())
redis.connection.Connection.send_packed_command = counted(redis.connection.Connection.send_packed_command)
blocking._Line.exchange = counted(blocking._Line.exchange)
replay(settings, chosen)
"""


def _hook(function: str, **more: Any) -> dict[str, Any]:
    return {"events": ["created"], "function": f"tests.worker.hook_functions:{function}", **more}


def _settings(url: str, function: str = "record", **more: Any) -> Settings:
    return settings_for(url, hooks={"watch": _hook(function, retries=1, timeout=1, **more)})


def _sessions(settings: Settings, count: int) -> list[Session]:
    with SessionStore(settings=settings) as store:
        return store.create_many([{"owner": f"owner{n}"} for n in range(count)])


def _letters(settings: Settings) -> tuple[DeadLetter, ...]:
    with DeadLetters(settings) as letters:
        return letters.list().letters


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as found:
        yield found


@pytest.fixture
def link(any_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisLink]:
    """Give a worker's way to the Redis under test."""
    monkeypatch.setenv("SOJOURN_REDIS_URL", any_redis_url)  # for hooks that run in this process
    found = RedisLink(_settings(any_redis_url))
    yield found
    found.close()


@pytest.fixture
def queue(any_redis_url: str) -> Iterator[SafeQueue]:
    """Give the hooks' queue."""
    settings = _settings(any_redis_url)
    with connect(settings) as connection:
        yield open_queue(settings, HOOKS, connection)


def _events(link: RedisLink, settings: Settings) -> list[Event]:
    """The events there are, in order."""
    link.run(join_group(settings.all_partitions, "test", "oldest"))
    found = [event for _, event in link.run(read_new(settings.all_partitions, "test", "test", 1000, 0.01))]
    return sorted(found, key=lambda event: event.id)


def _run_all(settings: Settings, link: RedisLink, queue: SafeQueue) -> None:
    """Run every job of the queue, in this process, as its worker would."""
    for job_id in queue.job_ids:
        job = SafeJob.fetch(job_id, connection=queue.connection)
        name, raws = job.args
        run = HookRun(settings, link, name, settings.hooks[name], job_id)
        run.run([Event.from_json(raw) for raw in raws])
        queue.remove(job)


@contextmanager
def _worker(settings: Settings, queue: SafeQueue) -> Iterator[JobsWorker]:
    """Give a worker in this process that runs nothing."""
    stop = Stop()
    yield JobsWorker(settings, queue, queue.connection, stop)
    stop.close()


def _bury(link: RedisLink, settings: Settings, events: list[Event]) -> None:
    for event in events:
        bury_event(link, settings, "watch", event, job="t", tries=2, reason="ValueError in f, line 1")


REASONS = {
    "fail_on_marked": "ValueError in fail_on_marked",
    "cancel_on_marked": "CancelledError in cancel_on_marked",
    "hang_on_marked": "timeout",
    "die": "its process ended",
    "eat_on_marked": "MemoryError in eat_on_marked",
}


@pytest.mark.parametrize("function", list(REASONS))
def test_a_poison_event_is_kept_and_can_be_replayed(
    any_redis_url: str, client: redis.Redis, processes: Processes, function: str
) -> None:
    """Whatever the hook does on it, the other events and the other hook go on; mended and replayed, it runs once."""
    watch = _hook(function, retries=1, timeout=1 if function == "hang_on_marked" else 30, memory_mb=100)
    settings = settings_for(any_redis_url, hooks={"watch": watch, "other": _hook("record_other")})
    sessions = _sessions(settings, 6)
    client.sadd("marked", sessions[2].id)
    worker = processes.role("jobs:hooks", settings)
    processes.role("dispatch", settings)
    (letter,) = eventually(lambda: _letters(settings), deadline_s=60)
    eventually(lambda: client.zcard(FAILED) == 1)
    eventually(lambda: client.llen("others") == 6)
    assert (letter.hook, letter.tries) == ("watch", 2)
    assert letter.reason.startswith(REASONS[function])
    assert letter.event is not None
    assert letter.event.session_id == sessions[2].id
    assert len(effects(client)) == 5
    assert set(effects(client).values()) == {1}
    assert letter.event_id not in effects(client)
    counts = client.hgetall(letter.place.partition.counts)
    assert counts == {"dead_letters": "1", "dead_letters:sojourn.watch": "1"}
    assert not list(client.scan_iter("sojourn:*/running:*"))
    assert not list(client.scan_iter("sojourn:*/tries:*"))
    assert not client.exists("sated")
    assert "12345" not in worker.log + str(client.xrange(letter.place.stream))

    client.delete("marked")
    assert replay(settings, [letter]).enqueued == [letter.id]
    assert not _letters(settings)
    eventually(lambda: len(effects(client)) == 6)
    eventually(lambda: not client.zcard("rq:wip:sojourn-hooks"))
    assert set(effects(client).values()) == {1}
    assert worker.popen.poll() is None


def test_a_hook_that_leaks_gets_new_processes(any_redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """What it keeps of each event ends none of the later ones, though no event has a second try."""
    settings = settings_for(any_redis_url, hooks={"watch": _hook("leak", retries=0, memory_mb=100)})
    _sessions(settings, 10)
    processes.role("jobs:hooks", settings)
    processes.role("dispatch", settings)
    eventually(lambda: len(effects(client)) == 10, deadline_s=60)
    assert set(effects(client).values()) == {1}
    assert not _letters(settings)


def test_a_hook_that_eats_leaves_the_rest_of_its_process_room() -> None:
    """The bound holds around the hook only; after it the process can take as much as before."""
    bound = MemoryBound(50)
    with pytest.raises(MemoryError), bound.in_force():
        bytearray(200 * 2**20)
    assert len(bytearray(200 * 2**20)) == 200 * 2**20
    with MemoryBound(None).in_force():
        assert len(bytearray(200 * 2**20)) == 200 * 2**20


def test_buried_twice_is_buried_once(any_redis_url: str, client: redis.Redis, link: RedisLink) -> None:
    """The ledger knows what is done and what is buried; neither is buried again, and no hook runs on it."""
    settings = _settings(any_redis_url)
    _sessions(settings, 2)
    buried, done = _events(link, settings)
    run = HookRun(settings, link, "watch", settings.hooks["watch"], "t")
    assert run.run([done]).done == [done.id]
    _bury(link, settings, [buried, buried, done])
    assert [each.event_id for each in _letters(settings)] == [buried.id]
    assert client.hget(PartitionKeys(parse_event_id(buried.id)[0]).counts, "dead_letters") == "1"
    assert run.run([buried, done]).done == []
    ledger = PartitionKeys(parse_event_id(buried.id)[0]).ledger("sojourn.watch")
    assert client.pttl(ledger) > 86_400_000


def test_fewer_retries_than_there_were_tries(any_redis_url: str, client: redis.Redis, link: RedisLink) -> None:
    """Where the settings were changed on the way, what has used up its tries is buried without another."""
    settings = _settings(any_redis_url, "fail_on_marked")
    _sessions(settings, 1)
    (event,) = _events(link, settings)
    client.sadd("marked", event.session_id)
    hook = settings.hooks["watch"]
    more = hook.model_copy(update={"retries": 5})
    assert [HookRun(settings, link, "watch", more, "t").run([event]).failed for _ in range(3)] == [[event.id]] * 3
    outcome = HookRun(settings, link, "watch", hook, "t").run([event])
    assert (outcome.failed, outcome.given_up) == ([], [event.id])
    (letter,) = _letters(settings)
    assert (letter.tries, letter.reason) == (3, "its tries were used up before")
    assert client.get("failures") == "3"


@pytest.mark.parametrize("there", [True, False])
def test_a_job_given_up_leaves_to_others_what_they_have_in_hand(
    any_redis_url: str, client: redis.Redis, link: RedisLink, queue: SafeQueue, there: bool
) -> None:
    """As long as that other job is there; of one that is gone nobody else would see to the event."""
    settings = _settings(any_redis_url)
    _sessions(settings, 2)
    first, second = events = _events(link, settings)
    enqueue_events(queue, "watch", settings.hooks["watch"], events, "watch-one")
    if there:
        enqueue_events(queue, "watch", settings.hooks["watch"], [first], "watch-two")
    running = PartitionKeys(parse_event_id(first.id)[0]).running("sojourn.watch", first.id)
    client.set(running, "watch-two")
    job = SafeJob.fetch("watch-one", connection=queue.connection)
    job.retries_left = None
    with _worker(settings, queue) as worker:
        worker.handle_job_failure(job, queue)
    assert [each.event_id for each in _letters(settings)] == ([second.id] if there else [second.id, first.id])
    assert client.exists(running) == there
    assert job.get_status() == "failed"


def test_a_stopped_job_s_events_are_kept(any_redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """Whoever stops a job by RQ's command ends it for good, but not its events."""
    settings = settings_for(any_redis_url, hooks={"watch": _hook("wait_once")})
    client.set("calls", 1)
    _sessions(settings, 4)
    processes.role("jobs:hooks", settings)
    processes.role("dispatch", settings)
    eventually(lambda: client.get("waiting"), deadline_s=60)
    with connect(settings) as connection:
        (started,) = eventually(lambda: connection.zrange("rq:wip:sojourn-hooks", 0, -1))
        send_stop_job_command(connection, started.decode().partition(":")[0])
    eventually(lambda: client.zcard(FAILED) == 1)  # its events are buried before it ends
    letters = _letters(settings)
    assert {each.reason for each in letters} == {"its job was stopped"}
    assert len(letters) + len(effects(client)) == 4


def test_what_another_job_has_in_hand_is_not_buried(any_redis_url: str, client: redis.Redis, link: RedisLink) -> None:
    """Its own job knows better how it goes."""
    settings = _settings(any_redis_url)
    _sessions(settings, 1)
    (event,) = _events(link, settings)
    running = PartitionKeys(parse_event_id(event.id)[0]).running("sojourn.watch", event.id)
    client.set(running, "another")
    told = bury_event(link, settings, "watch", event, job="t", tries=1, reason="r")
    assert (told.outcome, told.holder) == ("held", "another")
    assert not _letters(settings)
    told = bury_event(link, settings, "watch", event, job="another", tries=1, reason="r")
    assert told.outcome == "buried"
    assert not client.exists(running)


def test_replayed_twice_is_run_once(any_redis_url: str, client: redis.Redis, link: RedisLink, queue: SafeQueue) -> None:
    """Two operators with the same list: one job; and one who comes later, with a list from before, does nothing."""
    settings = _settings(any_redis_url)
    _sessions(settings, 3)
    _bury(link, settings, _events(link, settings))
    letters = _letters(settings)
    for _ in range(2):  # as if both had read the list, and the first had not got to the end
        assert {link.run(revive(each)) for each in letters} == {"revived"}
    assert len(replay(settings, letters).enqueued) == 3
    assert len(replay(settings, letters).gone) == 3
    assert queue.count == 1
    _run_all(settings, link, queue)
    assert sorted(effects(client).values()) == [1, 1, 1]
    assert not _letters(settings)


def test_a_replay_killed_at_any_step(
    any_redis_url: str, client: redis.Redis, link: RedisLink, queue: SafeQueue, processes: Processes
) -> None:
    """Each event is on the list or in a job, or both; a second replay, after the job or before, adds no effect."""
    settings = _settings(any_redis_url)
    for step in range(50):
        client.flushall()
        _sessions(settings, 2)
        events = _events(link, settings)
        _bury(link, settings, events)
        dying = processes.python(DYING, str(step), settings=settings)
        code = dying.popen.wait(20)
        listed = {each.event_id for each in _letters(settings)}
        in_jobs = {raw["id"] for job in queue.jobs for raw in job.args[1]}
        assert listed | in_jobs == {event.id for event in events}, step
        if step % 2:
            _run_all(settings, link, queue)
        with DeadLetters(settings) as letters:
            replay(settings, letters.each())
        assert not _letters(settings), step
        _run_all(settings, link, queue)
        assert effects(client) == {event.id: 1 for event in events}, step
        if code == 0:
            break
    assert step > 5
    assert code == 0


def test_a_job_killed_after_the_burial(
    any_redis_url: str, client: redis.Redis, link: RedisLink, processes: Processes
) -> None:
    """Between the burial and the job's end its worker dies: the job comes back and adds no second dead letter."""
    settings = _settings(any_redis_url, "fail_on_marked")
    _sessions(settings, 2)
    poison, good = _events(link, settings)
    client.sadd("marked", poison.session_id)
    code = """
import os, signal, sys
from sojourn.events import Event
from sojourn_worker import burial, config, hooks
from sojourn_worker.redis_link import RedisLink
import json
settings = config.from_line(sys.stdin.buffer.readline())
config.use(settings)
real = hooks.bury_event
def bury_and_die(*args, **kwargs):
    real(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGKILL)
hooks.bury_event = bury_and_die
events = [Event.from_json(each) for each in json.loads(sys.argv[1])]
run = hooks.HookRun(settings, RedisLink(settings), "watch", settings.hooks["watch"], "job")
run.run(events)
run.run(events)
"""
    raws = json.dumps([poison.to_json(), good.to_json()])
    assert processes.python(code, raws, settings=settings).popen.wait(20) == -9
    again = HookRun(settings, link, "watch", settings.hooks["watch"], "job").run([poison, good])
    assert (again.done, again.failed, again.busy) == ([], [], [])
    assert effects(client) == {good.id: 1}
    assert [each.event_id for each in _letters(settings)] == [poison.id]
    assert client.get("failures") == "2"


def test_fails_again_after_the_replay(
    any_redis_url: str, client: redis.Redis, link: RedisLink, queue: SafeQueue
) -> None:
    """A replayed event gets all its tries again, and then is listed again, as one."""
    settings = _settings(any_redis_url, "fail_on_marked")
    _sessions(settings, 1)
    (event,) = _events(link, settings)
    client.sadd("marked", event.session_id)
    run = HookRun(settings, link, "watch", settings.hooks["watch"], "one")
    assert [run.run([event]).failed for _ in range(3)] == [[event.id], [event.id], []]
    for number in range(2):
        (letter,) = _letters(settings)
        replay(settings, [letter])
        assert queue.count == 1, number
        for job in queue.jobs:
            again = HookRun(settings, link, "watch", settings.hooks["watch"], job.id)
            assert [again.run([event]).failed for _ in range(3)] == [[event.id], [event.id], []]
            queue.remove(job)
    assert client.get("failures") == "6"
    assert len(_letters(settings)) == 1


def test_a_letter_of_a_replay_that_was_killed_and_failed_again(
    any_redis_url: str, client: redis.Redis, link: RedisLink, queue: SafeQueue
) -> None:
    """The event was buried anew, so its first letter only leaves the list; the second can be replayed."""
    settings = _settings(any_redis_url)
    _sessions(settings, 1)
    (event,) = _events(link, settings)
    _bury(link, settings, [event])
    (first,) = _letters(settings)
    assert link.run(revive(first)) == "revived"
    eventually(lambda: client.time() > (int(first.at.timestamp()), first.at.microsecond + 1000))
    _bury(link, settings, [event])
    assert len(_letters(settings)) == 2
    told = replay(settings, _letters(settings))
    assert (told.enqueued, told.done) == ([first.id], [first.id])
    assert not _letters(settings)
    _run_all(settings, link, queue)
    assert effects(client) == {event.id: 1}


def test_dropped_letters_do_not_run(any_redis_url: str, client: redis.Redis, link: RedisLink) -> None:
    """Off the list, and done with for good."""
    settings = _settings(any_redis_url)
    _sessions(settings, 1)
    (event,) = _events(link, settings)
    _bury(link, settings, [event])
    letters = _letters(settings)
    assert link.run(drop(letters)) == 1
    assert link.run(drop(letters)) == 0
    assert HookRun(settings, link, "watch", settings.hooks["watch"], "t").run([event]).done == []
    assert not effects(client)


def test_a_hook_that_the_settings_no_longer_name(any_redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """Its job fails and its events are kept; they are listed, refused while it is missing, and run when it is back."""
    settings = settings_for(any_redis_url, hooks={"watch": _hook("record", retries=0)})
    _sessions(settings, 3)
    processes.role("dispatch", settings)
    eventually(lambda: client.llen("rq:queue:sojourn-hooks") == 1)
    without = settings_for(any_redis_url)
    worker = processes.role("jobs:hooks", without)
    letters = eventually(lambda: found if len(found := _letters(without)) == 3 else (), deadline_s=60)
    eventually(lambda: client.zcard(FAILED) == 1)
    assert {each.reason for each in letters} == {NO_SUCH_HOOK}
    assert set(replay(without, letters).refused.values()) == {NO_SUCH_HOOK}
    assert len(_letters(settings)) == 3
    assert worker.stop() == 0
    assert len(replay(settings, letters).enqueued) == 3
    processes.role("jobs:hooks", settings)
    eventually(lambda: sorted(effects(client).values()) == [1, 1, 1], deadline_s=60)


def test_a_hook_that_cannot_be_imported(any_redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """When the job's own tries are used up, all its events are kept."""
    settings = settings_for(any_redis_url, hooks={"watch": _hook("no_such_function", retries=1)})
    _sessions(settings, 3)
    worker = processes.role("jobs:hooks", settings)
    processes.role("dispatch", settings)
    letters = eventually(lambda: found if len(found := _letters(settings)) == 3 else (), deadline_s=60)
    assert {each.reason.partition(" in ")[0] for each in letters} == {"its job was given up: SettingsError"}
    eventually(lambda: client.zcard(FAILED) == 1)
    assert len(worker.tells("job given up", hook="watch")["buried"]) == 3


def test_a_job_does_not_end_before_its_events_are_buried(
    any_redis_url: str, own_redis: Any, processes: Processes
) -> None:
    """The sessions' Redis is away when a hook fails for the last time: its job stays, and goes on when it is back."""
    server = own_redis({"appendonly": "yes"})
    watch = _hook("wait_once", retries=0)
    settings = settings_for(server.url, queue_url=any_redis_url, hooks={"watch": watch})
    with redis.Redis.from_url(server.url) as own:
        own.set("calls", 2)
        _sessions(settings, 1)
        processes.role("dispatch", settings)
        worker = processes.role("jobs:hooks", settings)
        child = int(eventually(lambda: own.get("waiting"), deadline_s=60))
    server.stop()
    os.kill(child, signal.SIGKILL)
    worker.tells("job comes back later")
    with redis.Redis.from_url(any_redis_url) as queues:
        assert not queues.zcard(FAILED)
        server.restart()
        with redis.Redis.from_url(server.url, decode_responses=True) as own:
            eventually(lambda: own.llen("effects") == 1, deadline_s=60)
        assert not queues.zcard(FAILED)


def test_what_is_no_event_is_kept_once(any_redis_url: str, client: redis.Redis, link: RedisLink) -> None:
    """Its text, up to 64 KiB, is in partition 0, and counted; it cannot be replayed, but dropped."""
    settings = _settings(any_redis_url)
    raws: list[Any] = [{"id": "x", "what": "ever"}, "a" * 100_000]
    for _ in range(2):
        bury_unreadable(link, settings, "watch", raws, "t")
    letters = _letters(settings)
    assert {each.reason for each in letters} == {"cannot be read"}
    assert sorted(len(each.text) for each in letters) == [len(json.dumps(raws[0])), 65_536]
    counts = client.hgetall(settings.all_partitions[0].counts)
    assert (counts["dead_letters"], counts["unreadable_events"]) == ("2", "2")
    assert len(replay(settings, letters).refused) == 2
    with DeadLetters(settings) as listed:
        found = [listed.find(each.id) for each in letters]
        assert [len(each) for each in found] == [1, 1]
        assert listed.drop(letters) == 2


def test_pages_are_in_order_and_complete(any_redis_url: str, link: RedisLink) -> None:
    """Over partitions and hooks, newest or oldest first, by hook, by tenant; each letter on one page."""
    hook = HookSettings(events=("created",), function="a:b")
    settings = settings_for(any_redis_url, hooks={"one": hook, "two": hook})
    with SessionStore(settings=settings) as store:
        for number in range(150):
            store.for_tenant(f"t{number % 7}").create()
    for event in _events(link, settings):
        for name in ("one", "two"):
            bury_event(link, settings, name, event, job="t", tries=1, reason="r")
    with DeadLetters(settings) as letters:
        for newest_first in (True, False):
            found: list[DeadLetter] = []
            cursor: str | None = None
            pages = 0
            while pages == 0 or cursor is not None:
                page = letters.list(limit=37, cursor=cursor, newest_first=newest_first)
                found += page.letters
                cursor = page.cursor
                pages += 1
            assert pages == 9
            assert len({each.id for each in found}) == 300
            positions = [each.position for each in found]
            assert positions == sorted(positions, reverse=newest_first)
        assert len(letters.list(hook="one", limit=1000).letters) == 150
        own = letters.list(tenant="t3", limit=1000).letters
        assert {each.event.tenant for each in own if each.event} == {"t3"}
        assert len(own) == 2 * len(range(3, 150, 7))
        assert len(list(letters.each(hook="two"))) == 150
        assert [each.id for each in letters.find(own[0].id)] == [own[0].id]
        assert letters.drop(list(letters.each(tenant="t3"))) == len(own)
        assert len(list(letters.each())) == 300 - len(own)


def test_burying_goes_through_when_memory_is_full(own_redis: Any, redis_executable: str) -> None:
    """On each Redis: what is given up must not be lost for want of memory, and can be revived as well."""
    settings = _settings(own_redis({}, executable=redis_executable).url)
    link = RedisLink(settings)
    _sessions(settings, 1)
    (event,) = _events(link, settings)
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        client.config_set("maxmemory", 1)
        _bury(link, settings, [event, event])
        (letter,) = _letters(settings)
        assert [link.run(revive(letter)) for _ in range(2)] == ["revived"] * 2
        client.config_set("maxmemory", 0)
        ledger = letter.place.partition.ledger(letter.place.scope)
        client.zadd(ledger, {event.id: 1})
        assert link.run(revive(letter)) == "done"
        assert link.run(drop([letter])) == 1
        assert link.run(revive(letter)) == "none"
        assert client.zscore(ledger, event.id) == 1
    link.close()
