"""Fixtures for the suites that run over both stores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from tests.drivers import KINDS, StoreOpener, store_url
from tests.store.examples import JobSession

from sojourn import SessionStore


@pytest.fixture(params=KINDS)
def store_kind(request: pytest.FixtureRequest) -> str:
    """Give each kind of store."""
    return str(request.param)


@pytest.fixture
def open_store(store_kind: str, redis_url: str) -> Iterator[StoreOpener]:
    """Give a function that opens stores on an empty Redis."""
    with StoreOpener(store_kind, redis_url) as opener:
        yield opener


@pytest.fixture
def open_any_store(store_kind: str, any_redis_url: str) -> Iterator[StoreOpener]:
    """Give the same where one version of Redis suffices."""
    with StoreOpener(store_kind, any_redis_url) as opener:
        yield opener


@pytest.fixture
def login_url(redis_url: str) -> str:
    """Give the URL of an empty Redis for stores that a test opens by itself."""
    return store_url(redis_url)


@pytest.fixture
def any_login_url(any_redis_url: str) -> str:
    """Give the same where one version of Redis suffices."""
    return store_url(any_redis_url)


@pytest.fixture
def jobs(open_store: StoreOpener) -> SessionStore[JobSession]:
    """Give a store of `JobSession`."""
    return open_store(JobSession)


@pytest.fixture
def raw(redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        yield client
