"""The Redis in the process: it does what a real one does, as far as it says so, and its clock can be set."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.drivers import KINDS, StoreOpener
from tests.store.examples import JobSession

from sojourn import (
    AsyncSessionStore,
    McpSession,
    SessionNotFound,
    SessionStore,
    SojournError,
    StoreUnavailable,
    TokenInvalid,
    load_settings,
)
from sojourn.secrets import new_key
from sojourn.testing import Clock, ClockNotSettable, EventRecorder, FakeRedis, RealRedis
from sojourn.transport.stand_in import stand_in_for


@pytest.fixture
def fake() -> Iterator[FakeRedis]:
    """Give an empty one."""
    with FakeRedis(partitions=4) as redis:
        yield redis


def _outcome(call: Callable[[], Any]) -> str:
    """What a call gave, without what differs from one time to the next."""
    try:
        told = repr(call())
    except SojournError as error:
        told = f"{type(error).__name__}: {error}"
    told = re.sub(r"datetime\.datetime\([^)]*\)", "TIME", told)
    told = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", told)
    told = re.sub(r"sjt_\w+", "TOKEN", told)
    told = re.sub(r"\d{4}-\d\d-\d\d[ T][\d:.+]+", "TIME", told)
    return re.sub(r"\d+-\d+-\d+|\d{13}-\d+|'retry_after': [\d.]+|\d+\.\d+ s", "NUMBER", told)


def _story(store: SessionStore[Any]) -> list[str]:
    """What comes of one call after the other."""
    told: list[str] = []

    def tell(call: Callable[[], Any]) -> None:
        told.append(_outcome(call))

    first = store.create(
        queue="north", owner="ada", tags=["a", "ü"], metadata={"deep": {"list": [1, 2.5, None]}}, ttl=60
    )
    second = store.create(queue="south", owner="bob", ttl=None)
    tell(lambda: store.get(first.id))
    tell(lambda: store.update(first.id, version=1, status="in_progress", metadata={"n": 2**53}))
    tell(lambda: store.update(first.id, version=1, status="in_progress"))
    tell(lambda: store.update(first.id, nothing=1))
    tell(lambda: store.increment(first.id, attempts=3))
    tell(lambda: store.append(first.id, JobSession.lines, "one", "two"))
    tell(lambda: store.entries(first.id, JobSession.lines))
    tell(lambda: store.list(owner="ada").sessions)
    tell(lambda: sorted(each.owner or "" for each in store.list(where={"queue": "south"}).sessions))
    tell(lambda: store.list(tag="ü").sessions)
    tell(lambda: store.count(status="pending"))
    tell(lambda: store.touch(second.id))
    tell(lambda: store.set_ttl(second.id, 10))
    tell(lambda: store.persist(second.id))
    tell(lambda: store.mutate(second.id, lambda found: {"tags": (*found.tags, "seen")}))
    pair = store.tokens.issue(first.id, fingerprint="phone")
    tell(lambda: store.tokens.verify(pair.access, fingerprint="phone"))
    tell(lambda: store.tokens.verify(pair.access, fingerprint="other"))
    assert pair.refresh is not None
    tell(lambda: store.tokens.refresh(pair.refresh or "", fingerprint="phone"))
    tell(lambda: store.tokens.refresh(pair.refresh or "", fingerprint="phone"))  # a second time: the family ends
    tell(lambda: store.rotate_id(first.id))
    tell(lambda: store.get(first.id))
    store.set_tenant_limits(sessions=3, owner_sessions=2)
    tell(lambda: store.create(queue="north", owner="bob"))
    tell(lambda: store.create(queue="north", owner="bob"))
    tell(lambda: store.create_many([{"queue": "a", "owner": "c"}, {"queue": "b", "owner": "c"}]))
    store.set_tenant_limits(sessions=3, owner_sessions=2, policy="evict_lru")
    tell(lambda: store.create(queue="west", owner="dan"))
    tell(lambda: store.usage())
    tell(lambda: store.complete(second.id, reason="done"))
    tell(lambda: store.complete(second.id))
    tell(lambda: store.delete(second.id))
    tell(lambda: store.get_many([first.id, second.id]))
    tell(lambda: [each.type for each in store.peek_events(start="oldest").events])
    tell(lambda: [each.type for each in store.events("billing", timeout=0, start="oldest", limit=5)])
    tell(lambda: store.forget_events("billing"))
    return told


@pytest.mark.parametrize("kind", KINDS)
def test_it_does_what_a_real_one_does(fake: FakeRedis, redis_url: str, kind: str) -> None:
    """The same calls, mistakes among them, come out the same, to the word."""
    with StoreOpener(kind, fake.url) as on_fake, StoreOpener(kind, redis_url) as on_real:
        told = _story(on_fake(JobSession, partitions=4))
        expected = _story(on_real(JobSession, partitions=4))
    assert told == expected


def test_secrets_and_executions(fake: FakeRedis) -> None:
    """Sealed fields open again, and executions of tools are counted."""
    settings = load_settings(redis_url=fake.url, secret_keys=[new_key()])
    with SessionStore(settings=settings, model=McpSession) as store:
        session = store.create(owner="ada", edge_mcp_id="edge", credentials={"github": "planted"})
        store.mcp.record_tool_execution(session.id, tool="search", duration=0.2, arguments={"q": 1})
        assert store.mcp.metrics(session.id).total == 1
        credentials = store.get(session.id).credentials
        assert credentials is not None
        assert credentials.get_secret_value() == {"github": "planted"}


def test_a_clock_that_is_moved_expires(fake: FakeRedis) -> None:
    """What falls due expires at once, is told, and is removed when it was kept for long enough."""
    with SessionStore(settings=fake.settings) as store:
        recorder = EventRecorder(store)
        short, long = store.create(ttl=60), store.create(ttl=timedelta(days=400))
        fake.clock.advance(timedelta(seconds=59))
        assert store.get(short.id).expires_at == short.expires_at
        fake.clock.advance(2)
        with pytest.raises(SessionNotFound):
            store.get(short.id)
        assert store.get(long.id)
        assert [each.session_id for each in recorder.of("expired")] == [short.id]
        fake.clock.advance(timedelta(days=399))
        assert recorder.types == ["created", "created", "expired"]
        fake.clock.advance(timedelta(days=2))
        assert [each.session_id for each in recorder.of("expired")] == [short.id, long.id]
        assert store.count() == 0


def test_tokens_go_by_the_clock(fake: FakeRedis) -> None:
    """An access token is over when its time is."""
    with SessionStore(settings=fake.settings) as store:
        token = store.tokens.issue(store.create(ttl=None).id, access_ttl=60).access
        assert store.tokens.verify(token)
        fake.clock.advance(61)
        with pytest.raises(TokenInvalid):
            store.tokens.verify(token)


def test_a_frozen_clock_stands_still(fake: FakeRedis) -> None:
    """Times are then what the test says, to the millisecond; afterwards it goes on from there."""
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    fake.clock.freeze(moment)
    with SessionStore(settings=fake.settings) as store:
        session = store.create(ttl=60)
        assert (session.created_at, session.expires_at) == (moment, moment + timedelta(seconds=60))
        assert store.touch(session.id) == moment + timedelta(seconds=60)
        fake.clock.advance(10)
        assert store.touch(session.id) == moment + timedelta(seconds=70)
        fake.clock.go_on()
        started = fake.clock.now
        assert started >= moment + timedelta(seconds=10)
        while fake.clock.now == started:
            time.sleep(0)


@pytest.mark.parametrize("by", [-1, float("nan"), float("inf"), timedelta(seconds=-1)])
def test_a_clock_never_goes_back(by: float | timedelta) -> None:
    """Nothing in Sojourn expects that of a Redis."""
    with pytest.raises(ValueError, match="never back"):
        Clock().advance(by)


def test_a_clock_is_not_frozen_in_the_past() -> None:
    """Nor at a moment that nobody can place."""
    clock = Clock()
    with pytest.raises(ValueError, match="does not go back"):
        clock.freeze(datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(ValueError, match="no time zone"):
        clock.freeze(datetime(2050, 1, 1))  # noqa: DTZ001


def test_an_outage(fake: FakeRedis) -> None:
    """Stores hear nothing while it lasts, and all is there again when it is over."""
    with SessionStore(settings=fake.settings.model_copy(update={"retries": 1})) as store:
        session = store.create(ttl=60)
        with fake.away():
            fake.clock.advance(61)
            with pytest.raises(StoreUnavailable, match="2 attempts"):
                store.get(session.id)
        assert fake.expire_due() == 1
        fake.clear()
        assert store.count() == 0


def test_each_is_apart_and_gone_in_the_end(fake: FakeRedis) -> None:
    """Two at once share nothing, and what was made after the end of one finds no server."""
    with FakeRedis() as other:
        with SessionStore(other.url) as there, SessionStore(settings=fake.settings) as here:
            session = there.create()
            assert here.get_many([session.id]) == [None]
        url = other.url
        assert stand_in_for(url) is not None
    assert stand_in_for(url) is None
    gone = load_settings(redis_url=url, retries=0)
    with SessionStore(settings=gone) as store, pytest.raises(StoreUnavailable):
        store.create()


def test_settings_of_production_are_not_reached_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive in the environment is no part of a test, unless the test says so."""
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", "postgresql://nobody@127.0.0.1:1/production")
    monkeypatch.setenv("SOJOURN_TTL", "7")
    with FakeRedis() as fake:
        assert fake.settings.archive_url is None
        assert fake.settings.ttl == timedelta(seconds=7)


