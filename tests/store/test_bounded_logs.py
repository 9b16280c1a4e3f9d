"""A bounded log where no archive is at work."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import redis
from tests.census import strays
from tests.conftest import OwnRedis
from tests.drivers import StoreOpener, snapshot
from tests.store.examples import keys_of

from sojourn import InvalidModel, Limits, Log, LogFull, Session, SessionCorrupt, SessionStore, StoreFull


class FeedSession(Session):
    """Has a bounded log and one that is not."""

    feed: ClassVar[Log[int]] = Log(int, keep=3)
    lines: ClassVar[Log[int]] = Log(int)


@pytest.fixture
def feeds(open_store: StoreOpener) -> SessionStore[FeedSession]:
    """Give a store whose logs hold 10 entries."""
    return open_store(FeedSession, limits=Limits(log_entries=10))


def test_oldest_go_at_the_bound(feeds: SessionStore[FeedSession], raw: Any) -> None:
    """The log never fills up: its oldest entries go, positions and lengths count on."""
    made = feeds.create()
    for number in range(25):
        assert feeds.append(made.id, FeedSession.feed, number) == number + 1
        assert raw.llen(keys_of(feeds).log(made.id, "feed")) == min(number + 1, 10)
    assert feeds.entries(made.id, FeedSession.feed) == list(range(15, 25))
    assert feeds.entries(made.id, FeedSession.feed, start=20) == list(range(20, 25))
    assert feeds.entries(made.id, FeedSession.feed, start=10, count=7) == [15, 16]
    assert feeds.entries(made.id, FeedSession.feed, start=5, count=10) == []
    assert feeds.entries(made.id, FeedSession.feed, start=25) == []
    key = keys_of(feeds).session(made.id)
    assert raw.hmget(key, "_first:feed", "_dropped:feed", "_keep:feed") == ["15", "15", "3"]
    feeds.complete(made.id)
    assert feeds.entries(made.id, FeedSession.feed, start=24) == [24]


def test_more_at_once_than_the_bound(feeds: SessionStore[FeedSession]) -> None:
    """Of one call with too many, the newest stay."""
    made = feeds.create()
    assert feeds.append(made.id, FeedSession.feed, *range(35)) == 35
    assert feeds.entries(made.id, FeedSession.feed) == list(range(25, 35))


def test_the_other_kind_fills_up(feeds: SessionStore[FeedSession], raw: Any) -> None:
    """A log that is not bounded takes no more than its limit, and Redis is unchanged."""
    made = feeds.create()
    feeds.append(made.id, FeedSession.lines, *range(10))
    before = snapshot(raw)
    with pytest.raises(LogFull):
        feeds.append(made.id, FeedSession.lines, 11)
    assert snapshot(raw) == before


def test_whoever_does_not_know_that_it_is_bounded(feeds: SessionStore[FeedSession]) -> None:
    """The record tells; and whoever knows it otherwise has it so from then on."""
    made = feeds.create()
    feeds.append(made.id, FeedSession.feed, *range(10))
    assert feeds.append(made.id, Log(int, "feed"), 10, 11) == 12
    assert feeds.entries(made.id, Log(int, "feed")) == list(range(2, 12))


def test_a_log_becomes_bounded(feeds: SessionStore[FeedSession]) -> None:
    """A full log of a model that was changed goes on."""
    made = feeds.create()
    feeds.append(made.id, Log(int, "feed"), *range(10))
    assert feeds.append(made.id, FeedSession.feed, 10) == 11
    assert feeds.entries(made.id, FeedSession.feed) == list(range(1, 11))


@pytest.mark.parametrize("keep", [0, -1, True, 1.5, "3"])
def test_a_bound_is_a_positive_number(keep: Any) -> None:
    """Anything else is refused where the log is declared."""
    with pytest.raises(InvalidModel):
        Log(int, keep=keep)


@pytest.mark.parametrize("field", ["_first:feed", "_dropped:feed"])
@pytest.mark.parametrize("text", ["x", "1.5", "nan", ""])
def test_damaged_positions(feeds: SessionStore[FeedSession], raw: Any, field: str, text: str) -> None:
    """A write names the damaged field, and changes nothing."""
    made = feeds.create()
    feeds.append(made.id, FeedSession.feed, 1)
    raw.hset(keys_of(feeds).session(made.id), field, text)
    before = snapshot(raw)
    with pytest.raises(SessionCorrupt) as caught:
        feeds.append(made.id, FeedSession.feed, 2)
    assert caught.value.field == field
    assert snapshot(raw) == before


def test_damaged_first_is_told_to_readers(feeds: SessionStore[FeedSession], raw: Any) -> None:
    """Where a log begins cannot be guessed."""
    made = feeds.create()
    feeds.append(made.id, FeedSession.feed, 1)
    raw.hset(keys_of(feeds).session(made.id), "_first:feed", "-3")
    with pytest.raises(SessionCorrupt):
        feeds.entries(made.id, FeedSession.feed)


def test_nothing_stays_behind(feeds: SessionStore[FeedSession], raw: Any, redis_url: str) -> None:
    """A log goes with its session."""
    made = feeds.create()
    feeds.append(made.id, FeedSession.feed, *range(20))
    feeds.delete(made.id)
    assert strays(redis_url) == []


def test_a_full_redis_refuses_it_whole(store_kind: str, own_redis: OwnRedis) -> None:
    """Out of memory, an append that would also cut the log changes nothing."""
    server = own_redis({"maxmemory-policy": "noeviction"})
    with StoreOpener(store_kind, server.url) as opener, redis.Redis.from_url(server.url) as client:
        store = opener(FeedSession, limits=Limits(log_entries=10))
        made = store.create()
        store.append(made.id, FeedSession.feed, *range(10))
        client.config_set("maxmemory", 1)
        before = snapshot(client)
        with pytest.raises(StoreFull):
            store.append(made.id, FeedSession.feed, 10)
        assert snapshot(client) == before
        client.config_set("maxmemory", 0)
        assert store.append(made.id, FeedSession.feed, 10) == 11
