"""Listing and counting: filters, pages, cursors, repair."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, StrictSession, keys_of

from sojourn import DocumentationSession, InvalidCursor, InvalidField, InvalidInput, RateLimited, Session, SessionStore


def ids(sessions: Any) -> set[str]:
    """Return the ids of sessions."""
    return {each.id for each in sessions}


def all_pages(store: Any, limit: int, **filters: Any) -> list[str]:
    """Return the ids on all pages."""
    found: list[str] = []
    cursor = None
    while True:
        page = store.list(limit=limit, cursor=cursor, **filters)
        found += [each.id for each in page.sessions]
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.fixture
def stocked(jobs: SessionStore[JobSession]) -> tuple[SessionStore[JobSession], dict[str, JobSession]]:
    """Give a store with sessions that differ in one field each."""
    made = {
        "plain": jobs.create(),
        "owned": jobs.create(owner="ada"),
        "tagged": jobs.create(tags=["red", "blue"]),
        "both": jobs.create(owner="ada", tags=["red"], client_type="web"),
        "queued": jobs.create(queue="mail", labels=["a:b", "ünï"], client_type="web"),
        "running": jobs.create(status="in_progress", owner="ada"),
    }
    made["ended"] = jobs.complete(jobs.create(owner="ada").id)
    jobs.delete(jobs.create(owner="ada", tags=["red"]).id)
    return jobs, made


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, "plain owned tagged both queued running ended"),
        ({"status": "pending"}, "plain owned tagged both queued"),
        ({"status": ["in_progress", "completed"]}, "running ended"),
        ({"owner": "ada"}, "owned both running ended"),
        ({"owner": "ad"}, ""),
        ({"tag": "red"}, "tagged both"),
        ({"client_type": "web"}, "both queued"),
        ({"owner": "ada", "tag": "red"}, "both"),
        ({"owner": "ada", "status": "in_progress"}, "running"),
        ({"owner": "ada", "client_type": "web", "tag": "red", "status": "pending", "kind": "job"}, "both"),
        ({"where": {"queue": "mail"}}, "queued"),
        ({"where": {"labels": "a:b"}}, "queued"),
        ({"where": {"labels": "ünï", "queue": "mail"}, "client_type": "web"}, "queued"),
        ({"where": {"queue": "default"}, "owner": "ada", "status": "completed"}, "ended"),
    ],
    ids=str,
)
def test_filters(stocked: Any, filters: dict[str, Any], names: str) -> None:
    """Each filter, and several at once, find exactly what matches, and count agrees."""
    jobs, made = stocked
    wanted = {made[name].id for name in names.split()}
    assert ids(jobs.list(**filters).sessions) == wanted
    assert set(all_pages(jobs, 1, **filters)) == wanted
    assert jobs.count(**filters) == len(wanted)
    assert jobs.list(**filters, predicate=lambda _: False).sessions == ()


def test_predicate_fills_pages(jobs: SessionStore[JobSession]) -> None:
    """A page goes on until it is full of wanted sessions."""
    made = [jobs.create(limit=number) for number in range(30)]
    wanted = [each.id for each in made if each.limit % 3 == 0]

    def third(session: JobSession) -> bool:
        return session.limit % 3 == 0

    first = jobs.list(limit=4, predicate=third)
    assert len(first.sessions) == 4
    assert set(all_pages(jobs, 4, predicate=third)) == set(wanted)


def test_pages_are_stable_under_inserts(jobs: SessionStore[JobSession]) -> None:
    """Sessions that are created while somebody pages neither repeat nor hide older ones."""
    old = jobs.create_many([{"owner": "ada"}] * 25)
    found: list[str] = []
    cursor = None
    for _ in range(5):
        page = jobs.list(owner="ada", limit=5, cursor=cursor)
        found += [each.id for each in page.sessions]
        cursor = page.cursor
        jobs.create_many([{"owner": "ada"}] * 3)
    assert sorted(found) == sorted(each.id for each in old)
    assert cursor is None


def test_ties_in_time(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Many sessions of one millisecond come once each, newest first, whatever the page's size."""
    made = jobs.create_many([{"owner": "ada"}] * 40)
    keys = keys_of(jobs)
    moment = raw.hget(keys.session(made[0].id), "created_at_ms")
    for each in made:
        raw.hset(keys.session(each.id), "created_at_ms", moment)
        for index in (keys.index("owner", "ada"), keys.status_index("job", "pending")):
            raw.zadd(index, {each.id: moment})
    expected = sorted((each.id for each in made), reverse=True)
    for limit in (1, 7, 40, 100):
        assert all_pages(jobs, limit) == expected
        assert all_pages(jobs, limit, owner="ada", status=["pending", "failed"]) == expected


