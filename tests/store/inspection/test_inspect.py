"""Inspecting: all that belongs to a session is shown, each printed line shows the same, and what is amiss is told."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import psycopg
import pytest
import redis
from pydantic import SecretStr
from tests.conftest import OwnRedis
from tests.servers import redis_executables

from sojourn import Counter, Indexed, Log, Session, SessionStore
from sojourn.archive import archive_once, init
from sojourn.errors import InvalidId, InvalidName, StoreUnavailable
from sojourn.inspection import Inspection, Item, inspect
from sojourn.inspection.commands import RedisCli, quoted
from sojourn.keys import Homes, TenantKeys
from sojourn.secrets import new_key
from sojourn.settings import HookSettings, Settings
from sojourn.tenants import confine
from sojourn_worker.burial import USED_UP, bury_event
from sojourn_worker.dispatch import Dispatcher
from sojourn_worker.queues import HOOKS, connect, open_queue
from sojourn_worker.redis_link import RedisLink

ODD = ["it's", 'a "b" $HOME `x`', "Zoë ☃ 東", "\u202eback", "--", "*", "a b\\", "é: {1}"]
STEERING = ["tab\tand\nnewline", "\x1b[31m9", "\x9bx", "\ufeff1a", "a\x7fb\\'c", "\udce9"]


class Full(Session):
    """Every feature at once."""

    room: Annotated[str, Indexed()]
    count: Annotated[int, Counter()] = 0
    password: SecretStr | None = None
    lines: ClassVar[Log[str]] = Log(str)
    notes: ClassVar[Log[str]] = Log(str)


def by_what(found: Inspection, part: str) -> dict[str, Item]:
    """Give the items of a part by what they are."""
    return {each.what: each for each in found.items if each.part == part}


def run_line(line: str, settings: Settings) -> str:
    """Run a printed line in a shell, as whoever copies it would."""
    bundled = Path(redis_executables()["redis6"]).resolve().parent  # redis-cli is beside it
    environment = os.environ | {
        "PATH": f"{bundled}{os.pathsep}{os.environ['PATH']}",
        "SOJOURN_REDIS_URL": settings.redis_url, "SOJOURN_QUEUE_URL": settings.queue_url or "",
        "SOJOURN_ARCHIVE_URL": settings.archive_url or "",
    }  # fmt: skip
    ran = subprocess.run(["bash", "-c", line], capture_output=True, env=environment, check=True, timeout=30)
    assert not ran.stderr, ran.stderr
    return ran.stdout.decode("utf-8", "surrogateescape")


def shows(output: str, item: Item) -> bool:
    """Whether the output of a line is what the inspection said."""
    value, lines = item.value, output.removesuffix("\n").split("\n")
    if item.part == "archive":
        wanted = [value] if not isinstance(value, dict) else [value["status"], value["version"]]
        return all(str(each) in output for each in wanted)
    if item.part == "events":
        return value["id"].partition("-")[2] == lines[0] and value["actor"] in lines
    if item.what.startswith("dead letter"):
        return value["event"] in output and value["reason"] in output
    if item.what.startswith("job"):
        return bool(lines[0]) and "hook" in lines[1]
    if item.part == "record" and item.what == "memory":
        return int(output) > 0
    if isinstance(value, dict):
        sealed = {name for name, text in value.items() if text == "(sealed)"}
        shown = "\n".join(part for pair in value.items() for part in pair)
        return shown == output.removesuffix("\n") if not sealed else all(f"{name}\n" in output for name in value)
    if isinstance(value, list):
        return sorted(lines) == sorted(value)
    return output.removesuffix("\n") == ("" if value is None else str(value))


def check_lines(found: Inspection, settings: Settings) -> int:
    """Run every line of an inspection; how many there were."""
    for each in found.items:
        output = run_line(each.command, settings)
        assert shows(output, each), (each, output)
        if each.ttl_command is not None and each.ttl_ms is not None:
            assert abs(int(run_line(each.ttl_command, settings)) - each.ttl_ms) < 60_000
    return len(found.items)


def test_a_session_with_every_feature(redis_url: str, postgres_url: str) -> None:
    """Everything of it is shown, nothing of it is amiss, and each line shows the same."""
    init(postgres_url)
    hook = HookSettings(events=("created", "updated"), function="os:getcwd")
    settings = Settings(
        redis_url=redis_url, archive_url=postgres_url, secret_keys=(new_key(),), hooks={"mail": hook}
    )  # fmt: skip
    link = RedisLink(settings)
    with SessionStore(model=Full, settings=settings, actor="ada") as store:
        store.set_tenant_limits(sessions=10, owner_sessions=5, creates="5/s:9", owner_operations="1/s:9")
        made = store.create(owner=ODD[1], room=ODD[0], tags=ODD, password="hunter2", ttl=3600, max_lifetime=7200)
        store.append(made.id, Full.lines, "one", "two")
        pair = store.tokens.issue(made.id, fingerprint="browser")
        archive_once(settings)
        store.update(made.id, status="in_progress")
        queue = open_queue(settings, HOOKS, connect(settings))
        link.open()
        while Dispatcher(settings, link, queue).step():
            pass
        found = inspect(settings, made.id)
    link.close()
    assert found.state == "live"
    assert (found.status, found.version, found.unseen, found.elsewhere) == ("in_progress", 3, (), ())
    assert [each for each in found.items if each.drift] == []
    assert {each.part for each in found.items} == {
        "record", "marks", "indexes", "logs", "tokens", "limits", "events", "jobs", "archive",
    }  # fmt: skip
    told = json.dumps(found.to_json())
    assert not any(secret in told for secret in ("hunter2", pair.access, pair.refresh or "-"))
    marks = by_what(found, "marks")
    assert {"lease", "deadline", "waits for the archive"} == set(marks)
    assert marks["lease"].ttl_ms is not None
    assert set(by_what(found, "indexes")) == {
        "status in_progress", f"owner {ODD[1]}", f"room {ODD[0]}", *(f"tags {each}" for each in ODD),
    }  # fmt: skip
    assert by_what(found, "logs")["lines"].value == 2
    assert {"place", "last use", "last use, of its owner's", "limits of the tenant"} <= set(by_what(found, "limits"))
    assert any(each.startswith("rate") for each in by_what(found, "limits"))
    assert "updated" in [each.what for each in found.items if each.part == "events"]
    job = by_what(found, "jobs")["job of hook mail"]
    assert job.value["state"] == "waits"
    assert by_what(found, "archive")["session"].value["version"] == 2
    assert check_lines(found, settings) > 30
    assert [
        each for each in found.items if "sojourn:{" not in each.where and each.part not in ("jobs", "archive")
    ] == []


@pytest.mark.parametrize("text", [*ODD, *STEERING, "", "plain"])
def test_any_text_is_quoted(text: str) -> None:
    """A shell makes of it what it was, and a terminal that shows it is not steered."""
    line = quoted(text)
    assert line.isprintable()
    ran = subprocess.run(["bash", "-c", f"printf %s {line}"], capture_output=True, check=True)
    assert ran.stdout == text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("url", "reach"),
    [
        ("redis://h:1/3", '-u "$SOJOURN_REDIS_URL" -n 3'),
        ("redis://user:secret@h?db=2&socket_timeout=3", '-u "$SOJOURN_REDIS_URL" -n 2'),
        ("rediss://h", '-u "$SOJOURN_REDIS_URL" -n 0'),
        ("unix:///tmp/a b.sock?db=4", "-s '/tmp/a b.sock' -n 4"),
        ("unix://ada:secret@/tmp/s", "-s /tmp/s --user ada -n 0"),
    ],
)
def test_no_password_is_in_a_line(url: str, reach: str) -> None:
    """The URL stays in the environment; the database is told."""
    line = RedisCli.of(Settings(redis_url=url)).line(("GET", "k"))
    assert line == f"redis-cli {reach} GET k"
    queues = RedisCli.of_queues(Settings(redis_url="redis://h", queue_url="redis://q/5")).line(("PING",))
    assert queues == 'redis-cli -u "$SOJOURN_QUEUE_URL" -n 5 PING'


BREAKS: dict[str, tuple[Callable[[Any, TenantKeys, str], object], str, str]] = {
    "index": (lambda c, k, i: c.zrem(k.index("owner", "ada"), i), "owner ada", "is missing"),
    "status": (lambda c, k, i: c.zrem(k.status_index("session", "pending"), i), "status pending", "is missing"),
    "score": (lambda c, k, i: c.zadd(k.index("owner", "ada"), {i: 7}), "owner ada", "another time"),
    "stray status": (lambda c, k, i: c.zadd(k.status_index("session", "failed"), {i: 7}), "status failed", "otherwise"),
    "no lease": (lambda c, k, i: c.delete(k.lease(i)), "lease", "is missing"),
    "lease for ever": (lambda c, k, i: c.persist(k.lease(i)), "lease", "no TTL"),
    "late lease": (lambda c, k, i: c.expire(k.lease(i), 9999), "lease", "another time"),
    "no deadline": (lambda c, k, i: c.zrem(k.partition.deadlines, k.member(i)), "deadline", "is missing"),
    "wrong deadline": (lambda c, k, i: c.zadd(k.partition.deadlines, {k.member(i): 7}), "deadline", "another than"),
    "no ttl": (lambda c, k, i: c.persist(k.session(i)), "record", "has no TTL"),
    "short ttl": (lambda c, k, i: c.expire(k.session(i), 60), "record", "goes before"),
    "removal": (lambda c, k, i: c.zadd(k.partition.removals, {k.member(i): 7}), "removal", "has not ended"),
    "wrong type": (lambda c, k, i: (c.delete(k.lease(i)), c.hset(k.lease(i), "a", "b")), "lease", "no TTL"),
    "index of another type": (lambda c, k, i: c.set(k.index("owner", "ada"), "x"), "owner ada", "another type"),
    "place": (lambda c, k, i: c.hdel(k.places, i), "place", "is missing"),
    "token gone": (
        lambda c, k, i: c.hdel(k.token(i), *c.zrange(k.tokens(i), 0, 0)), "tokens", "lacks some that are listed"),
    "token not listed": (lambda c, k, i: c.zpopmin(k.tokens(i)), "list of tokens", "lacks some"),
    "tokens for ever": (lambda c, k, i: c.persist(k.families(i)), "families", "has no TTL"),
}  # fmt: skip


@pytest.mark.parametrize("how", list(BREAKS))
def test_what_is_amiss_is_told(any_redis_url: str, how: str) -> None:
    """Each thing that other hands break is marked, and nothing else is."""
    act, what, drift = BREAKS[how]
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        store.set_tenant_limits(sessions=10)
        made = store.create(owner="ada", ttl=600)
        store.tokens.issue(made.id)
        assert inspect(settings, made.id).drift == ()
        act(client, TenantKeys.of("default", settings.partitions), made.id)
        found = {each.what: each.drift for each in inspect(settings, made.id).drift}
    assert set(found) == {what}
    assert drift in found[what]


def test_an_ended_session(any_redis_url: str) -> None:
    """It has a removal, and no lease, deadline, place or token; what is left of those is drift."""
    settings = Settings(redis_url=any_redis_url)
    keys = TenantKeys.of("default", settings.partitions)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        made = store.create(owner="ada", ttl=600)
        store.update(made.id, owner="eve")
        store.complete(made.id)
        found = inspect(settings, made.id)
        assert (found.state, found.status, found.drift) == ("ended", "completed", ())
        assert "removal" in by_what(found, "marks")
        client.set(keys.lease(made.id), "", ex=100)
        client.zrem(keys.partition.removals, keys.member(made.id))
        client.zadd(keys.index("owner", "ada"), {made.id: 1})  # where it was before
        client.persist(keys.session(made.id))
        assert {each.what for each in inspect(settings, made.id).drift} == {"lease", "removal", "owner ada", "record"}
        store.delete(made.id)
        assert inspect(settings, made.id).status == "deleted"


def test_overdue_and_endless(any_redis_url: str) -> None:
    """Past its deadline, and without one, nothing is amiss."""
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings) as store:
        endless, soon = store.create(ttl=None), store.create(ttl=0.001)
        assert inspect(settings, soon.id).state == "overdue"
        assert inspect(settings, soon.id).drift == ()
        found = inspect(settings, endless.id)
        assert (found.state, found.drift) == ("live", ())
        assert "lease" not in by_what(found, "marks")


def test_gone_from_redis(any_redis_url: str, postgres_url: str) -> None:
    """An archived session is told as such, and what it left in Redis is drift; an unknown one is missing."""
    init(postgres_url)
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        made = store.create(owner="ada", tags=["x"])
        archive_once(settings)
        client.execute_command("FLUSHDB")
        found = inspect(settings, made.id)
        assert (found.state, found.status, found.drift) == ("archived", "pending", ())
        assert {each.part for each in found.items} == {"archive"}
        client.zadd(TenantKeys.of("default", settings.partitions).index("tags", "x"), {made.id: 1})
        assert [each.what for each in inspect(settings, made.id).drift] == ["tags x"]
        missing = inspect(settings, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")
        assert (missing.state, missing.items, missing.elsewhere) == ("missing", (), ())


def test_another_tenant_s(any_redis_url: str, postgres_url: str) -> None:
    """A session that the tenant does not have is looked for among the others, in Redis and in the archive."""
    init(postgres_url)
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    confine(settings, "acme", password="p" * 40)
    with SessionStore(settings=settings) as store:
        made, other = store.for_tenant("acme").create(), store.for_tenant("b").create()
        archive_once(settings)
        found = inspect(settings, made.id)
        assert (found.state, found.elsewhere, found.items) == ("missing", ("acme",), ())
        assert inspect(settings, made.id, tenant="acme").state == "live"
        assert inspect(settings, made.id, tenant="acme").partition == 100
        with redis.Redis.from_url(any_redis_url) as client:
            client.delete(Homes(settings.partitions).of("b").session(other.id))
        assert inspect(settings, other.id).elsewhere == ("b",)


@pytest.mark.parametrize("damage", ["field", "type"])
def test_a_damaged_record(any_redis_url: str, damage: str) -> None:
    """It is told what cannot be read."""
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url) as client:
        made = store.create()
        key = TenantKeys.of("default", settings.partitions).session(made.id)
        if damage == "field":
            client.hset(key, "tags", b"\xff{")
        else:
            client.delete(key)
            client.set(key, "x")
        found = inspect(settings, made.id)
        assert found.state == "damaged"
        assert by_what(found, "record")["record"].drift
        json.dumps(found.to_json())


def test_archive_and_redis_disagree(any_redis_url: str, postgres_url: str) -> None:
    """An archive that is ahead, or behind without anything waiting for it, is drift; one that is away is told."""
    init(postgres_url)
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    keys = TenantKeys.of("default", settings.partitions)
    with SessionStore(settings=settings) as store, redis.Redis.from_url(any_redis_url) as client:
        made = store.create()
        archive_once(settings)
        store.update(made.id, tags=["x"])
        assert inspect(settings, made.id).drift == ()
        client.zrem(keys.partition.dirty, keys.member(made.id))
        assert "does not wait" in by_what(inspect(settings, made.id), "archive")["session"].drift
        with psycopg.connect(postgres_url) as connection:
            connection.execute("UPDATE sojourn.sessions SET version = 9")
        assert "older copy" in by_what(inspect(settings, made.id), "archive")["session"].drift
        with psycopg.connect(postgres_url) as connection:
            connection.execute("DELETE FROM sojourn.sessions")
        assert "is missing" in by_what(inspect(settings, made.id), "archive")["session"].drift
        away = inspect(settings.model_copy(update={"archive_url": "postgresql://127.0.0.1:1/x"}), made.id)
        assert (away.state, away.drift) == ("live", ())
        assert any("archive" in each for each in away.unseen)


def test_dead_letters(any_redis_url: str) -> None:
    """Those about the session are shown, and those about another of the same tenant are not."""
    hook = HookSettings(events=("created",), function="os:getcwd")
    settings = Settings(redis_url=any_redis_url, hooks={"mail": hook})
    link = RedisLink(settings)
    link.open()
    with SessionStore(settings=settings) as store:
        made, _ = store.create(), store.create()
        events = store.peek_events(start="oldest").events
        for each in events:
            bury_event(link, settings, "mail", each, job="j", tries=3, reason=USED_UP)
        found = inspect(settings, made.id)
        letter = by_what(found, "jobs")["dead letter of mail"]
        assert letter.value == {"hook": "mail", "event": events[0].id, "tries": 3, "reason": USED_UP}
        assert len([each for each in found.items if each.what.startswith("dead letter")]) == 1
        assert shows(run_line(letter.command, settings), letter)
    link.close()


def test_a_confined_login_inspects_its_own(any_redis_url: str) -> None:
    """What it may not read is told."""
    settings = Settings(redis_url=any_redis_url)
    confined = confine(settings, "acme", password="p" * 40)
    url = any_redis_url.replace("redis://", f"redis://{confined.user}:{'p' * 40}@")
    own = settings.model_copy(update={"redis_url": url, "tenant": "acme"})
    with SessionStore(settings=own) as store:
        made = store.create(owner="ada")
        found = inspect(own, made.id)
        assert (found.state, found.drift) == ("live", ())
        assert any("jobs" in each for each in found.unseen)
        assert inspect(own, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77").state == "missing"


def test_refused(own_redis: OwnRedis) -> None:
    """What is no id or tenant, and a Redis that is away."""
    settings = Settings(redis_url=own_redis().url)
    with pytest.raises(InvalidId):
        inspect(settings, "x")
    with pytest.raises(InvalidName):
        inspect(settings, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77", tenant="a:b")
    with pytest.raises(StoreUnavailable):
        inspect(Settings(redis_url="redis://127.0.0.1:1"), "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")
