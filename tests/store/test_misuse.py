"""What a caller got wrong is told as such, and what belongs to another is not handed out."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import pytest
from tests.drivers import StoreOpener, snapshot
from tests.store.examples import JobSession, RangeSession, keys_of

from sojourn import (
    InvalidCursor,
    InvalidInput,
    InvalidModel,
    Log,
    Session,
    SessionStore,
    Status,
    StoreFull,
    WrongKind,
    load_settings,
)


def test_arguments_of_a_wrong_type(jobs: SessionStore[JobSession], raw: Any) -> None:
    """They are refused before anything is sent."""
    made = jobs.create()
    before = snapshot(raw)
    odd: list[tuple[Any, tuple[Any, ...], dict[str, Any]]] = [
        (jobs.list, (), {"where": 5}), (jobs.list, (), {"where": ["a"]}), (jobs.count, (), {"where": "ab"}),
        (jobs.list, (), {"where": {1: 2}}), (jobs.list, (), {"predicate": 5}),
        (jobs.create_many, (5,), {}), (jobs.create_many, (None,), {}), (jobs.create_many, ("ab",), {}),
        (jobs.get_many, (5,), {}), (jobs.get_many, (None,), {}), (jobs.get_many, (b"ab",), {}),
        (jobs.mutate, (made.id, None), {}), (jobs.create, (), {"self": 1}),
    ]  # fmt: skip
    for call, given, named in odd:
        with pytest.raises(InvalidInput) as caught:
            call(*given, **named)
        assert len(str(caught.value)) < 200
    unknown: Any = Log("NotDeclared", "lines")
    with pytest.raises(InvalidModel, match="NotDeclared"):
        jobs.append(made.id, unknown, "x")
    assert snapshot(raw) == before


@pytest.mark.parametrize("given", [{}, "x", 5])
def test_settings_that_are_none(given: Any) -> None:
    """Settings are an object, passed by name."""
    with pytest.raises(InvalidInput, match="settings"):
        SessionStore(settings=given)
    positional: Any = load_settings()
    with pytest.raises(InvalidInput, match="by name"):
        SessionStore(positional)


@pytest.mark.parametrize("model", [int, "x", None])
def test_models_that_are_none(model: Any) -> None:
    """A store is of a model."""
    with pytest.raises(InvalidModel, match="subclass"):
        SessionStore(model=model)


@pytest.mark.beyond_one_tenant
def test_cursors_are_of_one_tenant(open_store: StoreOpener) -> None:
    """Another tenant's list does not go on where this one's left off."""
    ours = open_store(JobSession)
    theirs = ours.for_tenant("other")
    for _ in range(3):
        ours.create()
        theirs.create()
    cursor = ours.list(limit=1).cursor
    assert len(ours.list(limit=5, cursor=cursor).sessions) == 2
    with pytest.raises(InvalidCursor, match="another query"):
        theirs.list(limit=1, cursor=cursor)


def test_created_after_is_exact(jobs: SessionStore[JobSession]) -> None:
    """Less than a millisecond after its creation is after it."""
    made = jobs.create()
    assert jobs.list(created_after=made.created_at).sessions == (made,)
    assert jobs.list(created_before=made.created_at + timedelta(microseconds=1)).sessions == (made,)
    assert jobs.count(created_after=made.created_at + timedelta(microseconds=1)) == 0


def test_entries_are_of_the_stores_model(open_store: StoreOpener) -> None:
    """A log of another kind's session is not read."""
    jobs, ranges, every = open_store(JobSession), open_store(RangeSession), open_store(Session)
    made = jobs.create()
    jobs.append(made.id, JobSession.lines, "x")
    assert every.entries(made.id, JobSession.lines) == jobs.entries(made.id, JobSession.lines) == ["x"]
    with pytest.raises(WrongKind) as caught:
        ranges.entries(made.id, JobSession.lines)
    assert caught.value.kind == "job"


def test_unknown_kinds_change_their_status(open_store: StoreOpener) -> None:
    """A store that does not know a session's model treats its status as `Session` does, by every call alike."""
    known, base = open_store(RangeSession), open_store(Session)
    by_update, by_mutate, by_editing = (known.create(low=1) for _ in range(3))
    base.update(by_update.id, status="in_progress")
    base.mutate(by_mutate.id, lambda _: {"status": "in_progress", "owner": "ada"})
    with base.editing(by_editing.id) as draft:
        draft.status = "in_progress"
    for made in (by_update, by_mutate, by_editing):
        found = known.get(made.id)
        assert (found.status, found.low) == (Status.IN_PROGRESS, 1)
        assert base.complete(made.id).status is Status.COMPLETED


def fill(jobs: SessionStore[JobSession]) -> None:
    """Create large sessions until there is no more memory."""
    for _ in range(100):
        jobs.create_many([{"note": os.urandom(5_000).hex()}] * 100)


def test_what_a_full_store_created_is_told(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Where memory ends within a batch, those that were created are not lost from sight."""
    jobs.create(note="first")  # so that scripts and layout are there
    raw.config_set("maxmemory-policy", "noeviction")
    raw.config_set("maxmemory", raw.info("memory")["used_memory"] + 400_000)
    try:
        with pytest.raises(StoreFull, match="created") as caught:
            fill(jobs)
    finally:
        raw.config_set("maxmemory", 0)
    created = caught.value.created
    assert len(created) < 100
    for each in created:
        assert jobs.get(each.id) == each
    raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreFull) as caught:
            jobs.create_many([{}] * 3)
    finally:
        raw.config_set("maxmemory", 0)
    assert caught.value.created == ()
    assert raw.exists(keys_of(jobs).session(jobs.create().id))


@pytest.mark.parametrize("name", ["SOJOURN_SERVICE_HOST", "SOJOURN_PORT", "SOJOURN_PORT_6379_TCP_ADDR"])
def test_what_kubernetes_sets_is_no_misspelt_setting(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A Service called "sojourn" puts names into every container's environment; they do no harm."""
    monkeypatch.setenv(name, "10.0.0.1")
    assert load_settings(tenant="acme").tenant == "acme"
