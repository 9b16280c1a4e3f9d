"""Watching: every event of every tenant, at once and once, whatever happens to Redis meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from tests.conftest import OwnRedis
from tests.waiting import eventually

from sojourn import SessionStore
from sojourn.archive import archive_once, init
from sojourn.embedded import RedisServer
from sojourn.errors import InvalidId, InvalidName, StoreError, StoreUnavailable
from sojourn.events import Event
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.settings import Settings
from sojourn.tenants import confine
from sojourn.watching import Notice, Wanted, Watch


class Watching:
    """A thread that watches, and what it has seen."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self.seen: list[Event | Notice] = []
        self.failed: BaseException | None = None
        self._watch = Watch(settings, **options)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            for each in self._watch:
                self.seen.append(each)
        except StoreError as error:
            self.failed = error

    def start(self) -> None:
        """Watch, from now on: return when it listens."""
        self._thread.start()
        eventually(lambda: self._listens or self.failed, what="listening")

    @property
    def _listens(self) -> bool:
        """Whether it knows from where on to read each outbox."""
        places, here = self._watch._places.partitions, self._watch._reading.here
        return bool(places) and set(places) <= set(here)

    def stop(self) -> None:
        """Watch no more: what else is tested on the same server must not see it."""
        self._watch.close()
        self._thread.join(timeout=20)
        self._watch.close()  # the connection that it had in use

    @property
    def events(self) -> list[tuple[str, str]]:
        """Types and tenants."""
        return [(each.type, each.tenant) for each in self.seen if isinstance(each, Event)]

    @property
    def notices(self) -> list[str]:
        """What was noticed."""
        return [each.what for each in self.seen if isinstance(each, Notice)]


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Watching]]:
    """Give a function that starts to watch."""
    monkeypatch.setattr("sojourn.watching.watcher._BLOCK_MS", 450)  # so that they end soon
    started: list[Watching] = []

    def start(settings: Settings, **options: Any) -> Watching:
        started.append(Watching(settings, **options))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.stop()


def test_all_tenants_are_seen_at_once(redis_url: str, watching: Callable[..., Watching]) -> None:
    """Across partitions, in order; also those that get a partition of their own while one watches."""
    settings = Settings(redis_url=redis_url)
    with SessionStore(settings=settings) as store:
        store.create()  # before anybody watched
        seen = watching(settings)
        names = [f"t{number}" for number in range(30)]
        for name in names:
            store.for_tenant(name).create()
        eventually(lambda: len(seen.events) == 30, what="all tenants' events")
        assert sorted(seen.events) == sorted(("created", name) for name in names)
        times = [each.at for each in seen.seen if isinstance(each, Event)]
        assert times == sorted(times)  # within a millisecond nobody knows the order across partitions
        confine(settings, "late", password="x" * 40)
        for number in range(3):
            store.for_tenant("late").create(owner=str(number))
        eventually(lambda: seen.events.count(("created", "late")) == 3, what="the isolated tenant's events")
        assert seen.notices == []


def test_one_tenant_is_followed_when_it_moves(any_redis_url: str, watching: Callable[..., Watching]) -> None:
    """To its own partition, without a gap and without another's events."""
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings) as store:
        seen = watching(settings, tenant="acme")
        acme = store.for_tenant("acme")
        made = [acme.create().id]
        confine(settings, "other", password="x" * 40)
        confine(settings, "acme", password="x" * 40)
        store.for_tenant("other").create()
        made += [acme.create().id for _ in range(3)]
        eventually(lambda: seen.events.count(("created", "acme")) == 4, what="all of its events")
        told = [each.session_id for each in seen.seen if isinstance(each, Event) and each.type == "created"]
        assert told == made
        assert {tenant for _, tenant in seen.events} == {"acme"}


def test_filters(any_redis_url: str, watching: Callable[..., Watching]) -> None:
    """Each filter lets its own through, and nothing else."""
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings) as store:
        acme = store.for_tenant("acme")
        one = acme.create(owner="ada")
        views = {
            "type": watching(settings, wanted=Wanted(types=("ended",))),
            "kind": watching(settings, wanted=Wanted(kinds=("session",))),
            "no such kind": watching(settings, wanted=Wanted(kinds=("mcp",))),
            "session": watching(settings, wanted=Wanted(session_ids=(one.id,))),
            "owner": watching(settings, wanted=Wanted(owner="ada")),
            "tenant": watching(settings, tenant="acme"),
            "all": watching(settings),
        }
        acme.update(one.id, tags=["x"])
        eventually(lambda: views["owner"].events, what="ada's")  # whose it is is asked for then
        acme.update(one.id, owner="eve")
        acme.update(one.id, tags=["y"])
        acme.complete(one.id)
        store.create(owner="ada")
        eventually(lambda: len(views["all"].events) == 5, what="all")
        whole = views["all"].events
        assert whole[-1] == ("created", "default")
        expected = {
            "type": whole[3:4], "kind": whole, "no such kind": [], "session": whole[:4],
            "owner": [*whole[:2], whole[4]], "tenant": whole[:4],
        }  # fmt: skip
        for name, events in expected.items():
            eventually(lambda: len(views[name].events) >= len(events), what=name)  # noqa: B023
            assert views[name].events == events, name


