"""Redis slow, mute, frozen or full, and records that vanish from it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from tests.census import strays
from tests.conftest import OwnRedis
from tests.drivers import snapshot
from tests.faults.deployment import Deployment, catch_up, deployed, rows, unindexed
from tests.faults.hook_functions import calls, effects
from tests.faults.load import Load, loaded, settle_account
from tests.faults.report import Report
from tests.proxy import Proxy
from tests.store.examples import JobSession, keys_of
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn import SessionStore, Status, StoreFull
from sojourn.archive import archive_once, rehydrate
from sojourn.settings import Settings

_LOST = "SELECT session_id::text FROM sojourn.session_events WHERE type = 'lost'"
ProxyTo = Callable[[str], Proxy]
_BOTH = ("sync", "async")


def _budget_s(settings: Settings) -> float:
    """What a call may take: in each attempt a connection and a reply are waited for."""
    return (settings.retries + 1) * 2 * settings.socket_timeout + 1.0


@pytest.fixture
def client(any_redis_url: str) -> Iterator[redis.Redis]:
    """Give a client of the Redis under test."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as found:
        yield found


def _hold_to_account(client: redis.Redis, settings: Settings, load: Load) -> tuple[int, int]:
    """Assert what must always be so after a load; how many writes were lost and how many doubled."""
    assert load.unexpected == []
    assert load.longest_call_s < _budget_s(settings)
    lost, doubled, half = settle_account(client, settings, load)
    assert half == 0
    assert strays(settings.redis_url) == []
    assert unindexed(client) == []
    return lost, doubled


def _told(load: Load, settings: Settings) -> str:
    return (
        f"{load.acknowledged:,} writes acknowledged, {load.errors.total()} calls failed; "
        f"the longest took {load.longest_call_s:.1f} s of {_budget_s(settings):.1f} s"
    )


def test_replies_dropped(any_redis_url: str, client: redis.Redis, proxy_to: ProxyTo, report: Report) -> None:
    """Sixty replies get lost on the way: each write that the client then repeats counts once."""
    proxy = proxy_to(any_redis_url)
    settings = settings_for(proxy.url, socket_timeout=0.1, events_cap=1_000_000)
    with loaded(settings, _BOTH) as load:
        for dropped in range(0, 60, 2):
            before = load.acknowledged
            eventually(lambda least=before: load.acknowledged > least + 5)  # type: ignore[misc]
            proxy.drop_replies(2, to=b"EVALSHA")
            eventually(lambda least=dropped + 2: proxy.dropped >= least)  # type: ignore[misc]
    lost, doubled = _hold_to_account(client, settings_for(any_redis_url, socket_timeout=0.1), load)
    report.row("reply dropped", injected=60, lost=lost, duplicated=doubled, note=_told(load, settings))


def test_replies_delayed_past_the_timeout(
    any_redis_url: str, client: redis.Redis, proxy_to: ProxyTo, report: Report
) -> None:
    """Ten times all replies come later than the client waits: each write counts once, and each call ends in time."""
    proxy = proxy_to(any_redis_url)
    settings = settings_for(proxy.url, socket_timeout=0.1, events_cap=1_000_000)
    with loaded(settings, _BOTH) as load:
        for _ in range(10):
            before, failed = load.acknowledged, load.errors.total()
            eventually(lambda least=before: load.acknowledged > least + 20)  # type: ignore[misc]
            proxy.delay(0.15)
            eventually(lambda most=failed: load.errors.total() > most)  # type: ignore[misc]
            proxy.delay(0)
    lost, doubled = _hold_to_account(client, settings_for(any_redis_url, socket_timeout=0.1), load)
    report.row(
        "replies delayed past the timeout", injected=10, lost=lost, duplicated=doubled, note=_told(load, settings)
    )


@pytest.mark.long
def test_redis_frozen(own_redis: OwnRedis, report: Report) -> None:
    """Redis is stopped for 7 s (SIGSTOP): each call returns or fails in time, each write counts once at most."""
    server = own_redis()
    settings = settings_for(server.url, events_cap=1_000_000)
    with loaded(settings, _BOTH) as load:
        eventually(lambda: load.acknowledged > 200)
        server.pause()
        thawed_at = time.monotonic() + 7
        eventually(lambda: time.monotonic() >= thawed_at)
        server.resume()
        began, before = time.monotonic(), load.acknowledged
        eventually(lambda: load.acknowledged > before + 20)
        recovery_s = time.monotonic() - began
    assert load.errors.total() > 0
    with redis.Redis.from_url(server.url, decode_responses=True, protocol=2) as client:
        lost, doubled = _hold_to_account(client, settings, load)
    report.row(
        "Redis frozen for 7 s", injected=1, lost=lost, duplicated=doubled, recovery_s=recovery_s, within_s=5,
        note=_told(load, settings),
    )  # fmt: skip


def _fill(store: SessionStore[JobSession], made: list[str]) -> None:
    """Create until Redis refuses."""
    while len(made) < 20_000:
        made.append(store.create(owner="ada", tags=["x"], note="n" * 500).id)


