"""A deployment to break: sessions of every kind in a Redis, and what the doctor says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import pytest
import redis
from tests.store.examples import JobSession, keys_of

from sojourn import SessionStore, Settings
from sojourn.doctor import Finding, examine, mend
from sojourn.keys import TenantKeys

__all__ = ["World"]


@dataclass
class World:
    """A deployment, and the sessions in it that tests break."""

    settings: Settings
    store: SessionStore[JobSession]
    client: Any

    @cached_property
    def live(self) -> JobSession:
        """A live session with everything that one can have."""
        made = self.store.create(owner="ada", tags=["x", "y"], labels=["l"])
        self.store.append(made.id, JobSession.lines, "a", "b")
        self.store.tokens.issue(made.id)
        return made

    @cached_property
    def ended(self) -> JobSession:
        """An ended one."""
        made = self.store.create(owner="bob", tags=["x"])
        self.store.append(made.id, JobSession.lines, "a")
        return self.store.complete(made.id)

    @property
    def keys(self) -> TenantKeys:
        """The tenant's keys."""
        found: TenantKeys = keys_of(self.store)
        return found

    def examine(self, *only: str, full: bool = True) -> list[Finding]:
        """Make some checks, or all."""
        return list(examine(self.settings, only=only, full=full))

    def find(self, check: str, *, full: bool = True) -> list[Finding]:
        """Return what one check finds that is not well."""
        return [each for each in self.examine(check, full=full) if each.severity != "ok"]

    def mend(self, check: str) -> None:
        """Have mended what one check finds, and see that nothing of it is left."""
        done = list(mend(self.settings, self.find(check)))
        assert [each.check for each in done] == [check]
        assert done[0].failed == ""
        assert done[0].left == ()


@pytest.fixture
def world(redis_url: str) -> Iterator[World]:
    """Give a deployment on each version of Redis."""
    yield from _made(redis_url)


@pytest.fixture
def any_world(any_redis_url: str) -> Iterator[World]:
    """Give one where a version suffices."""
    yield from _made(any_redis_url)


def _made(url: str) -> Iterator[World]:
    settings = Settings(redis_url=url, partitions=4, grace=timedelta(days=1), retention=timedelta(hours=1))
    client: Any = redis.Redis.from_url(url, decode_responses=True, protocol=2)
    with SessionStore(settings=settings, model=JobSession) as store, client:
        made = World(settings, store, client)
        store.set_tenant_limits(sessions=1000, owner_sessions=500, bytes=10**6)
        _ = made.live, made.ended, store.persist(store.create(owner="eve").id)
        yield made
