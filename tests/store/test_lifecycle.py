"""What one session goes through: made, read, changed, ended."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, RangeSession, StrictSession, keys_of

from sojourn import (
    CounterOutOfRange,
    DocumentationSession,
    InvalidField,
    InvalidTransition,
    LogFull,
    Session,
    SessionCorrupt,
    SessionEnded,
    SessionNotFound,
    SessionStore,
    Status,
    StoreError,
    VersionConflict,
    WrongKind,
)
from sojourn.codec import ms_from
from sojourn.transport.blocking import Transport

NOBODY = "00000000-0000-4000-8000-000000000000"


def test_create_and_get_agree(jobs: SessionStore[JobSession]) -> None:
    """What create returns is what get reads."""
    made = jobs.create(queue="mail", owner="ada", tags=["x", "y"], metadata={"a": [1, None]}, note="", limit=3)
    assert jobs.get(made.id) == made
    assert (made.version, made.status, made.kind, made.tenant) == (1, Status.PENDING, "job", "default")
    assert made.expires_at == made.created_at + timedelta(hours=1)


def test_get_finds_nothing(jobs: SessionStore[JobSession]) -> None:
    """An unknown id is told as such, with the id and the tenant."""
    with pytest.raises(SessionNotFound) as caught:
        jobs.get(NOBODY)
    assert (caught.value.session_id, caught.value.tenant) == (NOBODY, "default")


def test_update_changes_named_fields_only(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Fields that were not named keep what others wrote meanwhile, and None removes a value."""
    made = jobs.create(note="before", limit=3)
    jobs.update(made.id, limit=4)
    after = jobs.update(made.id, note=None)
    assert (after.note, after.limit, after.version) == (None, 4, 3)
    assert "note" not in raw.hkeys(keys_of(jobs).session(made.id))
    assert jobs.get(made.id) == after


def test_update_against_a_version(jobs: SessionStore[JobSession]) -> None:
    """The version must be the current one, and the error tells which that is."""
    made = jobs.create()
    assert jobs.update(made.id, version=1, limit=1).version == 2
    with pytest.raises(VersionConflict) as caught:
        jobs.update(made.id, version=1, limit=2)
    assert caught.value.current_version == 2
    assert jobs.get(made.id).limit == 1


def test_transitions(open_store: StoreOpener) -> None:
    """A model's own transitions hold, through a store of its base class too."""
    strict, base = open_store(StrictSession), open_store(Session, models=("tests.store.examples:StrictSession",))
    made = strict.create()
    for store in (strict, base):
        with pytest.raises(InvalidTransition):
            store.complete(made.id)
    assert strict.update(made.id, status="in_progress").status is Status.IN_PROGRESS
    assert base.update(made.id, status="pending").status is Status.PENDING
    strict.update(made.id, status=Status.IN_PROGRESS)
    assert base.complete(made.id).status is Status.COMPLETED


def test_final_status_is_not_an_update(jobs: SessionStore[JobSession]) -> None:
    """Ending has methods of its own."""
    made = jobs.create()
    with pytest.raises(InvalidField, match="complete"):
        jobs.update(made.id, status="completed")
    assert jobs.get(made.id) == made


@pytest.mark.parametrize("how", ["complete", "fail", "terminate"])
def test_ended_session_is_read_only(jobs: SessionStore[JobSession], how: str) -> None:
    """An ended session can be read, and refuses every further write."""
    made = jobs.create()
    ended = getattr(jobs, how)(made.id, version=1, reason="done\x01")
    assert ended == jobs.get(made.id)
    assert (ended.end_reason, ended.version, ended.is_live) == ("done\x01", 2, False)
    assert ended.ended_at == ended.updated_at
    for write in (
        lambda: jobs.update(made.id, limit=1),
        lambda: jobs.update(made.id, version=2, limit=1),
        lambda: jobs.increment(made.id, attempts=1),
        lambda: jobs.append(made.id, JobSession.lines, "late"),
        lambda: jobs.touch(made.id),
        lambda: jobs.set_ttl(made.id, 10),
        lambda: jobs.persist(made.id),
        lambda: jobs.fail(made.id),
        lambda: jobs.mutate(made.id, lambda _: {"limit": 1}),
    ):
        with pytest.raises(SessionEnded) as caught:
            write()
        assert caught.value.status == ended.status
    assert jobs.get(made.id) == ended


def test_deleted_session_is_gone(jobs: SessionStore[JobSession]) -> None:
    """Deleting works once, on an ended session as well, and nobody finds it afterwards."""
    made = jobs.create()
    jobs.complete(made.id)
    with pytest.raises(VersionConflict):
        jobs.delete(made.id, version=1)
    gone = jobs.delete(made.id, version=2, reason="asked to")
    assert (gone.status, gone.end_reason) == (Status.DELETED, "asked to")
    for call in (jobs.get, jobs.delete, jobs.touch, jobs.complete, lambda id_: jobs.entries(id_, JobSession.lines)):
        with pytest.raises(SessionNotFound):
            call(made.id)


