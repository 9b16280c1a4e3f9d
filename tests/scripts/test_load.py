"""`scripts/load`: calls begin when they are planned, latencies count from then, and what is lost is found."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis

import _load
import load_check
import load_process
from load_histogram import Histogram
from load_picture import draw
from load_process import Plan, Told, schedule
from load_session import BASE, TENANT, Known, LoadSession, fields
from sojourn import SessionStore
from sojourn.keys import TenantKeys
from sojourn.settings import Settings


@pytest.mark.timeout(240)
def test_a_load_loses_nothing(tmp_path: Path) -> None:
    """Two processes, all operations; what they had acknowledged is there."""
    picture = tmp_path / "load.png"
    options = _load.parse(["--seconds", "2", "--processes", "2"])
    outcome = _load.load(0.05, options)
    assert (outcome.wrong, outcome.told.failed) == (Counter(), Counter())
    assert outcome.told.done == outcome.told.planned
    assert outcome.told.created == outcome.told.done["create"] + 500
    assert outcome.told.ended == outcome.told.done["end"] > 0
    _load.show(outcome)
    assert outcome.as_json()["operations"]["get"]["done"] == outcome.told.done["get"]
    draw(outcome.told.latencies, 100.0, "a load", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_not_there_is_found(any_redis_url: str) -> None:
    """A record that went, changes that were undone, an end that was, and an entry that is missing."""
    settings = Settings(redis_url=any_redis_url)
    keys = TenantKeys.of(TENANT, settings.partitions)
    with (
        SessionStore(model=LoadSession, settings=settings, tenant=TENANT) as store,
        redis.Redis.from_url(any_redis_url) as client,
    ):
        made = [store.create(**fields(0, number)).id for number in range(6)]
        known = {each: Known("owner-0-0") for each in made}
        assert load_check.lost(settings, known) == Counter()
        client.delete(keys.session(made[0]))
        known[made[1]].version = 2
        known[made[2]].ended = known[made[2]].ending = True
        store.complete(made[3])
        known[made[4]].hits = 1
        known[made[4]].unsure = 1  # an increment that may have been made, or not
        known[made[4]].version = 2
        store.mcp.record_tool_execution(made[5], tool="search", duration=0.1)
        client.ltrim(keys.log(made[5], "tool_executions"), 1, 0)
        found = load_check.lost(settings, known)
        assert found == {
            "created, and not there": 1,
            "version other than acknowledged": 4,
            "ended, and live": 1,
            "live, and ended": 1,
            "hits other than acknowledged": 1,
            "executions other than acknowledged": 1,
            "executions other than counted": 1,
        }
        assert load_check.sessions(settings) == 5
        assert any(each.startswith("missing: ") for each in load_check.drift(settings))


def test_a_change_without_an_answer_may_be_there_or_not(any_redis_url: str) -> None:
    """It is neither lost nor too much."""
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(model=LoadSession, settings=settings, tenant=TENANT) as store:
        session_id = store.create(**fields(0, 0)).id
        known = {session_id: Known("owner-0-0", unsure=1)}
        for _ in range(2):
            assert load_check.lost(settings, known) == Counter()
            store.increment(session_id, hits=1)
        assert load_check.lost(settings, known) == {
            "version other than acknowledged": 1,
            "hits other than acknowledged": 1,
        }


def test_a_stall_counts_for_all_that_was_planned_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for the one call alone that met it."""
    stall_s, rate = 0.5, 200.0
    stalls = iter([stall_s])

    async def called(caller: Any, name: str) -> bool:
        del caller, name
        time.sleep(next(stalls, 0.0))  # noqa: ASYNC251 - it is to hold up everything
        return True

    monkeypatch.setattr(load_process._Caller, "_called", called)
    plan = Plan(Settings(), 0, {"get": rate}, 0, 1.0)
    caller = load_process._Caller(None, plan)  # type: ignore[arg-type]
    anyio.run(caller.drive, time.monotonic())
    latencies = caller.told.latencies["get"]
    late = sum(count for value, count in latencies.counts.items() if value > 1e6 * stall_s / 2)
    assert late > rate * stall_s / 4
    assert latencies.longest >= 1e6 * stall_s * 0.9