def test_owners_of_the_past(any_redis_url: str, watching: Callable[..., Watching]) -> None:
    """Of events that are read together, each is held against whose the session was then, also beside other filters."""
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings) as store:
        began = datetime.now(UTC) - timedelta(minutes=1)
        one = store.create(owner="ada")
        store.update(one.id, tags=["x"])
        store.update(one.id, owner="eve")
        store.update(one.id, tags=["y"])
        store.complete(one.id)
        store.create()
        adas = watching(settings, since=began, wanted=Wanted(owner="ada"))
        eves = watching(settings, since=began, wanted=Wanted(owner="eve", types=("ended",)))
        everything = watching(settings, since=began)
        eventually(lambda: len(everything.events) == 6, what="all")
        eventually(lambda: len(adas.events) == 3 and len(eves.events) == 1, what="theirs")
        assert [kind for kind, _ in adas.events] == ["created", "updated", "updated"]


def test_nothing_is_lost_while_redis_is_away(own_redis: OwnRedis, watching: Callable[..., Watching]) -> None:
    """It says once that Redis went and once that it is back, and what happened in between comes once."""
    server = own_redis({"appendonly": "yes", "appendfsync": "always"})
    settings = Settings(redis_url=server.url)
    with SessionStore(settings=settings) as store:
        seen = watching(settings)
        store.create()
        eventually(lambda: len(seen.events) == 1, what="the first")
        server.kill()
        eventually(lambda: seen.notices == ["away"], what="the notice")
        server.restart()
        for _ in range(20):
            store.create()
        eventually(lambda: len(seen.events) == 21, what="the others")
        time.sleep(0.05)
        assert len(seen.events) == 21
        assert seen.notices == ["away", "back"]


def test_a_frozen_redis_is_told(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch, watching: Callable[..., Watching]
) -> None:
    """One that does not answer counts as away; the watch goes on when it does."""
    monkeypatch.setattr("sojourn.watching.watcher._PATIENCE_S", 0.3)
    monkeypatch.setattr("sojourn.watching.watcher._BLOCK_MS", 50)
    server = own_redis()
    settings = Settings(redis_url=server.url, socket_timeout=0.3)
    seen = watching(settings)
    with SessionStore(settings=settings) as store:
        server.pause()
        eventually(lambda: seen.notices == ["away"], what="the notice")
        server.resume()
        eventually(lambda: store.create() and seen.notices == ["away", "back"] and seen.events, what="going on")


