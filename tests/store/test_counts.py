"""What the scripts count of a tenant's sessions, and what a store tells of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, keys_of
from tests.store.test_census import sweep
from tests.waiting import eventually

from sojourn import Session, SessionStore, TenantMetrics
from sojourn.counts import CALL_BOUNDS_US, read_calls, read_stats

Jobs = SessionStore[JobSession]


@pytest.fixture
def store(open_store: StoreOpener) -> Jobs:
    """Give a store whose ended sessions stay for a while."""
    return open_store(JobSession)


def of(found: TenantMetrics, client_type: str, kind: str = "job") -> tuple[int, int, dict[str, int]]:
    """Return what is live, created and ended under a label."""
    for each in found.labels:
        if (each.kind, each.client_type) == (kind, client_type):
            return each.active, each.created, dict(each.ended)
    return 0, 0, {}


def is_balanced(raw: Any, store: Jobs) -> bool:
    """Whether the counts by label, with nothing made up for, are what the records say."""
    stats = read_stats(raw.hgetall(keys_of(store).stats))
    census: dict[tuple[str, str], int] = {}
    for key in raw.scan_iter(match=keys_of(store).session("*"), count=1000):
        record = raw.hgetall(key)
        if record["status"] in ("pending", "in_progress"):
            label = (record["kind"], record.get("client_type", ""))
            census[label] = census.get(label, 0) + 1
    return {label: number for label, number in stats.balance.items() if number} == census


def test_nothing_is_counted_of_nothing(store: Jobs) -> None:
    """A tenant without sessions has zeros, and no average."""
    found = store.metrics()
    assert (found.active_sessions, found.expired_sessions, found.created_sessions) == (0, 0, 0)
    assert found.average_session_duration is None
    assert found.last_cleanup_time is None
    assert (found.memory_bytes, found.record_bytes, found.memory_usage_mb) == (0, None, 0)
    assert json.loads(json.dumps(found.to_json()))["labels"] == []


def test_each_end_counts_once(store: Jobs, raw: Any) -> None:
    """By status, with how long the session lived; deleting what has ended is no second end."""
    made = [store.create(client_type="web") for _ in range(5)]
    store.complete(made[0].id)
    store.fail(made[1].id)
    store.terminate(made[2].id)
    store.delete(made[3].id)
    store.delete(made[0].id)
    found = store.metrics()
    assert of(found, "web") == (1, 5, {"completed": 1, "failed": 1, "terminated": 1, "deleted": 1})
    assert (found.active_sessions, found.created_sessions) == (1, 5)
    assert found.ended_sessions == {"completed": 1, "failed": 1, "terminated": 1, "deleted": 1}
    assert found.durations.cumulative[0] == (60.0, 4)
    average = found.average_session_duration
    assert average is not None
    assert timedelta(0) <= average < timedelta(seconds=30)
    assert is_balanced(raw, store)


def test_durations_fall_into_their_buckets(store: Jobs, raw: Any) -> None:
    """A session of before counts with the time since its creation; a bound belongs to its bucket."""
    for age_ms in (0, 59_000, 61_000, 3_600_000, 100_000_000):
        made = store.create()
        created = int(raw.hget(keys_of(store).session(made.id), "created_at_ms")) - age_ms
        raw.hset(keys_of(store).session(made.id), "created_at_ms", created)
        store.complete(made.id)
    found = store.metrics().durations
    assert found.counts == (2, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1)
    assert 103_720 <= found.sum_s < 103_750


@pytest.mark.beyond_one_tenant
def test_expiries_tell_lag_and_route(store: Jobs, raw: Any) -> None:
    """What a sweep claims, and what another write claims on its way, with how late it was."""
    store.create(ttl=0.001)
    eventually(lambda: store.metrics().expired_sessions == 1)
    assert store.metrics().active_sessions == 1
    assert sweep(store, raw, archived=False) == (1, 0)
    store.create(ttl=0.001)
    eventually(lambda: store.metrics().expired_sessions == 1)
    store.create()
    found = store.metrics()
    assert found.claims == {"sweep": 1, "create": 1}
    assert (found.active_sessions, found.expired_sessions, found.ended_sessions) == (1, 0, {"expired": 2})
    assert found.expiry_lag.count == 2
    assert 0 < found.expiry_lag.sum_s < 60
    assert found.cleanup_runs == 1
    assert found.last_cleanup_time is not None
    assert is_balanced(raw, store)


def test_another_client_type_takes_the_session_along(store: Jobs, raw: Any) -> None:
    """A live session is counted under the type that it has now; created it was under the first."""
    made = store.create(client_type="web")
    store.update(made.id, client_type="app")
    store.update(made.id, note="x", client_type="app")
    assert of(store.metrics(), "web") == (0, 1, {})
    assert of(store.metrics(), "app") == (1, 0, {})
    store.update(made.id, client_type=None)
    store.complete(made.id)
    assert of(store.metrics(), "") == (0, 0, {"completed": 1})
    assert is_balanced(raw, store)


def test_another_id_is_neither_a_session_nor_an_end(store: Jobs, raw: Any) -> None:
    """A rotated session goes on."""
    made = store.create(client_type="web")
    fresh = store.rotate_id(made.id)
    assert of(store.metrics(), "web") == (1, 1, {})
    store.complete(fresh.id)
    assert of(store.metrics(), "web") == (0, 1, {"completed": 1})
    assert is_balanced(raw, store)


@pytest.mark.beyond_one_tenant
def test_lost_sessions_are_live_no_more(store: Jobs, raw: Any) -> None:
    """The number of live sessions is exact whatever other hands take; their type is made up for."""
    made = [store.create(client_type="web", ttl=0.05) for _ in range(3)]
    kept = store.create(client_type="web")
    for each in made[:2]:
        raw.delete(keys_of(store).session(each.id))
    eventually(lambda: store.metrics().expired_sessions == 3)
    sweep(store, raw, archived=False)
    found = store.metrics()
    assert (found.active_sessions, found.lost_payloads) == (1, 2)
    assert of(found, "web") == (1, 4, {"expired": 1})
    assert store.get(kept.id).is_live


def test_labels_are_bounded(store: Jobs, raw: Any) -> None:
    """However many client types come, a bounded number is told apart; each session is in the sums all the same."""
    made = store.create_many([{"client_type": f"type {number}"} for number in range(80)])
    made += store.create_many([{"client_type": "x" * 100}, {"client_type": "type 3"}, {"client_type": "type 79"}])
    for each in made:
        store.complete(each.id)
    found = store.metrics()
    assert len(found.labels) == 65
    assert of(found, "type 3") == (0, 2, {"completed": 2})
    assert of(found, "other") == (0, 18, {"completed": 18})
    assert found.created_sessions == 83
    assert sum(found.ended_sessions.values()) == 83
    assert raw.hlen(keys_of(store).stats) < 65 * 4 + 10


def test_kinds_are_bounded_too(open_store: StoreOpener, raw: Any) -> None:
    """A client that makes up kinds gets no further than one that makes up client types."""
    stores = [
        open_store(type(f"Made{number}Session", (Session,), {"__module__": __name__}, kind=f"made_{number}"))
        for number in range(4)
    ]
    stores[0].create(client_type="web")
    stats = keys_of(stores[0]).stats
    raw.hset(stats, "labels", 64)  # as if others had come meanwhile
    stores[1].create(client_type="web")
    raw.hset(stats, "labels", 96)
    stores[2].delete(stores[2].create(client_type="web").id)
    stores[3].create()
    found = stores[0].metrics()
    assert {(each.kind, each.client_type): each.active for each in found.labels} == {
        ("made_0", "web"): 1, ("made_1", "other"): 1, ("other", "other"): 1,
    }  # fmt: skip
    assert of(found, "other", "other")[1:] == (2, {"deleted": 1})
    assert (found.created_sessions, found.active_sessions) == (4, 3)


@pytest.mark.parametrize("odd", ["text", "number", "field"])
def test_odd_counts_stop_no_session(store: Jobs, raw: Any, odd: str) -> None:
    """What other hands put in place of the counts is passed over, by those that count and those that read."""
    stats = keys_of(store).stats
    if odd == "text":
        raw.set(stats, "x")
    elif odd == "number":
        raw.hset(stats, mapping={"created|job|": "x", "labels": "many", "took_ms|job|": str(2**63 - 1)})
    else:
        raw.hset(stats, mapping={"ended|completed|99|job|": "1", "claimed|x|1": 1, "created": "1", "\x00|": "7"})
    made = store.create()
    store.complete(made.id)
    store.update(store.create().id, client_type="web")
    found = store.metrics()
    assert found.active_sessions == 1
    json.dumps(found.to_json(), allow_nan=False)


def test_a_tenant_of_before_is_made_up_for(store: Jobs, raw: Any) -> None:
    """Sessions that were there before anything was counted are live under no client type, and never below zero."""
    made = [store.create(client_type="web") for _ in range(3)]
    raw.delete(keys_of(store).stats)
    assert of(store.metrics(), "") == (3, 0, {})
    store.complete(made[0].id)
    found = store.metrics()
    assert found.active_sessions == 2
    assert sum(each.active for each in found.labels) == 2
    assert all(each.active >= 0 for each in found.labels)


def test_memory_is_estimated(store: Jobs, raw: Any) -> None:
    """From a few records times how many there are; near to what Redis says of all.

    Records of one content differ by up to 900 bytes, since a script's short arguments lie in buffers that Redis has
    used before: beside that, the note is large.
    """
    store.create_many([{"note": "x" * 20_000}] * 50)
    found = store.metrics()
    assert found.sessions == 50
    exact = sum(
        raw.memory_usage(each, samples=0) for each in raw.scan_iter(match=keys_of(store).session("*"), count=1000)
    )
    assert 0.9 * exact < found.memory_bytes < 1.1 * exact
    assert found.memory_usage_mb == found.memory_bytes / 2**20


@pytest.mark.beyond_one_tenant
def test_bytes_are_exact_with_limits(store: Jobs) -> None:
    """A tenant with a limit on live sessions has their bytes counted."""
    store.set_tenant_limits(sessions=10)
    store.create(note="x" * 100)
    assert store.metrics().record_bytes == store.usage().bytes


def test_calls_are_read(store: Jobs, raw: Any) -> None:
    """What clients tell of their calls, by operation; anything else is passed over."""
    store.create()
    raw.hset(keys_of(store).calls, mapping={
        "get|ok": 3, "get|not_found": 1, "get|le|100": 2, "get|le|409600": 1, "get|le|inf": 1, "get|sum_us": 5_000_000,
        "tokens.verify|ok": 1, "Get|ok": 1, "get|le|7": 1, "get": 1, "get|ok\n": 2, "x|y": "z",
    })  # fmt: skip
    found = store.metrics().calls
    assert set(found) == {"get", "tokens.verify"}
    assert found["get"].results == {"ok": 3, "not_found": 1}
    assert found["get"].durations.sum_s == 5.0
    assert (found["get"].durations.counts[0], found["get"].durations.counts[-1], found["get"].durations.count) == (
        2,
        1,
        4,
    )


def test_reading_is_total() -> None:
    """No field of any text is an error."""
    for name in ("", "|", "ended|", "ended|completed|1", "ended|completed|x|job|", "took_ms|", "claimed||"):
        assert not read_stats({name: "1"}).labels
    assert read_calls({"get|le|" + "9" * 20: "1", "|ok": "2"}) == {}
    assert CALL_BOUNDS_US[-1] == 1_638_400