def test_calls_come_at_their_rates() -> None:
    """In order, and as often as planned, more or less."""
    planned = list(schedule({"get": 100.0, "create": 20.0, "list": 0.0}, 50.0, random.Random(1)))
    assert planned == sorted(planned)
    counts = Counter(name for _, name in planned)
    assert counts["get"] == pytest.approx(5_000, rel=0.1)
    assert counts["create"] == pytest.approx(1_000, rel=0.2)
    assert set(counts) == {"get", "create"}


def test_histograms_are_right_to_two_digits() -> None:
    """Also where several are put together; nothing seems faster than it was."""
    turn = random.Random(1)
    values = [int(turn.lognormvariate(7, 2)) for _ in range(10_000)]
    parts = [Histogram() for _ in range(3)]
    for index, value in enumerate(values):
        parts[index % 3].add(value)
    whole = Histogram().merge(parts)
    values.sort()
    for share in (0.5, 0.9, 0.99, 0.999, 1.0):
        exact = values[int(share * len(values)) - 1]
        assert exact <= whole.at(share) <= exact * 1.02 + 1
    assert (whole.total, whole.longest, whole.at(1.0)) == (len(values), values[-1], values[-1])
    assert Histogram().at(0.5) == 0
    shares = whole.spectrum()
    assert shares == sorted(shares)
    assert shares[-1] == (1.0, values[-1])


@pytest.mark.parametrize(
    ("latency_us", "done", "failed", "wrong", "held"),
    [
        (99_000, 1, {}, {}, True),
        (103_000, 1, {}, {}, False),
        (99_000, 0, {}, {}, False),
        (99_000, 1, {"get: StoreUnavailable": 1}, {}, False),
        (99_000, 1, {}, {"created, and not there": 1}, False),
    ],
)
def test_a_load_is_held_or_not(
    latency_us: int, done: int, failed: dict[str, int], wrong: dict[str, int], *, held: bool
) -> None:
    """Slow, unanswered, refused or lost: each alone is too much."""
    histogram = Histogram()
    histogram.add(latency_us)
    told = Told(Counter(get=1), Counter(get=done), Counter(), Counter(failed), {"get": histogram}, took_s=1.0)
    assert _load.Outcome(1.0, 1.0, told, Counter(wrong)).held is held


def test_processes_share_the_load() -> None:
    """All of it, and no more; batches are fewer calls."""
    options = _load.parse(["--processes", "4", "--batch", "10"])
    plans = _load.plans(Settings(), 2.0, options)
    assert sum(each.live for each in plans) == 20_000
    assert sum(each.rates["get"] for each in plans) == 2 * BASE["get"]
    assert sum(each.rates["create"] for each in plans) == 2 * BASE["create"] / 10


@pytest.mark.parametrize(("heaviest", "status", "told"), [(1.0, 0, "factor 1"), (0.0, 1, "none is held")])
def test_the_heaviest_load_that_is_held_is_found(
    heaviest: float, status: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Ever heavier ones are tried, up to the first that is not; the figures of all are kept."""

    def load(factor: float, options: object) -> _load.Outcome:
        del options
        histogram = Histogram()
        histogram.add(1_000 if factor <= heaviest else 200_000)
        told = Told(Counter(get=1), Counter(get=1), latencies={"get": histogram}, took_s=1.0)
        return _load.Outcome(factor, 1.0, told, Counter())

    monkeypatch.setattr(_load, "load", load)
    figures = tmp_path / "load.json"
    assert _load.main(["--find", "--json", str(figures)]) == status
    assert told in capsys.readouterr().out.splitlines()[-1]
    held = [each["held"] for each in json.loads(figures.read_text())]
    assert held == [True] * (len(held) - 1) + [False]