def test_what_was_trimmed_meanwhile_is_told(
    own_redis: OwnRedis, redis_executable: str, watching: Callable[..., Watching], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an archive it says how many events are gone; on Redis 6.2, which does not tell, that some may be."""
    server = own_redis({"appendonly": "yes", "appendfsync": "always"}, executable=redis_executable)
    settings = Settings(redis_url=server.url)
    comes_back, again = threading.Event(), Watch._again
    monkeypatch.setattr(Watch, "_again", lambda watch: (comes_back.wait(20), again(watch)))
    with SessionStore(settings=settings) as store:
        seen = watching(settings)
        store.create()
        eventually(lambda: len(seen.events) == 1, what="the first")
        server.kill()
        eventually(lambda: seen.notices == ["away"], what="the notice")
        tells = _while_away(server, settings)
        comes_back.set()
        eventually(lambda: len(seen.events) >= 2, what="what is left")
        eventually(lambda: seen.notices == ["away", "back", "missed"], what="the notice of what is gone")
        missed = next(each for each in seen.seen if isinstance(each, Notice) and each.what == "missed")
        assert missed.text.startswith("4 events have" if tells else "events may have"), missed.text


def _while_away(server: RedisServer, settings: Settings) -> bool:
    """Five events, of which all but the last are trimmed at once; whether this Redis tells how many there were."""
    server.restart()
    key = TenantKeys.of("default", settings.partitions).partition.events
    fields: dict[Any, Any] = {"type": "created", "tenant": "default", "kind": "session"}
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.xgroup_create(key, "reader")
        for _ in range(5):
            client.xadd(key, fields)
        client.xtrim(key, maxlen=1, approximate=False)
        info: Any = client.xinfo_stream(key)
        return "entries-added" in info


def test_since_tells_the_past_first(redis_url: str, watching: Callable[..., Watching]) -> None:
    """From the outbox, oldest first, and then what comes, without a gap and without repeats."""
    settings = Settings(redis_url=redis_url)
    with SessionStore(settings=settings) as store:
        for name in ("a", "b", "a"):
            store.for_tenant(name).create()
        seen = watching(settings, since=datetime.now(UTC) - timedelta(minutes=5))
        store.create()
        eventually(lambda: len(seen.events) == 4, what="past and present")
        assert sorted(seen.events[:3]) == [("created", "a"), ("created", "a"), ("created", "b")]
        times = [each.at for each in seen.seen if isinstance(each, Event)]
        assert times == sorted(times)
        assert seen.notices == []
        future = watching(settings, since=datetime.now(UTC) + timedelta(hours=1))
        store.create()
        eventually(lambda: len(seen.events) == 5, what="the next")
        assert future.events == []


def test_since_reaches_into_the_archive(
    any_redis_url: str, postgres_url: str, watching: Callable[..., Watching]
) -> None:
    """What has left the outbox since comes from there, in order and once; an archive that is away is told."""
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    init(postgres_url)
    since = datetime.now(UTC) - timedelta(minutes=5)
    with SessionStore(settings=settings) as store:
        one = store.create(owner="ada")
        store.complete(one.id)
        store.for_tenant("acme").create()
        archive_once(settings)
        store.create(owner="eve")
        with redis.Redis.from_url(any_redis_url) as client:
            for each in (store, store.for_tenant("acme")):
                client.xtrim(each._context.keys.partition.events, maxlen=0 if each is not store else 1)
        expected = [("created", "default"), ("ended", "default"), ("created", "acme"), ("created", "default")]
        seen = watching(settings, since=since)
        eventually(lambda: len(seen.events) == 4, what="past and present")
        assert sorted(seen.events) == sorted(expected)  # within a millisecond nobody knows the order across partitions
        assert seen.events[-1] == expected[-1]
        mine = watching(settings, since=since, tenant="acme")
        eventually(lambda: len(mine.events) == 1, what="one tenant's")
        gone = watching(settings.model_copy(update={"archive_url": "postgresql://127.0.0.1:1/x"}), since=since)
        eventually(lambda: gone.notices == ["missed"], what="the notice")


def test_a_confined_login_watches_its_tenant(any_redis_url: str, watching: Callable[..., Watching]) -> None:
    """And nothing else: without a tenant it is refused."""
    settings = Settings(redis_url=any_redis_url)
    confined = confine(settings, "acme", password="p" * 40)
    url = any_redis_url.replace("redis://", f"redis://{confined.user}:{'p' * 40}@")
    own = settings.model_copy(update={"redis_url": url, "tenant": "acme"})
    seen = watching(own, tenant="acme")
    with SessionStore(settings=own) as store:
        store.create()
        eventually(lambda: ("created", "acme") in seen.events, what="its event")
    with pytest.raises(StoreError, match="name it"):
        next(iter(Watch(own)))
    with pytest.raises(StoreError):
        next(iter(Watch(own, tenant="default")))


def test_forged_events_and_odd_keys_are_not_taken(any_redis_url: str, watching: Callable[..., Watching]) -> None:
    """What a tenant writes about others in its own partition is not told, and what is no outbox hides no other."""
    settings = Settings(redis_url=any_redis_url)
    confine(settings, "evil", password="p" * 40)
    with redis.Redis.from_url(any_redis_url) as client, SessionStore(settings=settings) as store:
        seen = watching(settings)
        fields: dict[Any, Any] = {"type": "ended", "tenant": "default", "id": "x", "kind": "session"}
        client.xadd(PartitionKeys(100).events, fields)
        client.xadd(PartitionKeys(100).events, fields | {"tenant": "evil", "changes": "[" * 9000})
        eventually(lambda: ("ended", "evil") in seen.events, what="its own")
        assert ("ended", "default") not in seen.events
        client.set(PartitionKeys(100).events, "no stream")
        made = eventually(lambda: "odd" in seen.notices or not store.create(), what="the notice")
        assert made
        before = len(seen.events)
        store.create()
        eventually(lambda: len(seen.events) > before, what="the others' events")


def test_refused(any_redis_url: str) -> None:
    """Names that are none, and a Redis that is not there at the start."""
    settings = Settings(redis_url=any_redis_url)
    with pytest.raises(InvalidName):
        Watch(settings, tenant="a:b")
    with pytest.raises(InvalidName):
        Wanted(kinds=("A b",))
    with pytest.raises(InvalidId):
        Wanted(session_ids=("x",))
    with pytest.raises(StoreUnavailable):
        next(iter(Watch(Settings(redis_url="redis://127.0.0.1:1/0"))))


def test_it_only_looks(any_redis_url: str, watching: Callable[..., Watching]) -> None:
    """No group and no key comes of it; it does not poll."""
    settings = Settings(redis_url=any_redis_url)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client, SessionStore(settings=settings) as store:
        store.create()
        keys = set(client.scan_iter())
        seen = watching(settings)
        before: Any = client.info("commandstats")
        began = time.monotonic()
        time.sleep(0.4)
        after: Any = client.info("commandstats")
        calls = after.get("cmdstat_xread", {"calls": 0})["calls"] - before.get("cmdstat_xread", {"calls": 0})["calls"]
        assert calls <= 1 + (time.monotonic() - began) / 0.45  # one read for each time that it blocks
        store.create()
        eventually(lambda: seen.events, what="the event")
        assert not [key for key in client.scan_iter(_type="stream") if client.xinfo_groups(key)]
        assert keys <= set(client.scan_iter())
