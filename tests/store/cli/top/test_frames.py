"""The live view's pure parts: rates and rows from what was counted, what keys change, lines that fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sojourn.cli.top.keys import split_keys
from sojourn.cli.top.look import COLUMNS, Look, arranged, pressed
from sojourn.cli.top.model import Sample, hook_rows, quantile, rows, since, summary
from sojourn.cli.top.view import Frame, frame
from sojourn.counts import LAG_BOUNDS_S, Histogram
from sojourn.metrics import GroupState, HookRuns, LabelCounts, Metrics, TenantMetrics
from sojourn.metrics.notes import HOOK_BOUNDS_MS

_BOUNDS_S = tuple(each / 1000 for each in HOOK_BOUNDS_MS)


def histogram(bounds: tuple[float, ...], bucket: int, count: int, sum_s: float) -> Histogram:
    """Give a histogram with all in one bucket."""
    counts = [0] * (len(bounds) + 1)
    counts[bucket] = count
    return Histogram(bounds, tuple(counts), sum_s)


def tenant(name: str, live: int, created: int, ended: int, **more: Any) -> TenantMetrics:
    """Give a tenant's numbers, all of them of one kind."""
    label = LabelCounts("chat", "", live, created, {"completed": ended}, Histogram.empty((60.0,)))
    return TenantMetrics(
        tenant=name, active_sessions=live, created_sessions=created, ended_sessions={"completed": ended},
        labels=(label,), memory_bytes=live * 1000, **more,
    )  # fmt: skip


def sample(at_s: float, *tenants: TenantMetrics, **more: Any) -> Sample:
    """Give what was read at a moment."""
    live = {(each.tenant, "chat"): {"pending": each.active_sessions - 1, "in_progress": 1} for each in tenants}
    return Sample(at_s, Metrics(tenants={each.tenant: each for each in tenants}, clock_s=at_s, **more), live)


def names(look: Look, *found: Any) -> list[str]:
    """Give the names of the rows in order."""
    return [each.name for each in arranged(rows(*found), look)]


def test_rates_are_between_two_looks() -> None:
    """Without a look before there are none; a count that fell has begun anew; a new tenant's counts from 0."""
    before = sample(100, tenant("acme", 5, 10, 5), tenant("beta", 3, 30, 2))
    now = sample(102, tenant("acme", 7, 14, 7), tenant("beta", 1, 3, 0), tenant("new", 2, 8, 6))
    assert [(each.name, each.created_per_s, each.ended_per_s) for each in rows(before, now)] == [
        ("acme", 2.0, 1.0), ("beta", 0.0, 0.0), ("new", 4.0, 3.0),
    ]  # fmt: skip
    assert all(each.created_per_s is None for each in rows(None, now))
    assert all(each.created_per_s is None for each in rows(now, now))
    (of_kind,) = rows(before, now, "kind")
    assert (of_kind.name, of_kind.live, of_kind.pending, of_kind.in_progress) == ("chat", 10, 7, 3)
    assert (of_kind.overdue, of_kind.memory_bytes, of_kind.created_per_s) == (None, None, 0.0)
    whole = summary(before, now)
    assert (whole.live, whole.created_per_s, whole.ended_per_s) == (10, 6.0, 4.0)


def test_lags_and_hooks_are_of_late() -> None:
    """What came since the look before counts; where nothing did, all there is. The slowest hook comes first."""

    def look(at_s: float, claims: int, runs: int) -> Sample:
        lag = histogram(LAG_BOUNDS_S, 2, claims, claims * 0.5)
        hooks = {
            "fast": HookRuns({"ok": 10}, histogram(_BOUNDS_S, 0, 10, 0.01)),
            "slow": HookRuns({"ok": runs, "failed": 2}, histogram(_BOUNDS_S, 3, runs, runs * 0.006)),
        }
        return sample(at_s, tenant("acme", 5, 9, 4, expiry_lag=lag), hooks=hooks, dead_letters={"gone": 4})

    before, now = look(10, 4, 100), look(12, 8, 150)
    assert summary(before, now).expiry_lag_s == 0.5
    assert summary(before, before).expiry_lag_p99_s == LAG_BOUNDS_S[2]
    slow, fast, gone = hook_rows(before, now)
    assert (slow.name, slow.runs_per_s, slow.failed) == ("slow", 25.0, 2)
    assert (fast.name, fast.runs_per_s) == ("fast", 0.0)
    assert [each.average_s for each in (slow, fast)] == pytest.approx([0.006, 0.001])
    assert (gone.name, gone.dead_letters, gone.average_s) == ("gone", 4, None)
    assert quantile(Histogram((1.0,), (1, 99), 500.0), 0.95) == float("inf")
    assert quantile(Histogram.empty((1.0,)), 0.95) is None
    assert since(Histogram((1.0,), (5, 0), 1.0), Histogram((1.0,), (2, 0), 0.4)).count == 2


