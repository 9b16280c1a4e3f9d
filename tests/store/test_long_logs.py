"""Logs that are too long to be read at once."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from tests.drivers import StoreOpener

from sojourn import InvalidInput, Limits, Log, Session, SessionStore
from sojourn.operations import read
from sojourn.tenants.link import Link

COUNT = 5_000


class LongSession(Session):
    """Has a bounded log and one that is not."""

    feed: ClassVar[Log[int]] = Log(int, keep=100)
    lines: ClassVar[Log[str]] = Log(str)


@pytest.fixture
def store(open_store: StoreOpener) -> SessionStore[LongSession]:
    """Give a store of sessions with long logs."""
    return open_store(LongSession, limits=Limits(log_entries=COUNT))


def _filled(store: SessionStore[LongSession]) -> str:
    made = store.create()
    for start in range(0, COUNT, 1_000):
        store.append(made.id, LongSession.feed, *range(start, start + 1_000))
    return made.id


def test_all_of_a_long_log(store: SessionStore[LongSession], raw: Any) -> None:
    """In several steps, of which none is long; each stretch is what it is in one."""
    session_id = _filled(store)
    raw.config_resetstat()
    assert store.entries(session_id, LongSession.feed) == list(range(COUNT))
    assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] == 3
    for start, count in ((0, 2_000), (1, 4_000), (1_999, 2), (3_000, None), (COUNT, None), (COUNT - 1, 7)):
        end = COUNT if count is None else min(start + count, COUNT)
        assert store.entries(session_id, LongSession.feed, start=start, count=count) == list(range(start, end))
    raw.config_resetstat()
    assert store.entries(session_id, LongSession.feed, start=COUNT - 5, count=100) == list(range(COUNT - 5, COUNT))
    assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] == 1, "it knows where the log ends"
    with pytest.raises(InvalidInput):
        store.entries(session_id, LongSession.feed, start=-1)


def test_large_entries(store: SessionStore[LongSession], raw: Any) -> None:
    """Few entries are a step as well, where they are large."""
    made = store.create()
    texts = [f"{number:05}" * 6_000 for number in range(70)]
    store.append(made.id, LongSession.lines, *texts)
    raw.config_resetstat()
    assert store.entries(made.id, LongSession.lines) == texts
    assert raw.info("commandstats")["cmdstat_evalsha"]["calls"] == 2


@pytest.mark.beyond_one_tenant
def test_a_bounded_log_that_moves_on_meanwhile(store: SessionStore[LongSession]) -> None:
    """What is gone when its step comes is not in the result, which has no gap, and none that came since."""
    session_id = _filled(store)
    with Link(store.settings) as link:
        link.open()
        flow = read.page_flow(store._context, LongSession, session_id, LongSession.feed, 0, None)
        following = flow.send(link.run(next(flow)))
        for start in range(COUNT, COUNT + 3_000, 1_000):
            store.append(session_id, LongSession.feed, *range(start, start + 1_000))
        assert _rest(link, flow, following) == read.LogPage(3_000, tuple(range(3_000, COUNT)))


def _rest(link: Link, flow: Any, following: Any) -> Any:
    try:
        while True:
            following = flow.send(link.run(following))
    except StopIteration as done:
        return done.value


def test_a_long_log_is_one_call_against_a_rate(store: SessionStore[LongSession]) -> None:
    """However many steps it takes."""
    session_id = _filled(store)
    store.set_tenant_limits(operations="0.001/s:2")
    assert len(store.entries(session_id, LongSession.feed)) == COUNT
    assert len(store.entries(session_id, LongSession.feed)) == COUNT