def test_threads_and_tasks_at_once(fake: FakeRedis) -> None:
    """Many callers of both stores at once lose no update."""
    with SessionStore(settings=fake.settings, model=JobSession) as store:
        session = store.create(queue="north")

        def count() -> None:
            for _ in range(20):
                store.increment(session.id, attempts=1)

        async def count_async() -> None:
            async with AsyncSessionStore(settings=fake.settings, model=JobSession) as twin:
                await asyncio.gather(*(twin.increment(session.id, attempts=1) for _ in range(40)))

        threads = [threading.Thread(target=count) for _ in range(4)]
        for each in threads:
            each.start()
        asyncio.run(count_async())
        for each in threads:
            each.join()
        assert store.get(session.id).attempts == 120


def test_waiting_for_events_holds_nobody_up(fake: FakeRedis) -> None:
    """A task that waits for an event lets others run, and gets it when it comes."""

    async def wait() -> list[str]:
        async with AsyncSessionStore(settings=fake.settings) as store:

            async def first() -> list[str]:
                return [each.type async for each in store.events("group", start="oldest", limit=1, timeout=20)]

            waiting = asyncio.ensure_future(first())
            await asyncio.sleep(0)
            await store.create(owner="ada")
            return await waiting

    assert asyncio.run(wait()) == ["created"]


