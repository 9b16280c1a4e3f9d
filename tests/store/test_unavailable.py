"""Redis away, slow, restarted, or not to be talked to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.proxy import Proxy
from tests.store.examples import JobSession, keys_of
from tests.waiting import eventually

import sojourn
from sojourn import SessionStore, Settings, SettingsError, StoreError, StoreUnavailable
from sojourn.codec import ms_from
from sojourn.embedded import RedisServer

ProxyTo = Callable[[str], Proxy]
BUDGET_S = 3 * 0.2 * 2 + 1.0


def fails_in_time(call: Callable[[], Any]) -> StoreUnavailable:
    """Assert that a call fails within the budget of three attempts; return how."""
    started = time.monotonic()
    with pytest.raises(StoreUnavailable) as caught:
        call()
    assert time.monotonic() - started < BUDGET_S
    return caught.value


def test_refused(open_any_store: StoreOpener, free_port: int) -> None:
    """Nobody listens: an error in time, that names the place without its password."""
    store = open_any_store(JobSession, url=f"redis://ada:secret@127.0.0.1:{free_port}/0", socket_timeout=0.2)
    for _ in range(2):
        error = fails_in_time(store.create)
        assert f"127.0.0.1:{free_port}" in str(error)
        assert "secret" not in str(error)


def test_silent(open_any_store: StoreOpener, proxy_to: ProxyTo) -> None:
    """Connections are taken and nothing comes back: an error in time, also on a warm connection."""
    proxy = proxy_to(open_any_store.url)
    store = open_any_store(JobSession, url=proxy.url, socket_timeout=0.2)
    made = store.create()
    proxy.drop_replies(10**9)
    fails_in_time(lambda: store.get(made.id))
    fails_in_time(lambda: store.get_many([made.id] * 50))
    fails_in_time(lambda: store.list())
    proxy.drop_replies(0)
    assert store.get(made.id) == made


def test_silent_from_the_start(open_any_store: StoreOpener, proxy_to: ProxyTo) -> None:
    """The handshake is within the budget too."""
    proxy = proxy_to(open_any_store.url)
    proxy.drop_replies(10**9)
    store = open_any_store(JobSession, url=proxy.url, socket_timeout=0.2)
    fails_in_time(store.create)
    proxy.drop_replies(0)
    assert store.count() == 0


def test_recovers_on_the_same_store(open_any_store: StoreOpener, proxy_to: ProxyTo) -> None:
    """After an outage, long or short, the same object works again."""
    proxy = proxy_to(open_any_store.url)
    store = open_any_store(JobSession, url=proxy.url, socket_timeout=0.2)
    made = store.create()
    proxy.cut()
    assert store.increment(made.id, attempts=1) == {"attempts": 1}
    proxy.refuse()
    fails_in_time(lambda: store.get(made.id))
    proxy.accept()
    assert store.increment(made.id, attempts=1) == {"attempts": 2}


def test_closed_store_opens_again(open_any_store: StoreOpener) -> None:
    """Closing closes connections, not the store."""
    store = open_any_store(JobSession)
    made = store.create()
    store.close()
    store.close()
    assert store.get(made.id) == made


@pytest.mark.beyond_one_tenant
def test_server_restarts(store_kind: str, own_redis: Callable[..., RedisServer]) -> None:
    """A restarted Redis has lost all scripts; the store sends them again."""
    server = own_redis({"appendonly": "yes", "appendfsync": "always"})
    with StoreOpener(store_kind, server.url) as opener:
        store = opener(JobSession, retries=5)
        made = store.create()
        store.increment(made.id, attempts=1)
        server.kill()
        server.restart()
        assert eventually(lambda: store.increment(made.id, attempts=1)) == {"attempts": 2}


@pytest.mark.parametrize(
    "url",
    ["nonsense", "http://x", "redis://[::1", "redis://:pass/word@h:1/0", "redis://h:port/0", "redis://h:1/0?what=1",
     "redis://h:1/0?socket_timeout=x", ""],
)  # fmt: skip
def test_bad_urls(open_any_store: StoreOpener, url: str) -> None:
    """A URL that cannot be one is told in one line, without its password."""
    with pytest.raises(SettingsError) as caught:  # noqa: PT012
        if open_any_store.kind == "sync":
            SessionStore(settings=Settings(redis_url=url))
        else:
            sojourn.AsyncSessionStore(settings=Settings(redis_url=url))
    assert "word" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.beyond_one_tenant
def test_wrong_password(store_kind: str, own_redis: Callable[..., RedisServer]) -> None:
    """A refusal is told at once, and without the password."""
    server = own_redis({"requirepass": "right"})
    for user in (":wrong@", ""):
        with StoreOpener(store_kind, server.url.replace(":right@", "").replace("//", f"//{user}")) as opener:
            store = opener(JobSession)
            started = time.monotonic()
            with pytest.raises(StoreError) as caught:
                store.create()
            assert time.monotonic() - started < 0.5
            assert "wrong@" not in str(caught.value)


@pytest.mark.parametrize("now", [0.0, 4_102_444_800.0])
def test_wrong_clock_changes_nothing(
    open_store: StoreOpener, raw: Any, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    """A client in 1970 or 2100 makes the same sessions, with Redis's times."""
    store = open_store(JobSession, sliding=True)
    store.create()
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: int(now * 1e9))
    made = store.create(ttl=100)
    assert store.get(made.id) == made
    assert store.update(made.id, limit=1).limit == 1
    store.touch(made.id)
    assert store.set_ttl(made.id, 50).expires_at is not None
    ended = store.complete(made.id)
    seconds, micros = raw.time()
    redis_ms = int(seconds) * 1000 + int(micros) // 1000
    for moment in (made.created_at, ended.updated_at, ended.ended_at):
        assert moment is not None
        assert 0 <= redis_ms - ms_from(moment) < 5_000
    assert raw.zscore(keys_of(store).partition.removals, keys_of(store).member(made.id)) > redis_ms


def test_no_module_of_the_client_asks_for_the_time() -> None:
    """Only how long something took is measured here; what time it is, Redis says."""
    root = Path(sojourn.__file__).parent
    files = [
        *root.glob("*.py"),
        *(path for name in ("codec", "models", "operations", "transport") for path in (root / name).glob("*.py")),
    ]
    assert len(files) > 20
    for path in files:
        text = path.read_text()
        for asking in (".now(", "time.time(", "utcnow", ".today(", "localtime", "gmtime"):
            assert asking not in text, path
