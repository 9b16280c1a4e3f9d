"""Fixtures for every test: clean Redis and PostgreSQL, servers to break, free ports.

Tests that take `redis_url` run once per Redis version there is; those for which one suffices take
`any_redis_url`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from tests.drivers import StoreOpener
from tests.proxy import Proxy
from tests.servers import Databases, RedisServers, redis_executables, start_postgres

from sojourn.embedded import PostgresServer, RedisServer
from sojourn.embedded import free_port as any_free_port

_EXECUTABLES = redis_executables()
_POSTGRES_URL = "postgres_url"
_TESTS = Path(__file__).parent
_UNMEASURED = ("acceptance", "deploy", "fuzz", "scripts")
_controller_stack = ExitStack()


class OwnRedis(Protocol):
    """What the fixture `own_redis` is."""

    def __call__(self, options: Mapping[str, str] | None = None, *, executable: str | None = None) -> RedisServer:
        """Start a server that ends with the test."""


class _Node(Protocol):
    """The part of pytest-xdist's worker controller that is used here."""

    workerinput: dict[str, Any]
    config: pytest.Config


_shared_postgres_url = pytest.StashKey[str]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: _Node) -> None:
    """Tell each pytest-xdist worker the PostgreSQL that all of them share; the controller owns it."""
    stash = node.config.stash
    if _shared_postgres_url not in stash:
        stash[_shared_postgres_url] = start_postgres(_controller_stack)
    node.workerinput[_POSTGRES_URL] = stash[_shared_postgres_url]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the suites run as a Redis user that is confined to one tenant, or with near caches."""
    parser.addoption("--cached", action="store_true", help="stores have near caches")
    parser.addoption("--confined", action="store_true", help="stores log in as a user confined to their tenant")


def pytest_configure(config: pytest.Config) -> None:
    """Tell the openers of stores."""
    StoreOpener.confined = bool(config.getoption("--confined"))
    StoreOpener.cached = bool(config.getoption("--cached"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what no confined user can do, and mark what is not measured.

    Coverage more than doubles the time of what is tried with many values or many processes, all of which runs the code
    that other tests cover.
    """
    for each in items:
        if each.path.is_relative_to(_TESTS) and each.path.relative_to(_TESTS).parts[0] in _UNMEASURED:
            each.add_marker("no_cover")
    if config.getoption("--confined"):
        beyond = [each for each in items if each.get_closest_marker("beyond_one_tenant")]
        config.hook.pytest_deselected(items=beyond)
        items[:] = [each for each in items if each not in beyond]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Have the processes of a test that is not measured go without coverage, too."""
    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("no_cover"):
            patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Trace nothing: in a process of pytest-xdist, coverage of the process goes on where pytest-cov's pauses."""
    trace = sys.gettrace()
    if not item.get_closest_marker("no_cover"):
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(trace)


def pytest_unconfigure() -> None:
    """Stop what the controller started."""
    _controller_stack.close()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run async tests on asyncio only."""
    return "asyncio"


@pytest.fixture(scope="session")
def redis_servers() -> Iterator[RedisServers]:
    """Give the shared Redis servers of this test process."""
    with RedisServers() as servers:
        yield servers


@pytest.fixture(params=list(_EXECUTABLES))
def redis_executable(request: pytest.FixtureRequest) -> str:
    """Give each redis-server to test against."""
    return _EXECUTABLES[request.param]


@pytest.fixture
def redis_url(redis_servers: RedisServers, redis_executable: str) -> str:
    """Give an empty Redis, of each version."""
    return redis_servers.clean_url(redis_executable)


@pytest.fixture
def any_redis_url(redis_servers: RedisServers) -> str:
    """Give an empty Redis of the oldest version."""
    return redis_servers.clean_url(next(iter(_EXECUTABLES.values())))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    """Give a function that starts a Redis of the test's own, to be killed, frozen or restarted."""
    with ExitStack() as stack:

        def start(options: Mapping[str, str] | None = None, *, executable: str | None = None) -> RedisServer:
            number = len(list(tmp_path.glob("own-redis-*")))
            directory = tmp_path / f"own-redis-{number}"
            return stack.enter_context(RedisServer.start(directory, executable=executable, options=options))

        yield start


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """Give databases on the shared PostgreSQL."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with ExitStack() as stack:
        workerinput: dict[str, Any] = getattr(request.config, "workerinput", {})
        yield Databases(workerinput.get(_POSTGRES_URL) or start_postgres(stack), worker)


@pytest.fixture(scope="session")
def postgres_template(databases: Databases) -> str:
    """Give the name of the database that each test's database is a copy of."""
    return databases.create()


@pytest.fixture
def postgres_url(databases: Databases, postgres_template: str) -> Iterator[str]:
    """Give a database of the test's own."""
    name = databases.create(postgres_template)
    yield databases.url(name)
    databases.drop(name)


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[PostgresServer]:
    """Give a PostgreSQL of the test's own, to be killed, frozen or restarted."""
    with PostgresServer.start(tmp_path / "own-postgres", durable=False) as server:
        yield server


@pytest.fixture
def proxy_to() -> Iterator[Callable[[str], Proxy]]:
    """Give a function that puts a proxy before the server of a URL."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(Proxy(url))


@pytest.fixture
def free_port() -> int:
    """Give a port of 127.0.0.1 that nothing listens on."""
    return any_free_port()