def test_a_recorder_begins_where_it_is_told(fake: FakeRedis) -> None:
    """It can pass over what was, forget, and tell one session's events from others'."""
    with SessionStore(settings=fake.settings) as store:
        first = store.create()
        everything, later = EventRecorder(store), EventRecorder(store, past=False)
        second = store.create()
        store.complete(second.id)
        assert (len(everything), everything.types) == (3, ["created", "created", "ended"])
        assert [each.type for each in later] == ["created", "ended"]
        assert [each.type for each in everything.of(session=first)] == ["created"]
        assert [each.session_id for each in everything.of("ended", session=second.id)] == [second.id]
        everything.clear()
        assert everything.types == []
        store.delete(first.id)
        assert everything.types == ["deleted"]


def test_a_real_ones_clock_cannot_be_set() -> None:
    """A real server is started, emptied and stopped; its time passes by itself."""
    with RealRedis(partitions=2) as real:
        with SessionStore(settings=real.settings) as store:
            session = store.create(ttl=0.05)
            with pytest.raises(ClockNotSettable):
                real.clock.advance(1)
            give_up_s = time.monotonic() + 10
            while not (expired := real.expire_due()) and time.monotonic() < give_up_s:
                time.sleep(0.01)
            assert expired == 1
            assert EventRecorder(store).of("expired", session=session.id)
            real.clear()
            assert EventRecorder(store).types == []
        url = real.url
    with SessionStore(settings=load_settings(redis_url=url, retries=0)) as store, pytest.raises(StoreUnavailable):
        store.create()