def test_mutate_retries_on_conflict(jobs: SessionStore[JobSession]) -> None:
    """The function sees the record as the other writer left it."""
    made = jobs.create()
    seen = []

    def change(session: JobSession) -> dict[str, Any]:
        seen.append(session.limit)
        if len(seen) == 1:
            other.update(made.id, limit=20)
        return {"limit": session.limit + 1}

    other = jobs.acting(actor="other")
    # The asynchronous store cannot be called from within its own loop: there the other writer comes in before.
    if type(jobs).__name__ == "Blocking":
        other.update(made.id, limit=20)
        seen.append(10)
    assert jobs.mutate(made.id, change).limit == 21
    assert seen == [10, 20]


def test_mutate_without_changes_writes_nothing(jobs: SessionStore[JobSession]) -> None:
    """An empty mapping leaves version and time alone."""
    made = jobs.create()
    assert jobs.mutate(made.id, lambda _: {}) == made
    assert jobs.get(made.id) == made


def test_editing_writes_at_the_end(jobs: SessionStore[JobSession]) -> None:
    """Assignments and changes in place are written together, and only if the block does not raise."""
    made = jobs.create(metadata={"list": [1]})
    with jobs.editing(made.id) as draft:
        draft.limit = 5
        draft.metadata["list"].append(2)
        assert (draft.limit, draft.queue) == (5, "default")
        assert jobs.get(made.id).limit == 10
    after = jobs.get(made.id)
    assert (after.limit, after.metadata, after.version) == (5, {"list": [1, 2]}, 2)
    with pytest.raises(RuntimeError, match="stop"), jobs.editing(made.id) as draft:  # noqa: PT012
        draft.limit = 6
        raise RuntimeError("stop")
    with jobs.editing(made.id) as draft:
        assert draft.metadata == {"list": [1, 2]}
    assert jobs.get(made.id) == after


def test_editing_beside_another_writer(jobs: SessionStore[JobSession]) -> None:
    """Changes to other fields stand side by side; to the same one they conflict."""
    made = jobs.create()
    with jobs.editing(made.id) as draft:
        draft.limit = 5
        jobs.update(made.id, note="theirs")
    assert (jobs.get(made.id).limit, jobs.get(made.id).note) == (5, "theirs")
    with pytest.raises(VersionConflict), jobs.editing(made.id) as draft:  # noqa: PT012
        draft.note = "mine"
        jobs.update(made.id, note="theirs again")
    assert jobs.get(made.id).note == "theirs again"


def test_increment(jobs: SessionStore[JobSession]) -> None:
    """Several counters in one step, down as well as up, and never past the exact range."""
    made = jobs.create()
    assert jobs.increment(made.id, attempts=3, failures=-2) == {"attempts": 3, "failures": -2}
    assert jobs.increment(made.id, attempts=2**53 - 4) == {"attempts": 2**53 - 1}
    with pytest.raises(CounterOutOfRange, match="attempts"):
        jobs.increment(made.id, failures=1, attempts=1)
    after = jobs.get(made.id)
    assert (after.attempts, after.failures, after.version) == (2**53 - 1, -2, 3)


def test_append_and_entries(open_store: StoreOpener) -> None:
    """Entries come back in order and in stretches, and a full log refuses them all."""
    jobs = open_store(JobSession, limits={"log_entries": 5})
    made = jobs.create()
    assert jobs.entries(made.id, JobSession.lines) == []
    assert jobs.append(made.id, JobSession.lines, "a", "b", "c") == 3
    assert jobs.append(made.id, JobSession.lines, "d") == 4
    assert jobs.entries(made.id, JobSession.lines) == ["a", "b", "c", "d"]
    assert jobs.entries(made.id, JobSession.lines, start=1, count=2) == ["b", "c"]
    with pytest.raises(LogFull, match="4 of 5"):
        jobs.append(made.id, JobSession.lines, "e", "f")
    assert jobs.entries(made.id, JobSession.lines, start=3) == ["d"]
    assert jobs.get(made.id).version == 3


@pytest.mark.parametrize("broken", ["deadlines", "places"])
def test_an_end_that_fails_takes_nothing(jobs: SessionStore[JobSession], raw: Any, broken: str) -> None:
    """Other hands made a key something else: the session is as live as before, with its lease and its tokens."""
    made = jobs.create(ttl=60)
    pair = jobs.tokens.issue(made.id)
    keys = keys_of(jobs)
    raw.delete(key := keys.partition.deadlines if broken == "deadlines" else keys.places)
    raw.set(key, "x")
    with pytest.raises((StoreError, SessionCorrupt)):  # Redis 7 tells which of them it is
        jobs.complete(made.id)
    assert raw.exists(keys.lease(made.id))
    assert jobs.tokens.verify(pair.access).id == made.id
    raw.delete(key)
    assert jobs.complete(made.id).status is Status.COMPLETED


