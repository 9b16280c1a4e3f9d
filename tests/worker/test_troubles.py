"""Troubles of workers that are no hook's fault, and hooks that are at fault in odd ways."""

from __future__ import annotations

import base64
import signal
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.conftest import OwnRedis
from tests.waiting import eventually
from tests.worker.processes import Processes, effects, settings_for, tree

from sojourn import SessionStore
from sojourn.dead import DeadLetter, DeadLetters
from sojourn.errors import SettingsError
from sojourn.events import Event, dispatch_group, join_group, read_new
from sojourn.keys import PartitionKeys, parse_event_id, parse_key
from sojourn.settings import Settings, resolve_hook
from sojourn_worker.dispatch import Dispatcher, enqueue_events
from sojourn_worker.hooks import HookRun
from sojourn_worker.queues import HOOKS, RUN_HOOK, SafeJob, connect, open_queue
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.stop import Stop
from sojourn_worker.worker import JobsWorker

GROUP = dispatch_group("sojourn")
IMPATIENT = """
import sys
from sojourn_worker import config, jobs
from sojourn_worker.supervise import run_role

jobs._WAITS_FOR_OTHERS = jobs._WAIT_FOR_OTHERS_S = 1
sys.exit(run_role("jobs:hooks", config.from_line(sys.stdin.buffer.readline())))
"""
SUPERVISOR = """
import sys
from sojourn_worker import config
from sojourn_worker.supervise import supervise
sys.exit(supervise(config.from_line(sys.stdin.buffer.readline()), ["dispatch", "jobs:hooks"]))
"""


def _settings(url: str, function: str, **more: Any) -> Settings:
    hook = {"events": ["created"], "function": f"tests.worker.hook_functions:{function}", "timeout": 5}
    deployment = {name: more.pop(name) for name in ("queue_url", "archive_url", "archive_timeout") if name in more}
    return settings_for(url, hooks={"watch": {**hook, **more}}, **deployment)


def _create(settings: Settings, count: int) -> list[str]:
    with SessionStore(settings=settings) as store:
        return [each.id for each in store.create_many([{"owner": "ada"}] * count)]


def _events(settings: Settings) -> list[Event]:
    link = RedisLink(settings)
    link.run(join_group(settings.all_partitions, "test", "oldest"))
    found = [event for _, event in link.run(read_new(settings.all_partitions, "test", "test", 1000, 0.01))]
    link.close()
    return sorted(found, key=lambda event: event.id)


def _running(event: Event) -> str:
    return PartitionKeys(parse_event_id(event.id)[0]).running("sojourn.watch", event.id)


def _letters(settings: Settings) -> tuple[DeadLetter, ...]:
    with DeadLetters(settings) as letters:
        return letters.list().letters


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(redis_url, decode_responses=True) as found:
        yield found


