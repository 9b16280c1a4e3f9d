"""The table of a near cache: what may be put into it, in which order things leave, and when it answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from sojourn import Cache, InvalidInput
from sojourn.cache.clock import CLOCK, MARGIN_MS, WHICH, RedisClock
from sojourn.cache.table import Table

PREFIX, OTHER = "sojourn:{07}:acme:session:", "sojourn:{08}:beta:session:"
IDS = [f"00000000-0000-4000-8000-{number:012d}" for number in range(20_000)]


@dataclass
class Found:
    """Stands for a session."""

    id: str
    text: str = ""


def tracked(**limits: int) -> Table:
    """Return a table of whose sessions Redis tells."""
    table = Table(Cache(**limits))
    connection = table.connected()
    table.track(connection, PREFIX)
    table.track(connection, OTHER)
    now_s = CLOCK(WHICH)
    table.heard(connection, now_s, now_s, 1_000_000.0)
    return table


def load(table: Table, number: int, version: int = 1, *, size: int = 100, prefix: str = PREFIX) -> bool:
    """Read a session and put it there, with nothing in between."""
    token = table.token(prefix)
    assert token is not None
    return table.keep(prefix, token, Found(IDS[number]), size, (float(version), version), None)


def held(table: Table) -> list[int]:
    """Return which sessions are there."""
    return sorted(IDS.index(each) for each in table.entries)


def test_a_read_whose_session_changes_meanwhile_is_not_kept() -> None:
    """Whatever ends between a read's token and its keeping: that session, all, or the connection."""
    for happens in (
        lambda table: table.told([PREFIX + IDS[0]]),
        lambda table: table.end([PREFIX + IDS[0]]),
        lambda table: table.clear(),
        lambda table: table.lost("cut"),
        lambda table: [table.track(table.connected(), PREFIX)],
    ):
        table = tracked()
        token = table.token(PREFIX)
        assert token is not None
        happens(table)
        assert not table.keep(PREFIX, token, Found(IDS[0]), 1, (1.0, 1), None)
        assert held(table) == []


def test_a_change_of_another_session_keeps_a_read() -> None:
    """Another id, or the same id of another tenant."""
    for key in (PREFIX + IDS[1], OTHER + IDS[0]):
        table = tracked()
        token = table.token(PREFIX)
        assert token is not None
        table.told([key])
        assert table.keep(PREFIX, token, Found(IDS[0]), 1, (1.0, 1), None)


def test_a_change_takes_out_what_is_there() -> None:
    """Of that tenant only, and the bytes with it."""
    table = tracked()
    load(table, 0), load(table, 1)
    table.told([OTHER + IDS[0]])
    assert held(table) == [0, 1]
    table.told([PREFIX + IDS[0]])
    assert (held(table), table.info.bytes, table.info.invalidations) == ([1], 100, 2)


def test_an_older_state_replaces_no_newer_one() -> None:
    """The reply that was read first came last."""
    table = tracked()
    first, second = table.token(PREFIX), table.token(PREFIX)
    assert first is not None
    assert second is not None
    assert table.keep(PREFIX, second, Found(IDS[0], "new"), 1, (2.0, 2), None)
    assert not table.keep(PREFIX, first, Found(IDS[0], "old"), 1, (1.0, 1), None)
    assert table.entries[IDS[0]].session.text == "new"


def test_what_a_reader_saw_without_it_being_kept_still_ends_older_reads() -> None:
    """Else the same reader would be given the older state next: it would go back."""
    table = tracked()
    first = table.token(PREFIX)
    table.told([PREFIX + IDS[0]])
    second = table.token(PREFIX)  # reads what was before the next change, whose reply is slow
    assert first is not None
    assert second is not None
    assert not table.keep(PREFIX, first, Found(IDS[0], "new"), 1, (3.0, 3), None)  # sent before, carried out later
    assert not table.keep(PREFIX, second, Found(IDS[0], "old"), 1, (2.0, 2), None)