def test_wrong_kind_is_refused_before_anything_is_written(open_store: StoreOpener) -> None:
    """A store of one model reads and writes no session of another."""
    jobs, documents, base = open_store(JobSession), open_store(DocumentationSession), open_store(Session)
    made = documents.create(workspace_id="w", module_name="m")
    for call in (
        lambda: jobs.get(made.id),
        lambda: jobs.update(made.id, limit=1),
        lambda: jobs.increment(made.id, attempts=1),
        lambda: jobs.append(made.id, JobSession.lines, "x"),
        lambda: jobs.touch(made.id),
        lambda: jobs.set_ttl(made.id, 5),
        lambda: jobs.complete(made.id),
        lambda: jobs.delete(made.id),
        lambda: jobs.mutate(made.id, lambda _: {"limit": 1}),
    ):
        with pytest.raises(WrongKind) as caught:
            call()
        assert caught.value.kind == "documentation"
    assert documents.get(made.id) == made
    assert base.update(made.id, owner="ada").owner == "ada"
    assert base.get(made.id) == documents.get(made.id)


def test_unknown_kind_is_kept_as_text(open_store: StoreOpener) -> None:
    """A session whose model is not known here can still be read and ended."""
    made = open_store(JobSession).create(queue="mail", limit=4)
    base = open_store(Session)
    session: Any = base.get(made.id)
    assert (type(session).__name__, session.kind, session.queue, session.limit) == (
        "UnknownSession",
        "job",
        "mail",
        "4",
    )
    assert base.complete(made.id).status is Status.COMPLETED


def test_model_validators(open_store: StoreOpener) -> None:
    """They run where the whole record is at hand; a record that breaks them is still readable."""
    ranges = open_store(RangeSession)
    with pytest.raises(InvalidField, match="low is above high"):
        ranges.create(low=11)
    made = ranges.create(label="ABC")
    assert made.label == "abc"
    with pytest.raises(InvalidField, match="label"):
        ranges.update(made.id, label="a b")
    with pytest.raises(InvalidField, match="low is above high"):
        ranges.mutate(made.id, lambda _: {"low": 11})
    with pytest.raises(InvalidField, match="low is above high"), ranges.editing(made.id) as draft:
        draft.low = 11
    assert ranges.get(made.id) == made
    broken = ranges.update(made.id, low=11, label="X")
    assert (type(broken), broken.low, broken.label) == (RangeSession, 11, "x")
    assert ranges.get(made.id) == broken
    assert ranges.mutate(made.id, lambda _: {"high": 12}).high == 12


def test_damage_is_named(jobs: SessionStore[JobSession], raw: Any) -> None:
    """A field of the model that was damaged by hand is named by its hash field."""
    for field in ("tags", "metadata", "limit", "labels", "accessed_at_ms", "expires_at_ms"):
        made = jobs.create()
        raw.hset(keys_of(jobs).session(made.id), field, "not-that")
        with pytest.raises(SessionCorrupt) as caught:
            jobs.get(made.id)
        assert caught.value.field == field


@pytest.mark.beyond_one_tenant
def test_a_repeated_create_of_what_is_gone_creates_nothing(jobs: SessionStore[JobSession], raw: Any) -> None:
    """The retry of a create whose session has ended and gone meanwhile gets the first answer, and counts once."""
    operation = jobs._create(5, None, {"owner": "ada"})
    transport = Transport(jobs.settings)
    made = operation.parse(transport.execute([operation])[0])
    keys = keys_of(jobs)
    raw.delete(keys.session(made.id), keys.lease(made.id))
    again = operation.parse(transport.execute([operation])[0])
    transport.close()
    assert (again.id, again.created_at, again.expires_at) == (made.id, made.created_at, made.expires_at)
    assert not raw.exists(keys.session(made.id))
    assert raw.xlen(keys.partition.events) == 1


def test_touching_does_not_run_ahead_of_the_clock(jobs: SessionStore[JobSession], raw: Any) -> None:
    """However often a session is touched, its times are those of Redis."""
    made = jobs.create()
    for _ in range(500):
        jobs.touch(made.id)
    seconds, microseconds = raw.time()
    assert ms_from(jobs.get(made.id).updated_at) <= seconds * 1000 + microseconds // 1000


def test_a_write_beside_a_damaged_field_tells_that_it_was_made(jobs: SessionStore[JobSession], raw: Any) -> None:
    """A field that the write does not touch is read only afterwards; the error says that the change was made."""
    made = jobs.create()
    raw.hset(keys_of(jobs).session(made.id), "metadata", "[")
    with pytest.raises(SessionCorrupt, match="the change itself was made") as caught:
        jobs.update(made.id, owner="ada")
    assert caught.value.field == "metadata"
    assert raw.hget(keys_of(jobs).session(made.id), "owner") == "ada"