def test_waiting_for_a_job_that_is_gone_ends(redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """What it had in hand is kept when the waits are over; an event that fails has its own tries meanwhile."""
    settings = _settings(redis_url, "fail_on_marked", retries=1)
    _create(settings, 3)
    held, fails, good = events = _events(settings)
    client.sadd("marked", fails.session_id)
    client.set(_running(held), "watch-gone", px=660_000)
    with connect(settings) as connection:
        enqueue_events(open_queue(settings, HOOKS, connection), "watch", settings.hooks["watch"], events, "watch-b")
    processes.python(IMPATIENT, settings=settings)
    eventually(lambda: client.zcard("rq:failed:sojourn-hooks"), deadline_s=60)
    assert effects(client) == {good.id: 1}
    letters = {each.event_id: (each.tries, each.reason.partition(" in ")[0]) for each in _letters(settings)}
    assert letters == {held.id: (0, "a job that is gone had it"), fails.id: (2, "ValueError")}


def test_used_up_but_in_another_hand(redis_url: str, client: redis.Redis) -> None:
    """An event without tries left that another job holds is told as held, so that its job comes back for it."""
    settings = _settings(redis_url, "record", retries=1)
    _create(settings, 1)
    (event,) = _events(settings)
    client.set(_running(event), "another")
    client.set(PartitionKeys(parse_event_id(event.id)[0]).tries("sojourn.watch", event.id), 2)
    link = RedisLink(settings)
    outcome = HookRun(settings, link, "watch", settings.hooks["watch"], "job").run([event])
    assert (outcome.busy, outcome.given_up, outcome.done) == ([event.id], [], [])
    link.close()


@pytest.mark.parametrize("trouble", ["full", "frozen"])
def test_a_redis_in_trouble_uses_up_no_tries(
    redis_url: str, client: redis.Redis, own_redis: OwnRedis, processes: Processes, trouble: str
) -> None:
    """While the sessions' Redis is full or frozen, jobs without any retry come back until it is well."""
    server = own_redis()
    settings = _settings(server.url, "record", retries=0, queue_url=redis_url)
    _create(settings, 4)
    processes.role("dispatch", settings)
    eventually(lambda: client.llen("rq:queue:sojourn-hooks"), deadline_s=60)
    with redis.Redis.from_url(server.url, decode_responses=True) as own:
        if trouble == "full":
            own.config_set("maxmemory", 1)
        else:
            server.pause()
        worker = processes.role("jobs:hooks", settings)
        eventually(lambda: client.zcard("rq:scheduled:sojourn-hooks"), deadline_s=60, what=f"a return:\n{worker.log}")
        if trouble == "full":
            own.config_set("maxmemory", 0)
        else:
            server.resume()
        eventually(lambda: len(effects(own)) == 4, deadline_s=60)
    assert not client.zcard("rq:failed:sojourn-hooks")
    assert not _letters(settings)


@pytest.mark.parametrize("body", ["def f(:", "1/0", "raise SystemExit(3)", "import no_such_module"])
def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Whatever a hook's module raises, it is an error in the settings, by which no role ends."""
    (tmp_path / "broken_hook.py").write_text(body)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_hook", raising=False)
    with pytest.raises(SettingsError, match="broken_hook:hook cannot be imported"):
        resolve_hook("broken_hook:hook")


def test_a_signal_to_all_processes_lets_the_job_end(redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """SIGTERM to supervisor, roles and child at once: the hook ends its work, and its own programs can be stopped."""
    settings = _settings(redis_url, "spawn", retries=0)
    supervisor = processes.python(SUPERVISOR, settings=settings)
    _create(settings, 1)
    eventually(lambda: client.get("begun"), deadline_s=60)
    for process in tree(supervisor.pid):
        process.send_signal(signal.SIGTERM)
    assert supervisor.popen.wait(15) == 0
    assert len(effects(client)) == 1
    assert not _letters(settings)


@pytest.mark.parametrize("asked", [True, False])
def test_a_child_ended_by_the_signal_to_stop_is_not_to_blame(redis_url: str, client: redis.Redis, asked: bool) -> None:
    """Its job goes back into the queue; ended so by anybody else, it counts as a failed try."""
    settings = _settings(redis_url, "record", retries=0)
    _create(settings, 1)
    (event,) = _events(settings)
    client.set(_running(event), "watch-one")
    stop = Stop()
    with connect(settings) as connection:
        queue = open_queue(settings, HOOKS, connection)
        enqueue_events(queue, "watch", settings.hooks["watch"], [event], "watch-one")
        client.delete(queue.key)
        worker = JobsWorker(settings, queue, connection, stop)
        worker._ended = (1, signal.SIGTERM, None)
        if asked:
            stop.request()
        worker.handle_job_failure(SafeJob.fetch("watch-one", connection=connection), queue)
        assert queue.job_ids == (["watch-one"] if asked else [])
    stop.close()
    assert [each.reason for each in _letters(settings)] == ([] if asked else ["its process ended"])


def test_a_partition_of_many_digits_is_none() -> None:
    """A key that anybody may write is no key of a session, rather than an error."""
    identity = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
    assert parse_key(f"sojourn:{{40}}:acme:lease:{identity}") == ("lease", 40, "acme", identity)
    for digits in ("4", "040", "9" * 5_000):
        assert parse_key(f"sojourn:{{{digits}}}:acme:lease:{identity}") is None


def test_an_archive_that_is_away_uses_up_no_tries(redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """Events whose sessions only the archive has wait for it; the others of their job run."""
    away = {"archive_url": "postgresql://127.0.0.1:9/none", "archive_timeout": 1}
    settings = _settings(redis_url, "record", retries=0, **away)
    _create(settings, 3)
    waits, *others = _events(settings)
    client.delete(f"sojourn:{{{parse_event_id(waits.id)[0]:02d}}}:default:session:{waits.session_id}")
    roles = [processes.role(role, settings) for role in ("dispatch", "jobs:hooks")]
    eventually(lambda: len(roles[1].told("events wait for the archive")) == 2, deadline_s=60)
    assert effects(client) == {each.id: 1 for each in others}
    assert not _letters(settings)
    assert not client.exists(_running(waits))


@pytest.mark.parametrize("function", ["tell_late", "tell_interrupted"])
def test_no_error_s_text_is_kept(redis_url: str, client: redis.Redis, processes: Processes, function: str) -> None:
    """Neither the results in Redis nor the log tell what a hook's error says."""
    settings = _settings(redis_url, function, retries=0, timeout=1)
    _create(settings, 1)
    roles = [processes.role(role, settings) for role in ("dispatch", "jobs:hooks")]
    (key,) = eventually(lambda: list(client.scan_iter("rq:results:*")), deadline_s=60)
    entries: Any = client.xrange(key)
    texts = [zlib.decompress(base64.b64decode(fields["exc_string"])) for _, fields in entries]
    assert texts
    assert not [text for text in texts if b"12345" in text]
    assert "12345" not in roles[1].log


@pytest.mark.parametrize("meta", [{"abandoned": "x", "in_hand": 1}, {"abandoned": None}, [1]])
def test_an_odd_abandoned_job_keeps_no_other(
    redis_url: str, client: redis.Redis, processes: Processes, meta: Any
) -> None:
    """Whatever is noted in a job whose worker died, the other jobs of the dead and those due come back."""
    settings = _settings(redis_url, "record")
    _create(settings, 2)
    due, lost = _events(settings)
    with connect(settings) as connection:
        queue = open_queue(settings, HOOKS, connection)
        odd = queue.create_job(RUN_HOOK, args=("watch", []), job_id="odd")
        odd.meta, odd.retry_intervals = meta, [10**30]
        odd.save()
        enqueue_events(queue, "watch", settings.hooks["watch"], [due], "watch-due")
        enqueue_events(queue, "watch", settings.hooks["watch"], [lost], "watch-lost")
    client.delete("rq:queue:sojourn-hooks")
    client.zadd("rq:scheduled:sojourn-hooks", {"watch-due": 1})
    client.zadd("rq:wip:sojourn-hooks", {"odd:x": 1, "watch-lost:y": 2})
    processes.role("jobs:hooks", settings)
    eventually(lambda: len(effects(client)) == 2, deadline_s=60)
    eventually(lambda: not client.zcard("rq:wip:sojourn-hooks"))


def test_a_generator_is_no_hook(redis_url: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator function is refused; one that hides behind another function is a failed try."""
    with pytest.raises(SettingsError, match="is a generator function"):
        resolve_hook("tests.worker.hook_functions:generate")
    monkeypatch.setenv("SOJOURN_REDIS_URL", redis_url)
    settings = _settings(redis_url, "generate_unseen", retries=0)
    _create(settings, 1)
    (event,) = _events(settings)
    link = RedisLink(settings)
    assert HookRun(settings, link, "watch", settings.hooks["watch"], "job").run([event]).failed == [event.id]
    link.close()
    (letter,) = _letters(settings)
    assert letter.reason == "the hook returned a generator, so nothing of it has run"
    assert not effects(client)


def test_a_hook_that_kills_its_worker_costs_few(redis_url: str, client: redis.Redis, processes: Processes) -> None:
    """Two deaths with an event in hand may be chance; with no retries the third is its last, and the others run."""
    settings = _settings(redis_url, "kill_worker", retries=0, timeout=60)
    marked = _create(settings, 3)[1]
    client.sadd("marked", marked)
    processes.role("dispatch", settings)
    for _ in range(3):
        worker = processes.role("jobs:hooks", settings)
        assert worker.popen.wait(20) == -signal.SIGKILL
    assert client.get("kills") == "3"
    processes.role("jobs:hooks", settings)
    (letter,) = eventually(lambda: _letters(settings), deadline_s=60)
    assert (letter.event and letter.event.session_id, letter.tries, letter.reason) == (marked, 1, "its worker ended")
    eventually(lambda: len(effects(client)) == 2)


def test_what_is_gone_from_the_outbox_is_let_go(any_redis_url: str) -> None:
    """Entries deleted while a dead dispatcher had them are acknowledged, on Redis 6.2 as well."""
    settings = settings_for(any_redis_url)
    link = RedisLink(settings)
    link.run(join_group(settings.all_partitions, GROUP, "oldest"))
    _create(settings, 5)
    taken = link.run(read_new(settings.all_partitions, GROUP, "dead", 100, 0.01))
    with redis.Redis.from_url(any_redis_url) as client, connect(settings) as connection:
        for partition, event in taken[:3]:
            client.xdel(partition.events, parse_event_id(event.id)[1])
        dispatcher = Dispatcher(settings, link, open_queue(settings, HOOKS, connection), "next")
        dispatcher._tidy_at = 0.0

        def pending() -> int:
            dispatcher._takeover_at = 0.0
            dispatcher.step()
            dispatcher._tidy_at = 0.0
            return sum(client.xpending(each.events, GROUP)["pending"] for each in settings.all_partitions)

        eventually(lambda: pending() == 0, deadline_s=60)
    link.close()


def test_events_gone_from_the_outbox_do_not_stay_with_a_reader(any_redis_url: str) -> None:
    """The same for a reader of events who takes over from a dead one."""
    settings = settings_for(any_redis_url)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url) as client:
        list(store.events("readers", start="oldest", timeout=0.01))
        store.create_many([{}] * 3)
        (partition,) = (each for each in settings.all_partitions if client.xlen(each.events))
        group = client.xinfo_groups(partition.events)[0]["name"]
        client.xreadgroup(group, "dead", {partition.events: ">"})
        client.xtrim(partition.events, 0, approximate=False)

        def pending() -> int:
            list(store.events("readers", timeout=0.01))
            found: int = client.xpending(partition.events, group)["pending"]
            return found

        eventually(lambda: pending() == 0, deadline_s=60)
