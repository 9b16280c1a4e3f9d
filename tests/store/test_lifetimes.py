"""Deadlines: where they are kept, how they move, and what is past one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, keys_of
from tests.waiting import eventually

from sojourn import SessionNotFound, SessionStore, Status
from sojourn.codec import ms_from

GRACE_MS = 7 * 86_400_000
SLACK_MS = 1_500


def redis_ms(raw: Any) -> int:
    """Return Redis's time."""
    seconds, micros = raw.time()
    return int(seconds) * 1000 + int(micros) // 1000


def past(raw: Any, session: JobSession) -> None:
    """Wait until Redis's clock is past the session's deadline."""
    assert session.expires_at is not None
    deadline_ms = ms_from(session.expires_at)
    eventually(lambda: redis_ms(raw) > deadline_ms, what="the deadline")


def check_places(store: Any, raw: Any, session: JobSession) -> None:
    """Assert that hash, TTLs and index agree on the deadline."""
    keys, id_ = keys_of(store), session.id
    score = raw.zscore(keys.partition.deadlines, keys.member(id_))
    if session.expires_at is None:
        assert raw.hget(keys.session(id_), "expires_at_ms") is None
        assert score is None
        assert not raw.exists(keys.lease(id_))
        assert raw.pttl(keys.session(id_)) == -1
        return
    deadline = ms_from(session.expires_at)
    now = redis_ms(raw)
    assert int(raw.hget(keys.session(id_), "expires_at_ms")) == deadline
    assert score == deadline
    assert deadline - now - SLACK_MS < raw.pttl(keys.lease(id_)) <= deadline - now + 1
    for key in (keys.session(id_), keys.log(id_, "lines")):
        assert deadline + GRACE_MS - now - SLACK_MS < raw.pttl(key) <= deadline + GRACE_MS - now + 1


