"""Fixtures for secrets in Redis and in the archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis
from tests.drivers import StoreOpener
from tests.store.secrets.examples import FIRST, VaultSession

from sojourn import SessionStore, Settings
from sojourn.archive import init

MakeSettings = Callable[..., Settings]


@pytest.fixture
def settings_with(any_redis_url: str, postgres_url: str) -> MakeSettings:
    """Give a function that makes settings for an empty Redis and an empty archive, with these keys."""
    init(postgres_url)
    return lambda *keys, **more: Settings(
        **{"redis_url": any_redis_url, "archive_url": postgres_url, "retention": timedelta(0), "secret_keys": keys,
           "models": ("tests.store.secrets.examples:VaultSession",), **more}
    )  # fmt: skip


@pytest.fixture
def archived_vault(settings_with: MakeSettings) -> Iterator[SessionStore[VaultSession]]:
    """Give a store that seals with the first key."""
    with SessionStore(settings=settings_with(FIRST), model=VaultSession) as store:
        yield store


@pytest.fixture
def vault(open_any_store: StoreOpener) -> SessionStore[VaultSession]:
    """Give a store that can seal."""
    return open_any_store(VaultSession, secret_keys=(FIRST,))


@pytest.fixture
def client(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as opened:
        yield opened


@pytest.fixture
def query(postgres_url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Give a function that runs SQL on the archive."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:

        def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

        yield run
