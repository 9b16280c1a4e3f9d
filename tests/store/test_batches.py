"""Several sessions in one round trip."""

from __future__ import annotations

from typing import Any

import pytest
from tests.drivers import StoreOpener, snapshot
from tests.store.examples import JobSession

from sojourn import InvalidField, InvalidId, InvalidInput, SessionEnded, SessionNotFound, SessionStore, VersionConflict

NOBODY = "00000000-0000-4000-8000-000000000000"


def test_create_many_and_get_many(jobs: SessionStore[JobSession]) -> None:
    """Sessions come in the order they were asked for, None where there is none."""
    made = jobs.create_many([{"limit": number} for number in range(20)], ttl=50)
    assert [each.limit for each in made] == list(range(20))
    wanted = [made[3].id, NOBODY, made[0].id, made[3].id]
    assert jobs.get_many(wanted) == [made[3], None, made[0], made[3]]
    assert jobs.get_many(each.id for each in made) == made


def test_empty_batches(jobs: SessionStore[JobSession]) -> None:
    """Nothing asked, nothing done."""
    assert jobs.create_many([]) == jobs.get_many([]) == jobs.update_many({}) == []


def test_update_many_stands_or_falls_one_by_one(jobs: SessionStore[JobSession]) -> None:
    """Each update has its own outcome, in order."""
    made = jobs.create_many([{}] * 4)
    jobs.complete(made[2].id)
    outcomes = jobs.update_many(
        {
            made[0].id: {"version": 1, "limit": 1},
            made[1].id: {"version": 9, "limit": 1},
            made[2].id: {"limit": 1},
            NOBODY: {"limit": 1},
            made[3].id: {"note": "x"},
        }
    )
    assert [type(each) for each in outcomes] == [
        JobSession, VersionConflict, SessionEnded, SessionNotFound, JobSession,
    ]  # fmt: skip
    assert jobs.get_many([made[0].id, made[3].id]) == [outcomes[0], outcomes[4]]
    assert jobs.get(made[1].id) == made[1]


def test_bad_batch_writes_nothing(jobs: SessionStore[JobSession], raw: Any) -> None:
    """One bad member refuses the whole batch, before anything is sent."""
    made = jobs.create()
    before = snapshot(raw)
    bad: list[tuple[Any, Any]] = [
        (jobs.create_many, [{}, {"limit": "x"}]),
        (jobs.create_many, [{}, {"nothing": 1}]),
        (jobs.create_many, [{}, 5]),
        (jobs.create_many, [{}] * 1001),
        (jobs.update_many, {made.id: {"limit": 1}, NOBODY: {"limit": -1}}),
        (jobs.update_many, {made.id: {"limit": 1}, "x": {"limit": 1}}),
        (jobs.update_many, {made.id: {"limit": 1, "version": 0}}),
        (jobs.update_many, {made.id: 5}),
        (jobs.update_many, [made.id]),
        (jobs.get_many, [made.id, "nope"]),
        (jobs.get_many, made.id),
        (jobs.get_many, [made.id] * 1001),
    ]
    for call, argument in bad:
        with pytest.raises(InvalidInput) as caught:
            call(argument)
        assert isinstance(caught.value, (InvalidInput, InvalidField, InvalidId))
    assert snapshot(raw) == before


def test_large_batches_are_split(open_store: StoreOpener) -> None:
    """A batch beyond what goes into one write still arrives whole and in order."""
    jobs = open_store(JobSession, limits={"batch": 5000})
    made = jobs.create_many({"limit": number} for number in range(2500))
    assert [each.limit for each in made] == list(range(2500))
    assert jobs.get_many(each.id for each in made) == made
    assert len(jobs.list(limit=5000).sessions) == 2500
    assert jobs.count() == 2500
