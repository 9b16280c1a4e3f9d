"""Bad input gets an error of the tree, before anything is written."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.drivers import StoreOpener, snapshot
from tests.store.examples import JobSession, keys_of

from sojourn import (
    InvalidField,
    InvalidId,
    InvalidInput,
    InvalidName,
    InvalidTtl,
    LayoutMismatch,
    Log,
    Session,
    SessionStore,
    SojournError,
    errors,
)
from sojourn.keys import parse_event_id, parse_key, parse_member, partition_for

TTLS = [0, -1, 0.0, 0.0001, -0.5, math.nan, math.inf, -math.inf, 10**400, 10**5000, 315_360_001, True, False, "60",
        b"60", [], Decimal(60), timedelta(0), timedelta(seconds=-1), timedelta.max]  # fmt: skip
IDS = ["", "x", None, 5, "6F0F5BE2-94A5-4C2F-8D5E-0E6F3A9C1B77", "6f0f5be294a54c2f8d5e0e6f3a9c1b77",
       "6f0f5be2-94a5-1c2f-8d5e-0e6f3a9c1b77", "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77\n",
       "{6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77}", "*", "../x", "\ud800", "x" * 10_000,
       "٦f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"]  # fmt: skip
TENANTS = ["", "a b", "a{b}", "a:b", "{}", "ü", "x" * 65, "-a", ".a", "a\n", "a\x00", "a/b", "a*", None, 5, "\ud800"]


@pytest.mark.parametrize("ttl", TTLS, ids=range(len(TTLS)))
def test_bad_ttls(jobs: SessionStore[JobSession], raw: Any, ttl: Any) -> None:
    """Neither a session nor a deadline comes from a TTL that means nothing."""
    made = jobs.create()
    before = snapshot(raw)
    for call in (
        lambda: jobs.create(ttl=ttl),
        lambda: jobs.create(max_lifetime=ttl),
        lambda: jobs.create_many([{}], ttl=ttl),
        lambda: jobs.set_ttl(made.id, ttl),
    ):
        with pytest.raises(InvalidTtl) as caught:
            call()
        assert len(str(caught.value)) < 200
    assert snapshot(raw) == before


@pytest.mark.parametrize("session_id", IDS, ids=range(len(IDS)))
def test_bad_ids(open_any_store: StoreOpener, session_id: Any) -> None:
    """Nothing but an id is taken for one, by any call."""
    jobs = open_any_store(JobSession, url="redis://127.0.0.1:1/0")  # nothing is sent, so none need be there
    for call in (
        jobs.get,
        jobs.touch,
        jobs.persist,
        jobs.complete,
        jobs.delete,
        lambda id_: jobs.update(id_, limit=1),
        lambda id_: jobs.increment(id_, attempts=1),
        lambda id_: jobs.append(id_, JobSession.lines, "x"),
        lambda id_: jobs.entries(id_, JobSession.lines),
        lambda id_: jobs.set_ttl(id_, 5),
        lambda id_: jobs.mutate(id_, lambda _: {}),
        lambda id_: jobs.get_many([id_]),
        lambda id_: jobs.update_many({id_: {"limit": 1}}),
    ):
        with pytest.raises(InvalidId) as caught:
            call(session_id)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("tenant", TENANTS, ids=range(len(TENANTS)))
def test_bad_tenants(open_any_store: StoreOpener, tenant: Any) -> None:
    """A tenant's name cannot reach into another's keys."""
    store = open_any_store(Session)
    with pytest.raises(InvalidName):
        store.for_tenant(tenant)


def test_bad_amounts(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Counters move by exact integers, and only counters do."""
    made = jobs.create()
    before = snapshot(raw)
    for amounts in (
        {}, {"attempts": 1.0}, {"attempts": True}, {"attempts": "1"}, {"attempts": 2**53}, {"attempts": None},
        {"attempts": math.nan}, {"limit": 1}, {"nothing": 1}, {"version": 1}, {"attempts": 1, "limit": 1},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            jobs.increment(made.id, **amounts)
    assert snapshot(raw) == before


def test_bad_versions_reasons_and_logs(jobs: SessionStore[JobSession], raw: Any) -> None:
    """What comes beside the fields is checked as well."""
    made = jobs.create()
    before = snapshot(raw)
    for version in (0, -1, True, "1", 1.0, 2**53, math.nan):
        with pytest.raises(InvalidField, match="version"):
            jobs.update(made.id, version=version, limit=1)  # type: ignore[arg-type]
        with pytest.raises(InvalidField, match="version"):
            jobs.complete(made.id, version=version)  # type: ignore[arg-type]
    for reason in ("x" * 1025, "\x00", "\ud800", 5):
        with pytest.raises(InvalidField, match="reason"):
            jobs.fail(made.id, reason=reason)  # type: ignore[arg-type]
    logs: list[Any] = [Log(str), Log(str, "a:b"), Log(str, "a,b"), Log(str, "x" * 65), "lines", None]
    for log in logs:
        with pytest.raises(InvalidField, match="log"):
            jobs.append(made.id, log, "x")
        with pytest.raises(InvalidField, match="log"):
            jobs.entries(made.id, log)
    several: list[Any] = [(), ("x",) * 1001, (5,), ("x", None)]
    for entries in several:
        with pytest.raises(InvalidInput):
            jobs.append(made.id, JobSession.lines, *entries)
    stretches: list[dict[str, Any]] = [
        {"start": -1},
        {"start": True},
        {"start": 2**70},
        {"start": "0"},
        {"count": 0},
        {"count": 1.5},
    ]
    for stretch in stretches:
        with pytest.raises(InvalidInput):
            jobs.entries(made.id, JobSession.lines, **stretch)
    odd: list[Any] = [None, [], 5]
    for changes in odd:
        with pytest.raises(InvalidInput):
            jobs.mutate(made.id, lambda _: changes)  # noqa: B023
    assert snapshot(raw) == before


def test_bad_fields_leave_no_trace(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Create, update, mutate and editing refuse alike."""
    made = jobs.create()
    before = snapshot(raw)
    bad: list[tuple[str, Any]] = [
        ("limit", -1),
        ("nothing", 1),
        ("id", "x"),
        ("metadata", {"a": math.nan}),
        ("owner", "a\n"),
    ]
    for field, value in bad:
        calls: list[Callable[[], Any]] = [
            lambda: jobs.create(**{field: value}),  # noqa: B023
            lambda: jobs.update(made.id, **{field: value}),  # noqa: B023
            lambda: jobs.mutate(made.id, lambda _: {field: value}),  # noqa: B023
        ]
        for call in calls:
            with pytest.raises(InvalidField) as caught:
                call()
            assert caught.value.field.split(".")[0] == field
        with pytest.raises(InvalidField), jobs.editing(made.id) as draft:
            setattr(draft, field, value)
    assert snapshot(raw) == before


def test_other_layout_is_refused(open_store: StoreOpener, raw: Any) -> None:
    """A client with other partitions, or of another layout, does not mix its keys into these."""
    open_store(JobSession).create()
    before = snapshot(raw)
    with pytest.raises(LayoutMismatch, match="partitions=64"):
        open_store(JobSession, partitions=32).create()
    assert snapshot(raw) == before
    raw.hset("sojourn:meta", "layout", 2)
    with pytest.raises(LayoutMismatch, match="layout=2"):
        open_store(JobSession).create()


@pytest.mark.beyond_one_tenant
def test_tenants_are_apart(jobs: SessionStore[JobSession]) -> None:
    """No call reaches another tenant's session."""
    made = jobs.create(owner="ada")
    other = jobs.for_tenant("other")
    assert other.get_many([made.id]) == [None]
    assert other.list(owner="ada").sessions == ()
    for call in (other.get, other.touch, other.complete, other.delete):
        with pytest.raises(errors.SessionNotFound):
            call(made.id)
    assert jobs.get(made.id) == made


def test_every_error_pickles() -> None:
    """An error that crosses a process boundary says the same there."""
    details = {"VersionConflict": "3", "InvalidTransition": "pending completed", "LogFull": "4 5"}
    limits = {"LimitExceeded": "sessions 5 5", "RateLimited": "creates 250"}
    seen = 0
    for name in errors.__all__:
        kind = getattr(errors, name)
        if issubclass(kind, errors.SessionError):
            error: SojournError = kind("id", "acme", details.get(name, "x"))
        elif issubclass(kind, errors.LimitError):
            error = kind("acme", limits.get(name, "x"))
        elif kind is errors.InvalidField:
            error = errors.InvalidField("field", "is bad")
        else:
            error = kind("text")
        again = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert type(again) is kind
        assert (str(again), again.__dict__) == (str(error), error.__dict__)
        seen += 1
    assert seen == len(errors.__all__)


def test_keys_are_parsed_back() -> None:
    """Members, leases and event ids; anything else is told as such."""
    session_id = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
    assert parse_member(f"a.b/{session_id}") == ("a.b", session_id)
    for member in ("", "x", f"/{session_id}", "a/b", f"a/b/{session_id}"):
        with pytest.raises(InvalidInput):
            parse_member(member)
    assert parse_key(f"sojourn:{{07}}:acme:lease:{session_id}") == ("lease", 7, "acme", session_id)
    for key in ("", "sojourn:{07}:acme:lease:x", f"x:sojourn:{{07}}:acme:lease:{session_id}"):
        assert parse_key(key) is None
    assert parse_event_id("07-123-4") == (7, "123-4")
    assert {partition_for(f"t{number}", "", 8) for number in range(100)} == set(range(8))


@pytest.mark.beyond_one_tenant
def test_keys_module_spells_all_keys(jobs: SessionStore[JobSession], raw: Any) -> None:
    """A busy store leaves no key that its table does not name."""
    made = jobs.create(owner="ada", tags=["x"])
    jobs.append(made.id, JobSession.lines, "x")
    jobs.complete(jobs.create().id)
    keys = keys_of(jobs)
    partition = keys.partition
    known = {"sojourn:meta", "sojourn:tenants", keys.kinds, keys.session(made.id), keys.lease(made.id),
             keys.log(made.id, "lines"), partition.deadlines, partition.dirty, partition.removals,
             partition.operations, partition.events, keys.stats}  # fmt: skip
    rest = set(raw.scan_iter()) - known
    assert rest
    for key in rest:
        assert key.startswith((keys.index("", "")[:-2], partition.prefix + "default:session:"))