def test_an_eviction_or_refusal_does_so_too() -> None:
    """A newer state that was there for a moment, or too large to be, ends older reads as well."""
    for size in (1, 1_000):
        table = tracked(max_sessions=1, max_bytes=500)
        old = table.token(PREFIX)
        assert old is not None
        token = table.token(PREFIX)
        assert token is not None
        table.keep(PREFIX, token, Found(IDS[0], "new"), size, (2.0, 2), None)
        load(table, 1, size=1)
        assert not table.keep(PREFIX, old, Found(IDS[0], "old"), 1, (1.0, 1), None)
        assert held(table) == [1]


def test_seen_by_other_ways() -> None:
    """What is older than something that was seen is not answered with; what is as new is."""
    table = tracked()
    load(table, 0, version=2)
    table.seen(PREFIX, IDS[0], (2.0, 2))
    table.seen(OTHER, IDS[0], (9.0, 9))
    assert held(table) == [0]
    table.seen(PREFIX, IDS[0], (3.0, 2))
    assert held(table) == []


def test_changes_that_are_forgotten_end_all_reads_before() -> None:
    """It remembers some thousand; a read that has been under way for longer is not kept."""
    table = tracked()
    token = table.token(PREFIX)
    assert token is not None
    table.told(PREFIX + each for each in IDS[1:6_000])
    assert not table.keep(PREFIX, token, Found(IDS[0]), 1, (1.0, 1), None)
    token = table.token(PREFIX)
    assert token is not None
    table.told(PREFIX + each for each in IDS[1:4_000])
    assert table.keep(PREFIX, token, Found(IDS[0]), 1, (1.0, 1), None)


def test_the_least_recently_used_leaves_first() -> None:
    """Exactly so among a few."""
    table = tracked(max_sessions=4)
    for number in range(4):
        load(table, number)
    for at_s, number in enumerate((2, 0, 3, 1)):
        table.entries[IDS[number]].used_s = CLOCK(WHICH) + at_s * 1e-6
    left = []
    for number in range(4, 7):
        before = set(held(table))
        load(table, number)
        table.entries[IDS[number]].used_s += 10
        left += sorted(before - set(held(table)))
    assert left == [2, 0, 3]
    assert table.info.evictions == 3


def test_what_is_in_use_stays_among_many() -> None:
    """A hundred that are used all the time, among a thousand places through which twenty thousand others go."""
    table = tracked(max_sessions=1_000)
    for number in range(20_000):
        load(table, number)
        if number >= 100:
            table.entries[IDS[number % 100]].used_s = CLOCK(WHICH)
    assert len(table.entries) == 1_000
    assert set(range(100)) <= set(held(table))


def test_bytes_are_bounded() -> None:
    """By what is there; and what is larger than all of it never is."""
    table = tracked(max_bytes=1_000)
    for number in range(10):
        assert load(table, number, size=300)
    assert (len(table.entries), table.info.bytes) == (3, 900)
    assert not load(table, 11, size=1_001)
    assert load(table, 12, size=1_000)
    assert held(table) == [12]
    assert load(table, 12, version=2, size=10)
    assert table.info.bytes == 10


class _InterruptedOnce(int):
    """A size in the middle of whose addition a signal's handler raises."""

    was = False

    def __radd__(self, other: int) -> int:
        if not self.was:
            self.was = True
            raise KeyboardInterrupt
        return other + int(self)


def test_bytes_are_counted_over_interruptions() -> None:
    """What was kept before a signal's handler raised is counted."""
    table = tracked(max_sessions=10, max_bytes=250)
    with pytest.raises(KeyboardInterrupt):
        load(table, 0, size=_InterruptedOnce(100))
    assert (held(table), table.info.bytes) == ([0], 100)
    assert load(table, 1)
    assert load(table, 2)
    assert (held(table), table.info.bytes) == ([1, 2], 200)


def test_nothing_is_kept_unless_redis_tells() -> None:
    """Before the connection is there, and of tenants that it was not asked for."""
    table = Table(Cache())
    assert table.token(PREFIX) is None
    connection = table.connected()
    table.track(connection, PREFIX)
    assert table.token(OTHER) is None
    assert table.token(PREFIX) is not None


