"""How a client lays out an empty Redis. Plain commands only, so a stand-in server is as good as a real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from fakeredis import TcpFakeServer
from tests.drivers import KINDS, StoreOpener
from tests.store.examples import JobSession

from sojourn import LayoutMismatch
from sojourn.embedded import free_port

UNKNOWN = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


@pytest.fixture
def stand_in() -> Iterator[str]:
    """Give the URL of an empty stand-in."""
    server = TcpFakeServer(("127.0.0.1", free_port()))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def meta(stand_in: str) -> Iterator[Any]:
    """Give a plain client of it."""
    with redis.Redis.from_url(stand_in, decode_responses=True, protocol=2) as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_redis_is_laid_out(stand_in: str, meta: Any, kind: str) -> None:
    """The first client writes down the layout; the next, with the same settings, is content with it."""
    with StoreOpener(kind, stand_in) as opener:
        for _ in range(2):
            assert opener(JobSession, partitions=8).get_many([UNKNOWN]) == [None]
    assert meta.hgetall("sojourn:meta") == {"layout": "1", "partitions": "8"}
    assert meta.keys() == ["sojourn:meta"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "theirs", [{"layout": "2", "partitions": "8"}, {"layout": "1", "partitions": "16"}, {"layout": "1"}]
)
def test_another_layout_is_refused(stand_in: str, meta: Any, kind: str, theirs: dict[str, str]) -> None:
    """Nothing is read or written where another layout, or half of one, stands."""
    meta.hset("sojourn:meta", mapping=theirs)
    with StoreOpener(kind, stand_in) as opener, pytest.raises(LayoutMismatch):
        opener(JobSession, partitions=8).get_many([UNKNOWN])
    assert meta.hgetall("sojourn:meta") == theirs
    assert meta.keys() == ["sojourn:meta"]