def test_deadline_is_in_four_places(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Hash, lease, index and the logs' TTLs follow every change of the deadline."""
    made = jobs.create(ttl=100)
    jobs.append(made.id, JobSession.lines, "x")
    check_places(jobs, raw, jobs.get(made.id))
    longer = jobs.set_ttl(made.id, timedelta(hours=3))
    assert (longer.ttl, longer.version) == (timedelta(hours=3), 3)
    check_places(jobs, raw, longer)
    check_places(jobs, raw, jobs.set_ttl(made.id, 20))
    forever = jobs.persist(made.id)
    assert (forever.expires_at, forever.ttl) == (None, None)
    check_places(jobs, raw, forever)
    assert raw.pttl(keys_of(jobs).log(made.id, "lines")) == -1
    check_places(jobs, raw, jobs.set_ttl(made.id, 20))


def test_infinite_session(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Without a TTL there is no deadline anywhere, and touching sets none."""
    made = jobs.create(ttl=None)
    check_places(jobs, raw, made)
    assert jobs.touch(made.id) is None
    touched = jobs.get(made.id)
    assert touched.accessed_at >= made.accessed_at
    assert touched.version == 1
    check_places(jobs, raw, touched)


def test_touch_moves_the_deadline(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Touching starts the TTL anew, without a new version."""
    made = jobs.create(ttl=100)
    jobs.append(made.id, JobSession.lines, "x")
    eventually(lambda: redis_ms(raw) > ms_from(made.created_at) + 5, what="a later millisecond")
    deadline = jobs.touch(made.id)
    after = jobs.get(made.id)
    assert made.expires_at is not None
    assert deadline is not None
    assert made.expires_at < deadline == after.expires_at
    assert after.version == 2
    check_places(jobs, raw, after)


def test_max_lifetime_caps(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Nothing moves a deadline past created + max_lifetime, not even persisting."""
    made = jobs.create(ttl=1000, max_lifetime=20)
    jobs.append(made.id, JobSession.lines, "x")
    cap = made.created_at + timedelta(seconds=20)
    assert made.expires_at == cap
    assert jobs.touch(made.id) == cap
    assert jobs.set_ttl(made.id, 5).expires_at != cap
    assert jobs.set_ttl(made.id, 500).expires_at == cap
    forever = jobs.persist(made.id)
    assert (forever.expires_at, forever.ttl) == (cap, None)
    check_places(jobs, raw, forever)


@pytest.mark.parametrize(
    "write",
    [
        lambda jobs, id_: jobs.get(id_),
        lambda jobs, id_: jobs.update(id_, limit=1),
        lambda jobs, id_: jobs.increment(id_, attempts=1),
        lambda jobs, id_: jobs.append(id_, JobSession.lines, "y"),
    ],
    ids=["get", "update", "increment", "append"],
)
def test_sliding_store(open_store: StoreOpener, raw: Any, write: Callable[[Any, str], Any]) -> None:
    """Reads and writes of a sliding store keep a session alive."""
    jobs = open_store(JobSession, sliding=True, slide_gain=0)
    made = jobs.create(ttl=100)
    jobs.append(made.id, JobSession.lines, "x")
    before = jobs.get(made.id)
    assert before.expires_at is not None
    eventually(lambda: redis_ms(raw) > ms_from(before.updated_at) + 5, what="a later millisecond")
    write(jobs, made.id)
    keys = keys_of(jobs)
    assert int(raw.hget(keys.session(made.id), "expires_at_ms")) > ms_from(before.expires_at)
    check_places(jobs, raw, jobs.get(made.id))


def test_sliding_reads_seldom_write(open_store: StoreOpener, raw: Any) -> None:
    """A read that would gain little writes nothing at all; one of an ended session is just a read."""
    jobs = open_store(JobSession, sliding=True, slide_gain=0.5)
    made = jobs.create(ttl=100)
    eventually(lambda: redis_ms(raw) > ms_from(made.created_at) + 5, what="a later millisecond")
    assert jobs.get(made.id) == made
    ended = jobs.complete(made.id)
    assert jobs.get(made.id) == ended
    with pytest.raises(SessionNotFound):
        jobs.get("00000000-0000-4000-8000-000000000000")


def test_sliding_stops_at_the_cap(open_store: StoreOpener) -> None:
    """Sliding never passes max_lifetime."""
    jobs = open_store(JobSession, sliding=True, slide_gain=0)
    made = jobs.create(ttl=50, max_lifetime=50)
    assert jobs.update(made.id, limit=1).expires_at == made.expires_at


def test_overdue_session_is_nowhere(open_store: StoreOpener, raw: Any) -> None:
    """Past its deadline a session is not found by any call, though nobody has claimed it."""
    jobs, sliding = open_store(JobSession), open_store(JobSession, sliding=True)
    made = jobs.create(ttl=0.02, owner="ada", labels=["x"])
    past(raw, made)
    assert raw.hget(keys_of(jobs).session(made.id), "status") == "pending"
    for call in (
        lambda: jobs.get(made.id),
        lambda: sliding.get(made.id),
        lambda: jobs.update(made.id, limit=1),
        lambda: jobs.update(made.id, version=1, limit=1),
        lambda: jobs.increment(made.id, attempts=1),
        lambda: jobs.append(made.id, JobSession.lines, "x"),
        lambda: jobs.entries(made.id, JobSession.lines),
        lambda: jobs.touch(made.id),
        lambda: jobs.set_ttl(made.id, 100),
        lambda: jobs.persist(made.id),
        lambda: jobs.complete(made.id),
        lambda: jobs.delete(made.id),
    ):
        with pytest.raises(SessionNotFound):
            call()
    assert jobs.get_many([made.id]) == [None]
    assert jobs.list().sessions == jobs.list(owner="ada").sessions == jobs.list(where={"labels": "x"}).sessions == ()
    assert jobs.count() == jobs.count(owner="ada") == 0
    assert jobs.list(status="pending").sessions == ()


def test_create_claims_what_is_overdue(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Each create claims up to two overdue sessions, oldest first, so that nothing piles up without workers."""
    overdue = jobs.create_many([{}] * 5, ttl=0.05)
    past(raw, max(overdue, key=lambda each: ms_from(each.updated_at)))
    keys = keys_of(jobs)

    def statuses() -> list[str]:
        return [raw.hget(keys.session(each.id), "status") for each in overdue]

    for claimed in (2, 4, 5):
        jobs.create()
        assert statuses().count("expired") == claimed
    assert raw.zcard(keys.partition.deadlines) == 3
    record = raw.hgetall(keys.session(overdue[0].id))
    assert record["ended_at_ms"] == record["expires_at_ms"]
    assert record["end_reason"] == "deadline"
    assert {each.id for each in jobs.list(status="expired").sessions} == {each.id for each in overdue}


def test_updated_at_never_goes_back(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Where the clock was set back, later states still have later times: the archive orders by them."""
    made = jobs.create(ttl=None)
    ahead = ms_from(made.updated_at) + 60_000
    raw.hset(keys_of(jobs).session(made.id), "updated_at_ms", ahead)
    assert ms_from(jobs.update(made.id, limit=1).updated_at) == ahead
    jobs.touch(made.id)
    assert ms_from(jobs.get(made.id).updated_at) == ahead + 1
    assert jobs.complete(made.id).status is Status.COMPLETED
    assert ms_from(jobs.get(made.id).updated_at) == ahead + 1