def test_a_former_connection_has_no_say() -> None:
    """What it had asked for is answered after the next one has begun."""
    table = tracked()
    former = table.connected()
    table.connected()
    table.track(former, PREFIX)
    now_s = CLOCK(WHICH)
    table.heard(former, now_s, now_s, 1.0)
    assert table.token(PREFIX) is None
    assert not table.info.tracking


def test_trust_ends() -> None:
    """It holds from when Redis was asked, not from when it answered."""
    table = tracked(max_stale=1)
    connection = table.connected()
    now_s = CLOCK(WHICH)
    table.heard(connection, now_s - 0.9, now_s, 1_000.0)
    assert table.info.tracking
    table.heard(connection, now_s - 1.1, now_s, 1_000.0)
    assert not table.info.tracking


def test_losing_touch_is_news_once() -> None:
    """Told when it is lost, and when the reason is another; not with each attempt to get it back."""
    table = tracked()
    assert table.lost("cut")
    assert not table.lost("cut")
    assert table.lost("refused")
    table.track(table.connected(), PREFIX)
    assert table.lost("refused")
    assert not table.lost("")
    assert table.info.problem == "refused"


def test_all_at_once() -> None:
    """Threads that load, read and end the same sessions: the count of bytes stays exact, and bounds hold."""
    table = tracked(max_sessions=50)
    start = threading.Barrier(6)

    def work(seed: int) -> None:
        start.wait()
        for turn in range(3_000):
            number = (turn * 7 + seed * 13) % 80
            if turn % 3:
                load(table, number, version=turn, size=number)
            elif seed % 2:
                table.told([PREFIX + IDS[number]])
            elif (entry := table.entries.get(IDS[number])) is not None:
                entry.used_s = CLOCK(WHICH)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(table.entries) <= 50
    assert table.info.bytes == sum(each.bytes for each in table.entries.values())


def test_deadlines_go_by_redis() -> None:
    """They come by its clock, early by the margin and by how long its reply took, and never late."""
    clock = RedisClock(2.0)
    assert clock.local_s(5_000) == float("-inf")
    clock.learn(asked_s=10.0, came_s=10.5, told_ms=1_000_000)
    # Redis said so at some moment from 10.0 to 10.5; a deadline 3 s later is at 13.0 at the earliest.
    assert clock.local_s(1_003_000) == pytest.approx(13.0 - MARGIN_MS / 1000)


def test_a_clock_that_is_set_forward_is_noticed() -> None:
    """Also behind slow replies, as soon as patience with them ends; set back it makes deadlines late by ours, only."""
    clock = RedisClock(2.0)
    assert clock.learn(10.0, 10.001, 1_000_000)
    assert clock.learn(11.0, 11.001, 1_001_000)
    assert not clock.learn(12.0, 12.001, 1_002_500)
    assert clock.learn(13.0, 13.5, 1_003_900)  # it may have been set by 0.4 s, or the reply been slow
    assert clock.learn(13.9, 14.4, 1_004_800)
    assert not clock.learn(14.1, 14.6, 1_005_000)
    clock = RedisClock(2.0)
    clock.learn(10.0, 10.001, 1_000_000)
    assert clock.learn(11.0, 11.001, 1_000_000)
    assert clock.local_s(1_001_000) == pytest.approx(12.0 - MARGIN_MS / 1000)


@pytest.mark.parametrize(
    "given",
    [{"max_sessions": 0}, {"max_sessions": True}, {"max_sessions": 1e3}, {"max_bytes": -1}, {"max_bytes": 2**41},
     {"max_stale": 0}, {"max_stale": float("nan")}, {"max_stale": 61}, {"max_stale": "1"}],
)  # fmt: skip
def test_what_is_no_cache(given: dict[str, object]) -> None:
    """It is refused when it is made."""
    with pytest.raises(InvalidInput, match=next(iter(given))):
        Cache(**given)  # type: ignore[arg-type]