def test_order_is_newest_first_over_statuses(jobs: SessionStore[JobSession]) -> None:
    """Several statuses are merged by time, not told one after the other."""
    made = jobs.create_many([{"status": ("pending", "in_progress")[number % 2]} for number in range(20)])
    expected = [each.id for each in sorted(made, key=lambda each: (each.created_at, each.id), reverse=True)]
    assert [each.id for each in jobs.list().sessions] == expected
    assert all_pages(jobs, 3) == expected


def test_created_range(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Both bounds are inclusive."""
    made = [jobs.create() for _ in range(3)]
    keys = keys_of(jobs)
    times = {}
    for number, each in enumerate(made):
        moment = each.created_at - timedelta(hours=number)
        times[number] = moment
        raw.zadd(keys.status_index("job", "pending"), {each.id: int(moment.timestamp() * 1000)})
    assert ids(jobs.list(created_after=times[1]).sessions) == {made[0].id, made[1].id}
    assert ids(jobs.list(created_before=times[1]).sessions) == {made[1].id, made[2].id}
    assert jobs.count(created_after=times[1], created_before=times[1]) == 1


def test_kinds(open_store: StoreOpener) -> None:
    """A store of the base class lists every kind; others their own."""
    base, jobs, strict = open_store(Session), open_store(JobSession), open_store(StrictSession)
    made = [base.create(owner="a"), jobs.create(owner="a"), strict.create(owner="b")]
    assert ids(base.list().sessions) == ids(made)
    assert ids(base.list(kind="job").sessions) == ids(jobs.list().sessions) == {made[1].id}
    assert ids(base.list(owner="a").sessions) == {made[0].id, made[1].id}
    assert (base.count(), jobs.count(), base.count(kind="strict"), jobs.count(owner="b")) == (3, 1, 1, 0)
    with pytest.raises(InvalidField, match="kind"):
        jobs.list(kind="strict")
    assert base.list(kind="never_seen").sessions == ()


def test_index_moves_with_its_field(jobs: SessionStore[JobSession]) -> None:
    """A session is found under the new value only."""
    made = jobs.create(owner="ada", tags=["red", "blue"], queue="mail")
    jobs.update(made.id, owner="bob", tags=["blue", "green"], queue="web", status="in_progress")
    assert jobs.count(owner="ada") == jobs.count(tag="red") == jobs.count(where={"queue": "mail"}) == 0
    assert jobs.count(owner="bob", tag="green", where={"queue": "web"}, status="in_progress") == 1
    assert jobs.count(tag="blue") == 1
    jobs.update(made.id, owner=None, tags=())
    assert jobs.count(owner="bob") == jobs.count(tag="blue") == 0


def test_dead_entries_heal(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Entries of records that were evicted are dropped by the listing that meets them."""
    made = jobs.create_many([{"owner": "ada", "tags": ["x"]}] * 12)
    keys = keys_of(jobs)
    for each in made[:10]:
        raw.delete(keys.session(each.id))
    assert ids(jobs.list(tag="x").sessions) == ids(made[10:])
    assert raw.zcard(keys.index("tags", "x")) == raw.zcard(keys.status_index("job", "pending")) == 2
    assert ids(jobs.list(owner="ada").sessions) == ids(made[10:])
    assert jobs.count() == jobs.count(owner="ada") == 2


def test_foreign_key_in_an_index(jobs: SessionStore[JobSession], raw: Any) -> None:
    """What is no hash is no session."""
    made = jobs.create(owner="ada")
    raw.delete(keys_of(jobs).session(made.id))
    raw.set(keys_of(jobs).session(made.id), "x")
    assert jobs.list().sessions == ()


def test_cursors_are_bound_to_their_query(jobs: SessionStore[JobSession]) -> None:
    """A cursor of another query, or one that was tampered with, is refused."""
    jobs.create_many([{"owner": "ada"}] * 3)
    cursor = jobs.list(owner="ada", limit=1).cursor
    assert cursor is not None
    assert len(jobs.list(owner="ada", limit=2, cursor=cursor).sessions) == 2
    for bad in (cursor[:-2], cursor + "A", "x", "", "ü" * 10, "A" * 10_000, cursor.swapcase(), "W10", "bnVsbA", 5):
        with pytest.raises(InvalidCursor):
            jobs.list(owner="ada", cursor=bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidCursor, match="another query"):
        jobs.list(owner="bob", cursor=cursor)
    with pytest.raises(InvalidCursor, match="another query"):
        jobs.list(cursor=cursor)


@pytest.mark.parametrize(
    "filters",
    [
        {"status": "nonsense"}, {"status": []}, {"status": 5}, {"status": [None]}, {"owner": ""}, {"owner": "a\x00"},
        {"owner": "x" * 257}, {"owner": 5}, {"owner": "\ud800"}, {"tag": ""}, {"tag": 5}, {"client_type": ""},
        {"client_type": 5}, {"where": {"limit": 3}}, {"where": {"nothing": 3}}, {"where": {"queue": ["a"]}},
        {"where": {"labels": ["a"]}}, {"kind": "No"}, {"kind": "a:b"}, {"created_after": "now"}, {"created_before": 5},
        {"limit": 0}, {"limit": -1}, {"limit": True}, {"limit": 1001}, {"limit": "5"},
    ],
    ids=repr,
)  # fmt: skip
def test_bad_filters(jobs: SessionStore[JobSession], filters: dict[str, Any]) -> None:
    """Malformed filters are refused with an error of the tree."""
    with pytest.raises(InvalidInput):
        jobs.list(**filters)
    if "limit" not in filters:
        with pytest.raises(InvalidInput):
            jobs.count(**filters)


def test_naive_bounds_are_refused(jobs: SessionStore[JobSession]) -> None:
    """A naive datetime does not say which moment it means."""
    with pytest.raises(InvalidField, match="aware"):
        jobs.list(created_after=jobs.create().created_at.replace(tzinfo=None))


def test_exactly_full_page_is_the_last(jobs: SessionStore[JobSession]) -> None:
    """There is no cursor to an empty page."""
    jobs.create_many([{}] * 4)
    first = jobs.list(limit=2)
    assert jobs.list(limit=2, cursor=first.cursor).cursor is None
    assert jobs.list(limit=4).cursor is None


def test_documentation_sessions_by_workspace(open_store: StoreOpener) -> None:
    """The ready model's own indexes work."""
    store = open_store(DocumentationSession)
    made = store.create_many([{"workspace_id": f"w{number % 2}", "module_name": "m"} for number in range(6)])
    assert ids(store.list(where={"workspace_id": "w1", "module_name": "m"}).sessions) == ids(made[1::2])


def test_a_page_is_one_call_against_a_rate(jobs: SessionStore[JobSession]) -> None:
    """However many steps it takes; so is a count."""
    for _ in range(5):
        jobs.create_many([{}] * 100)
    jobs.set_tenant_limits(operations="0.001/s:3")
    page = jobs.list(limit=300)
    assert len(page.sessions) == 300
    assert len(jobs.list(limit=300, cursor=page.cursor).sessions) == 200
    assert jobs.count(created_after=page.sessions[-1].created_at - timedelta(days=1)) == 500
    with pytest.raises(RateLimited):
        jobs.count()
