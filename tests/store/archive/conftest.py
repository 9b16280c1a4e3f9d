"""Fixtures for the archive's tests: a Redis, a database with the tables in it, and a store over both."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import redis

from sojourn import DocumentationSession, SessionStore, Settings
from sojourn.archive import init

Starter = Callable[[Settings], "subprocess.Popen[bytes]"]
_RUN = "from sojourn import load_settings; from sojourn.archive import archive_once; archive_once(load_settings())"


@pytest.fixture
def settings(any_redis_url: str, postgres_url: str) -> Settings:
    """Give settings for an empty Redis and an empty archive."""
    init(postgres_url)
    return Settings(redis_url=any_redis_url, archive_url=postgres_url, retention=timedelta(0))


@pytest.fixture
def store(settings: Settings) -> Iterator[SessionStore[DocumentationSession]]:
    """Give a store of documentation sessions."""
    with SessionStore(settings=settings, model=DocumentationSession) as made:
        yield made


@pytest.fixture
def raw(settings: Settings) -> Iterator[redis.Redis]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(settings.redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def query(settings: Settings) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Give a function that runs SQL on the archive."""
    with psycopg.connect(str(settings.archive_url), autocommit=True) as connection:
        yield lambda statement, *values: connection.execute(statement, values).fetchall()


@pytest.fixture
def start_run() -> Iterator[Starter]:
    """Give a function that starts an archive run in a process of its own, to be killed."""
    with ExitStack() as stack:

        def start(settings: Settings) -> subprocess.Popen[bytes]:
            environment = {
                **os.environ,
                "SOJOURN_REDIS_URL": settings.redis_url,
                "SOJOURN_ARCHIVE_URL": str(settings.archive_url),
                "SOJOURN_RETENTION": "PT0S",
            }
            process = subprocess.Popen([sys.executable, "-c", _RUN], env=environment)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield start
