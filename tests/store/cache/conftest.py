"""Stores with a near cache."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis
from tests.drivers import StoreOpener
from tests.store.examples import JobSession
from tests.waiting import eventually

from sojourn import Cache, CacheInfo, SessionNotFound, SessionStore

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def tracking(store: Any) -> Any:
    """Return a store, once Redis tells its cache of changes to the sessions of its tenant."""
    table = store._shared.near._table

    def begun() -> bool:
        with suppress(SessionNotFound):
            store.get(UNKNOWN)
        return bool(store.cache.tracking) and store._context.keys.sessions in table.tracked

    eventually(begun, what="tracking")
    return store


def info(store: Any) -> CacheInfo:
    """Return how a store's cache fares."""
    found = store.cache
    assert isinstance(found, CacheInfo)
    return found


def is_held(store: Any, session_id: str) -> bool:
    """Return whether a store would answer a get of that session from its cache."""
    return store._hit(session_id) is not None


def warm(store: Any, session_id: str) -> Any:
    """Return a session that a store's cache holds, after all that Redis had to tell of earlier writes has come.

    What a store itself wrote is told to it as well; it may come after the next read, which is then done once more.
    """

    def stays() -> Any:
        found = store.get(session_id)
        return found if is_held(store, session_id) and store.get(session_id) is found else None

    found = eventually(stays, what="the session in the cache")
    before = info(store).invalidations
    with redis.Redis.from_url(re.sub("//.*@", "//", store.settings.redis_url)) as client:  # not as a confined user
        client.touch("sojourn:meta")
    time.sleep(0.02)
    return found if info(store).invalidations == before and is_held(store, session_id) else warm(store, session_id)


def deaf(store: Any) -> None:
    """Let nothing that Redis tells reach a store's cache, as if it were on its way for long."""
    store._shared.near._table.told = lambda keys: None


@pytest.fixture
def cached(open_store: StoreOpener) -> SessionStore[JobSession]:
    """Give a store with a cache that works."""
    return tracking(open_store(JobSession, cache=Cache()))  # type: ignore[no-any-return]


@pytest.fixture
def open_cached(open_store: StoreOpener) -> Callable[..., SessionStore[JobSession]]:
    """Give a function that opens such stores."""
    return lambda **settings: tracking(open_store(JobSession, **{"cache": Cache(), **settings}))


@pytest.fixture
def other(redis_url: str) -> Iterator[SessionStore[JobSession]]:
    """Give somebody else's store, without a cache."""
    with SessionStore(redis_url, model=JobSession) as store:
        yield store


@pytest.fixture
def admin(redis_url: str) -> Iterator[Any]:
    """Give a client that sees what the connections are."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2, client_name="admin") as client:
        yield client