def test_redis_out_of_memory(own_redis: OwnRedis, archive_url: str, processes: Processes, report: Report) -> None:
    """Redis is full (noeviction): creates fail whole; ends, claims and settles go through; later the hooks run."""
    server = own_redis({"maxmemory-policy": "noeviction"})
    settings = deployed(server.url, archive_url, retention=0)
    client: Any = redis.Redis.from_url(server.url, decode_responses=True, protocol=2)
    with client, SessionStore(model=JobSession, settings=settings) as store:
        archive_once(settings)  # joins the groups while there is memory
        ended = [store.create(owner="ada").id for _ in range(20)]
        expiring = [store.create(owner="ada", ttl=0.3).id for _ in range(20)]
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 300_000)
        made: list[str] = []
        with pytest.raises(StoreFull):
            _fill(store, made)
        leases = [keys_of(store).lease(each) for each in expiring]
        eventually(lambda: not client.exists(*leases), what="the ends of the leases")
        client.config_set("maxmemory", 1)  # not a byte is left
        before = snapshot(client)
        refused = 0
        for _ in range(50):
            with pytest.raises(StoreFull):
                store.create(owner="ada")
            refused += 1
        assert snapshot(client) == before
        for session_id in ended:
            assert store.complete(session_id).status is Status.COMPLETED
        archived = archive_once(settings)
        assert (archived.removed, archived.damaged, archived.complete) == (20, 0, True)
        Deployment(processes, settings, ("listen",))
        partition = keys_of(store).partition
        eventually(lambda: client.zscore(partition.deadlines, f"default/{expiring[-1]}") is None, what="the claims")
        assert archive_once(settings).complete
        assert client.zcard(partition.dirty) == 0
        client.config_set("maxmemory", 0)
        began = time.monotonic()
        Deployment(processes, settings, ("dispatch", "jobs:hooks", "jobs:archive", "schedule"))
        eventually(lambda: len(effects(client)) == 20, deadline_s=60)
        assert store.create().is_live
        catch_up(client, settings, deadline_s=60)
        recovery_s = time.monotonic() - began
        assert strays(server.url) == []
        assert unindexed(client) == []
        told = Counter(each["session"] for each in effects(client))
        gone = rows(settings, "SELECT count(*) FROM sojourn.sessions WHERE status IN ('completed', 'expired')")
        report.row(
            "Redis out of memory (noeviction)", injected=refused, lost=len(set(expiring) - set(told)) + 40 - gone[0][0],
            duplicated=sum(calls(client).values()) - len(told), recovery_s=recovery_s,
            note="50 creates refused whole; 20 ends, 20 claims and 40 settlings went through",
        )  # fmt: skip


def test_records_vanish(any_redis_url: str, client: redis.Redis, processes: Processes, report: Report) -> None:
    """Hashes are deleted by hand: each is told as `lost` once and counted, and nothing of it stays in an index."""
    settings = deployed(any_redis_url)
    with SessionStore(model=JobSession, settings=settings) as store:
        found = store.create_many([{"owner": "ada", "tags": ["x"]}] * 60, ttl=0.5)
        for each in found:
            store.append(each.id, JobSession.lines, "a")
        keys = keys_of(store)
    gone, kept = [each.id for each in found[::2]], [each.id for each in found[1::2]]
    client.delete(*[keys.session(each) for each in gone])
    began = time.monotonic()
    Deployment(processes, settings, ("listen", "dispatch", "jobs:hooks", "schedule"))
    eventually(lambda: len(effects(client)) == len(found), deadline_s=60)
    eventually(lambda: not strays(any_redis_url), deadline_s=60)
    recovery_s = time.monotonic() - began
    assert client.hget(keys.partition.counts, "lost") == str(len(gone))
    assert {each["session"] for each in effects(client) if each["type"] == "expired"} == set(kept)
    assert client.scard(keys.partition.lost) == 0
    told = Counter(each["session"] for each in effects(client) if each["type"] == "lost")
    report.row(
        "record deleted by hand", injected=len(gone), lost=len(set(gone) - set(told)),
        duplicated=sum(told.values()) - len(told), recovery_s=recovery_s,
        note="each told as an event `lost` and counted; indexes combed out",
    )  # fmt: skip


def test_records_are_evicted(own_redis: OwnRedis, archive_url: str, processes: Processes, report: Report) -> None:
    """Redis evicts hashes (volatile-lru): each is told as `lost` at once and counted; the archive brings all back."""
    server = own_redis({"maxmemory-policy": "volatile-lru"})
    settings = deployed(server.url, archive_url)
    Deployment(processes, settings, ("listen", "dispatch", "jobs:hooks", "schedule")).ready()
    client: Any = redis.Redis.from_url(server.url, decode_responses=True, protocol=2)
    with client, SessionStore(model=JobSession, settings=settings) as store:
        made = store.create_many([{"owner": "ada", "tags": ["x"], "note": "n" * 2_000}] * 200, ttl=600)
        assert archive_once(settings).sessions == len(made)
        keys = keys_of(store)
        client.config_set("maxmemory", client.info("memory")["used_memory"] - 200_000)
        client.config_set("maxmemory", 0)
        gone = [each.id for each in made if not client.exists(keys.session(each.id))]
        assert len(gone) > 10
        eventually(lambda: client.hget(keys.partition.counts, "lost") == str(len(gone)), what="all to be told as lost")
        eventually(lambda: not strays(server.url), deadline_s=60, what="the indexes to be combed")
        archived = archive_once(settings)
        assert archived.lost == 0
        told = Counter(row[0] for row in rows(settings, _LOST))
        began = time.monotonic()
        loaded_again = rehydrate(settings, ids=gone).loaded
        recovery_s = time.monotonic() - began
        assert store.get_many([each.id for each in made]) == made
        assert strays(server.url) == []
        assert unindexed(client) == []
        report.row(
            "record evicted", injected=len(gone), lost=len(set(gone) - set(told)) + len(gone) - loaded_again,
            duplicated=sum(told.values()) - len(told), recovery_s=recovery_s,
            note="each told as an event `lost` and counted; brought back from the archive",
        )  # fmt: skip
