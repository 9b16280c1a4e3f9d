"""Fixtures for the tests of programs that use Sojourn: pytest loads this by itself where Sojourn is installed.

Nothing of Sojourn is imported before a test asks for it. See ``docs/guides/testing.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from sojourn import AsyncSessionStore, Session, SessionStore
    from sojourn.testing import Clock, EventRecorder, TestRedis

_MARKER = "sojourn_redis"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Choose between the Redis in the process and a real one."""
    group = parser.getgroup("sojourn", "Sojourn's fixtures")
    group.addoption(
        "--sojourn-redis", action="store_true", help="run the stores on a real Redis, which ends with the tests"
    )
    group.addoption(
        "--sojourn-redis-server", metavar="PATH",
        help="that redis-server instead of the one of sojourn[embedded]; implies --sojourn-redis",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", f"{_MARKER}: needs a real Redis, also without --sojourn-redis")


def _wants_real(request: pytest.FixtureRequest) -> bool:
    options = request.config.option
    marked = request.node.get_closest_marker(_MARKER) is not None
    return bool(marked or options.sojourn_redis or options.sojourn_redis_server)


@pytest.fixture(scope="session")
def _sojourn_real_redis(request: pytest.FixtureRequest) -> Iterator[Callable[[], TestRedis]]:
    """The real Redis that all tests of this process share, started when the first one wants it."""
    from sojourn.testing import RealRedis

    with ExitStack() as stack:
        started: list[RealRedis] = []

        def start() -> TestRedis:
            if not started:
                started.append(stack.enter_context(RealRedis(request.config.option.sojourn_redis_server)))
            started[0].clear()
            return started[0]

        yield start


@pytest.fixture
def session_model() -> type[Session]:
    """The model of the stores. Override it in your ``conftest.py``."""
    from sojourn import Session

    return Session


@pytest.fixture
def session_settings() -> Mapping[str, Any]:
    """Settings of the stores, over those of environment and ``sojourn.yaml``. Override it in your ``conftest.py``."""
    return {}


@pytest.fixture
def session_redis(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, session_settings: Mapping[str, Any]
) -> Iterator[TestRedis]:
    """An empty Redis. `SOJOURN_REDIS_URL` names it, so stores that the tested program makes use it, too."""
    with ExitStack() as stack:
        if _wants_real(request):
            found: TestRedis = request.getfixturevalue("_sojourn_real_redis")()
            found.use(**session_settings)
        else:
            from sojourn.testing import FakeRedis

            found = stack.enter_context(FakeRedis(**session_settings))
        monkeypatch.setenv("SOJOURN_REDIS_URL", found.url)
        for other in ("SOJOURN_ARCHIVE_URL", "SOJOURN_QUEUE_URL"):
            monkeypatch.setenv(other, "")  # not removed, for then sojourn.yaml would name those of production
        yield found


@pytest.fixture
def session_store(session_redis: TestRedis, session_model: type[Session]) -> Iterator[SessionStore[Any]]:
    """A store on an empty Redis."""
    from sojourn import SessionStore

    with SessionStore(settings=session_redis.settings, model=session_model) as store:
        yield store


@pytest.fixture
def async_session_store(
    request: pytest.FixtureRequest, session_redis: TestRedis, session_model: type[Session]
) -> AsyncSessionStore[Any]:
    """The asynchronous store on the same Redis; for tests under pytest-asyncio, anyio, or ``asyncio.run``."""
    from sojourn import AsyncSessionStore

    store = AsyncSessionStore(settings=session_redis.settings, model=session_model)
    if _wants_real(request):
        from sojourn.testing import unpooled

        unpooled(store)
    return store


@pytest.fixture
def session_clock(session_redis: TestRedis) -> Clock:
    """The clock of the Redis in the process; on a real one, whose clock is its machine's, the test is skipped."""
    from sojourn.testing import ClockNotSettable

    try:
        return session_redis.clock
    except ClockNotSettable as error:
        pytest.skip(str(error))


@pytest.fixture
def session_events(session_store: SessionStore[Any]) -> EventRecorder:
    """All that happens to sessions of the store's tenant in this test."""
    from sojourn.testing import EventRecorder

    return EventRecorder(session_store)
