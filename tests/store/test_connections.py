"""Many threads, and signal handlers, on one store."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

import pytest
from tests.proxy import Proxy
from tests.store.examples import JobSession

from sojourn import SessionStore, Settings, StoreUnavailable


@pytest.fixture
def store(any_login_url: str) -> Iterator[SessionStore[JobSession]]:
    """Give a store with few connections."""
    settings = Settings(redis_url=any_login_url, max_connections=4)
    with SessionStore(model=JobSession, settings=settings) as opened:
        yield opened


def test_a_signal_handler_may_use_the_store(store: SessionStore[JobSession]) -> None:
    """A handler that runs in the middle of a call gets its own reply, and the call gets its own."""
    ours, theirs = store.create().id, store.create().id
    handled: list[int] = []

    def handle(_number: int, _frame: FrameType | None) -> None:
        handled.append(store.increment(theirs, attempts=1)["attempts"])
        signal.setitimer(signal.ITIMER_REAL, 0.0007)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    try:
        counted = [store.increment(ours, attempts=1)["attempts"] for _ in range(2_000)]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert counted == list(range(1, 2_001))
    assert len(handled) > 10
    assert sorted(handled) == list(range(1, len(handled) + 1))


def test_more_threads_than_connections(store: SessionStore[JobSession]) -> None:
    """Threads beyond the number of connections wait for their turn."""
    session_id = store.create().id
    start = threading.Barrier(40)

    def count() -> None:
        start.wait()
        for _ in range(20):
            store.increment(session_id, attempts=1)

    threads = [threading.Thread(target=count) for _ in range(40)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert store.get(session_id).attempts == 800


def test_waiting_for_a_connection_ends(any_login_url: str) -> None:
    """Who finds all connections taken for too long is told which setting that is."""
    with Proxy(any_login_url) as proxy:
        settings = Settings(redis_url=proxy.url, max_connections=1, socket_timeout=0.3, retries=0)
        with SessionStore(model=JobSession, settings=settings) as store:
            session_id = store.create().id
            proxy.delay(1.0)
            errors: list[str] = []

            def read() -> None:
                try:
                    store.get(session_id)
                except StoreUnavailable as error:
                    errors.append(str(error))

            threads = [threading.Thread(target=read) for _ in range(4)]
            started = time.monotonic()
            for each in threads:
                each.start()
            for each in threads:
                each.join()
            assert len(errors) == 4
            assert any("max_connections" in each for each in errors)
            assert time.monotonic() - started < 5