def test_keys() -> None:
    """Each key does what the help says; those of the filter go into its text."""
    found = sample(1, tenant("acme", 5, 1, 9), tenant("beta", 9, 2, 3), tenant("Zeta", 7, 3, 1))
    look = Look()
    assert names(look, None, found) == ["beta", "Zeta", "acme"]
    assert names(pressed(look, "r"), None, found) == ["acme", "Zeta", "beta"]
    by_name = pressed(look, "S")
    assert (by_name.sort, names(by_name, None, found)) == ("name", ["Zeta", "acme", "beta"])
    sorts = [look]
    for _ in COLUMNS:
        sorts.append(pressed(sorts[-1], "s"))
    assert [each.sort for each in sorts] == [*COLUMNS[1:], "name", "live"]
    completed = next(each for each in sorts if each.sort == "completed")
    assert names(completed, None, found) == ["acme", "beta", "Zeta"]
    typed = look
    for key in "/qTx\x7f":
        typed = pressed(typed, key)
    assert (typed.typing, typed.filter, typed.done) == (True, "qT", False)
    typed = pressed(replace(typed, filter="ETA"), "\r")
    assert (typed.typing, names(typed, None, found)) == (False, ["beta", "Zeta"])
    assert pressed(typed, "\x1b").filter == ""
    assert pressed(replace(typed, typing=True), "\x1b").filter == ""
    assert pressed(look, "k").group == "kind"
    assert pressed(pressed(look, "k"), "t").group == "tenant"
    assert [pressed(look, each).interval_s for each in "+-"] == [1.0, 4.0]
    fastest = look
    for _ in range(9):
        fastest = pressed(fastest, "+")
    assert fastest.interval_s == 0.25
    assert pressed(look, "p").paused
    assert pressed(look, "?").help
    assert not pressed(pressed(look, "h"), "x").help
    assert pressed(look, "q").done
    assert pressed(look, "é") == look
    assert list(split_keys("a\x1b[15~b\x1bOP\x1b[1;5Aq")) == ["a", "b", "q"]


@pytest.mark.parametrize("size", [(200, 60), (120, 40), (80, 24), (60, 12), (40, 8), (20, 4), (8, 2), (1, 1)])
@pytest.mark.parametrize("look", [Look(), Look(group="kind"), Look(help=True), Look(filter="nothing", typing=True)])
def test_a_frame_fits(size: tuple[int, int], look: Look) -> None:
    """Into any terminal, with many tenants and hooks; where there is no room, the least important goes."""
    width, height = size
    hooks = {f"hook-{n}": HookRuns({"ok": n}, histogram(_BOUNDS_S, 3, n + 1, n * 0.006)) for n in range(30)}
    now = sample(
        1_790_000_000.0, *(tenant(f"tenant-with-a-long-name-{n}", n, n, n) for n in range(100)), hooks=hooks,
        groups={"g": GroupState(3, 90.0)}, waiting={"sojourn-hooks": 3}, workers={"sojourn-hooks": 0},
    )  # fmt: skip
    for found in (Frame(now, now), Frame(None), Frame(None, problem="x" * 500), Frame(now, None, "Redis is\x1b[31m")):
        lines = frame(found, look, width, height)
        assert 0 < len(lines) <= height
        assert all(line.cell_len <= width for line in lines)
        assert "\x1b" not in "".join(line.plain for line in lines)


def test_what_a_frame_tells() -> None:
    """The totals, the marks of sorting and filtering, and that Redis is away."""
    now = sample(
        1_790_000_000.0, tenant("acme", 5, 9, 4, expired_sessions=2, lost_payloads=1),
        groups={"archive": GroupState(3, 90.0)}, dirty=7, dirty_age_s=3.25, outbox={1: 9},
        waiting={"sojourn-hooks": 3}, workers={"sojourn-hooks": 1}, dead_letters={"mail": 2},
        redis_memory_bytes=3 * 2**20, redis_memory_limit_bytes=10 * 2**20,
    )  # fmt: skip
    shown = "\n".join(line.plain for line in frame(Frame(now), Look(), 130, 40))
    for each in ("5 live", "2 overdue", "1 lost", "7 wait, the first for 3.2 s", "archive 90.0 s behind",
                 "hooks 3 wait, 1 worker", "2 dead letters", "3.0 MB of 10.0 MB", "LIVE↓", "acme"):  # fmt: skip
        assert each in shown, each
    shown = "\n".join(line.plain for line in frame(Frame(now, problem="away"), Look(paused=True, filter="zz"), 130, 40))
    for each in ("away", "paused", "filter: zz", "none of that name"):
        assert each in shown, each
    narrow = frame(Frame(now), Look(sort="deleted"), 60, 30)
    assert any("DELETED↓" in line.plain for line in narrow)
