"""Fixtures for the fuzzers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.drivers import KINDS
from tests.fuzz.models import KEY
from tests.fuzz.world import World
from tests.servers import Databases, RedisServers, redis_executables

from sojourn import Settings
from sojourn.archive import init


@pytest.fixture(scope="module")
def fuzz_settings(redis_servers: RedisServers, databases: Databases, postgres_template: str) -> Iterator[Settings]:
    """Give settings for a Redis and an archive of the module's own."""
    name = databases.create(postgres_template)
    url = databases.url(name)
    init(url)
    redis_url = redis_servers.clean_url(next(iter(redis_executables().values())))
    yield Settings(redis_url=redis_url, archive_url=url, secret_keys=[KEY])
    databases.drop(name)


@pytest.fixture(scope="module", params=KINDS)
def world(request: pytest.FixtureRequest, fuzz_settings: Settings) -> Iterator[World]:
    """Give each kind of store over a few sessions."""
    with World(request.param, fuzz_settings) as made:
        yield made
