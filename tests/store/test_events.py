"""A tenant's events, read as a consumer group of the user's own."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, keys_of

from sojourn import Event, InvalidField, InvalidInput, InvalidName, SessionStore
from sojourn.events import dispatch_group
from sojourn.keys import partition_for
from sojourn.operations.expiry import trim_events
from sojourn.transport.blocking import Transport
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.sweep import Sweeper


def drained(store: SessionStore[Any], group: str, **options: Any) -> list[Event]:
    """Return what a group has not had yet."""
    return list(store.events(group, start="oldest", timeout=0, **options))


def test_events_tell_what_happened(jobs: SessionStore[JobSession]) -> None:
    """Type, version, actor, trace and changes of each write, in order."""
    acting = jobs.acting(actor="ada", trace_id="t-1")
    made = acting.create(limit=3)
    acting.update(made.id, limit=4, note=None, tags=["x"], client_type='say "hi"\n')
    jobs.increment(made.id, attempts=2)
    jobs.append(made.id, JobSession.lines, "a", "b")
    jobs.set_ttl(made.id, 5)
    jobs.touch(made.id)
    jobs.fail(made.id, reason="why")
    jobs.delete(made.id)
    found = drained(jobs, "all")
    assert [(each.type, each.version, each.changes) for each in found] == [
        ("created", 1, {}),
        ("updated", 2, {"limit": "4", "note": None, "tags": ["x"], "client_type": 'say "hi"\n'}),
        ("updated", 3, {"attempts": 2}),
        ("updated", 4, {"lines": {"appended": 2, "length": 2}}),
        ("updated", 5, {"ttl_ms": 5000}),
        ("ended", 6, {"status": "failed", "end_reason": "why"}),
        ("deleted", 7, {"status": "deleted"}),
    ]
    assert {(each.tenant, each.session_id, each.kind) for each in found} == {("default", made.id, "job")}
    assert [(each.actor, each.trace_id) for each in found] == [("ada", "t-1")] * 2 + [("", "")] * 5
    assert found[0].at == made.created_at
    assert len({each.id for each in found}) == 7
    assert [Event.from_json(each.to_json()) for each in found] == found


def test_touches_are_told_if_asked_for(open_store: StoreOpener) -> None:
    """The setting touch_events makes touches appear."""
    jobs = open_store(JobSession, touch_events=True)
    made = jobs.create()
    jobs.touch(made.id)
    assert [each.type for each in drained(jobs, "all")] == ["created", "touched"]


def test_each_event_goes_once_to_each_group(jobs: SessionStore[JobSession]) -> None:
    """A group has an event once; another group has it as well; a new one may begin at new events."""
    made = jobs.create()
    assert list(jobs.events("late", timeout=0)) == []
    jobs.complete(made.id)
    assert [each.type for each in drained(jobs, "one")] == ["created", "ended"]
    assert drained(jobs, "one") == []
    assert [each.type for each in drained(jobs, "two")] == ["created", "ended"]
    assert [each.type for each in drained(jobs, "late")] == ["ended"]


def test_unacknowledged_event_comes_again(open_store: StoreOpener) -> None:
    """A consumer that dies holding an event loses it to another one, with the same id."""
    jobs = open_store(JobSession, takeover_after=0.05)
    jobs.create_many([{}] * 3)
    dying = jobs.events("g", consumer="dying", start="oldest", timeout=1)
    first, second = islice(dying, 2)
    dying.close()  # type: ignore[attr-defined]
    rest = list(islice(jobs.events("g", consumer="heir", timeout=5), 2))
    assert rest[0] == second
    assert first.id not in {each.id for each in rest}


def test_two_consumers_share(jobs: SessionStore[JobSession]) -> None:
    """Each event goes to one consumer of a group."""
    assert list(jobs.events("g", timeout=0)) == []
    jobs.create_many([{}] * 150)
    one = jobs.events("g", consumer="one", timeout=1)
    taken = [next(one)]
    other = list(jobs.events("g", consumer="two", timeout=0))
    assert len(other) == 50
    taken += islice(one, 99)
    assert len({each.id for each in [*taken, *other]}) == 150


@pytest.mark.beyond_one_tenant
def test_tenants_are_apart(jobs: SessionStore[JobSession]) -> None:
    """Two tenants in one partition see their own events only, in groups of their own."""
    first = jobs.for_tenant("t0")
    home = keys_of(first).partition
    names = (f"t{number}" for number in range(1, 2000))
    second = next(jobs.for_tenant(name) for name in names if keys_of(jobs.for_tenant(name)).partition == home)
    made = [first.create(), second.create(), first.create()]
    assert [each.session_id for each in drained(first, "g")] == [made[0].id, made[2].id]
    assert [each.session_id for each in drained(second, "g")] == [made[1].id]
    assert second.forget_events("g")
    assert drained(first, "g") == []


@pytest.mark.beyond_one_tenant
def test_groups_hold_events_back_until_forgotten(jobs: SessionStore[JobSession], raw: Any) -> None:
    """Trimming keeps what a group still wants."""
    keys = keys_of(jobs).partition
    next(jobs.events("slow", start="oldest", timeout=0), None)
    jobs.create_many([{}] * 20)
    stream = keys.events

    def trim() -> int:
        trim_operation = trim_events(keys, 5)
        return raw.eval(trim_operation.source, 1, stream, 5)  # type: ignore[no-any-return]

    trim()
    assert raw.xlen(stream) == 20
    assert len(drained(jobs, "slow")) == 20
    trim()
    assert raw.xlen(stream) == 1
    jobs.create_many([{}] * 200)
    assert jobs.forget_events("slow") is True
    assert jobs.forget_events("slow") is False
    trim()
    assert raw.xlen(stream) < 201


@pytest.mark.beyond_one_tenant
def test_trimming_keeps_what_is_delivered_and_not_acknowledged(jobs: SessionStore[JobSession], raw: Any) -> None:
    """A sweeper's step takes nothing away that a consumer still has in hand: another one gets all of it."""
    stream, group = keys_of(jobs).partition.events, "default:g"
    made = [jobs.create().id for _ in range(20)]
    settings = jobs.settings
    for awaited in (group, dispatch_group(settings.queue_prefix)):
        raw.xgroup_create(stream, awaited, id="0")
    for own, most in ((group, 15), (dispatch_group(settings.queue_prefix), 20)):
        (_, taken), *_ = raw.xreadgroup(own, "dying", {stream: ">"}, count=most)
        assert len(taken) == most
    raw.xack(stream, group, *(entry for entry, _ in taken[:5]))
    raw.xack(stream, dispatch_group(settings.queue_prefix), *(entry for entry, _ in taken))
    link = RedisLink(settings)
    Sweeper(settings, link).step()
    link.close()
    assert raw.xlen(stream) == 15  # it did trim what nobody wants any more
    claimed = raw.xautoclaim(stream, group, "heir", 0)[1]
    assert [fields["id"] for _, fields in claimed] == made[5:15]
    assert [each.session_id for each in drained(jobs, "g", consumer="another")] == made[15:]


def test_forget_without_any_event(jobs: SessionStore[JobSession]) -> None:
    """Where no stream is, no group is."""
    assert jobs.forget_events("nobody") is False


@pytest.mark.beyond_one_tenant
def test_foreign_entries_do_not_stop_the_stream(jobs: SessionStore[JobSession], raw: Any) -> None:
    """An event that another program wrote badly is read as far as it goes."""
    raw.xadd(keys_of(jobs).partition.events, {"tenant": "default", "at_ms": "9" * 15, "changes": "[", "version": "x"})
    made = jobs.create()
    odd, created = drained(jobs, "g")
    assert (odd.type, odd.version, odd.changes, created.session_id) == ("", 0, {}, made.id)


@pytest.mark.parametrize(
    "options",
    [
        {"group": ""}, {"group": "a:b"}, {"group": "x" * 65}, {"group": 5}, {"consumer": ""}, {"consumer": "a\n"},
        {"consumer": "\ud800"}, {"consumer": 5}, {"start": "0"}, {"timeout": -1}, {"timeout": float("nan")},
        {"timeout": "1"},
    ],
    ids=repr,
)  # fmt: skip
def test_bad_options(jobs: SessionStore[JobSession], options: dict[str, Any]) -> None:
    """Names and numbers are checked before anything is sent."""
    with pytest.raises((InvalidName, InvalidInput)):
        next(iter(jobs.events(**{"group": "g", "timeout": 0, **options})))


@pytest.mark.parametrize("value", ["a\nb", "x" * 257, "\ud800", 5, None])
def test_bad_actors(jobs: SessionStore[JobSession], value: Any) -> None:
    """Who acts is printable text."""
    with pytest.raises(InvalidField):
        jobs.acting(actor=value)
    with pytest.raises(InvalidField):
        jobs.acting(trace_id=value)


def test_a_limit_leaves_the_rest_to_others(jobs: SessionStore[JobSession]) -> None:
    """A consumer with a limit takes no more than it gives out, so another gets the rest at once."""
    for _ in range(5):
        jobs.create()
    first = drained(jobs, "g", consumer="one", limit=2)
    rest = drained(jobs, "g", consumer="two")
    assert (len(first), len(rest)) == (2, 3)
    assert not {each.id for each in first} & {each.id for each in rest}
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(InvalidInput):
            drained(jobs, "g", limit=wrong)


@pytest.mark.beyond_one_tenant
def test_peeking_takes_from_nobody(jobs: SessionStore[JobSession]) -> None:
    """Pages go on where the one before ended, show the tenant's own events only, and leave a group its events."""
    made = [jobs.create() for _ in range(3)]
    jobs.for_tenant(other_tenant_of_the_same_partition()).create()
    more = [jobs.create() for _ in range(2)]
    everything = [each.id for each in [*made, *more]]
    assert [each.session_id for each in jobs.peek_events(limit=2).events] == everything[-2:]
    page = jobs.peek_events(start="oldest", limit=4)
    assert [each.session_id for each in page.events] == everything[:4]
    page = jobs.peek_events(cursor=page.cursor, limit=4)
    assert [each.session_id for each in page.events] == everything[4:]
    page = jobs.peek_events(cursor=page.cursor)
    assert page.events == ()
    last = jobs.create()
    assert [each.session_id for each in jobs.peek_events(cursor=page.cursor).events] == [last.id]
    assert len(drained(jobs, "g")) == 6


def test_peeking_from_now_on(jobs: SessionStore[JobSession]) -> None:
    """A page of new events is empty, and its cursor leads to what comes."""
    assert jobs.peek_events().events == ()
    jobs.create()
    page = jobs.peek_events(start="new")
    made = jobs.create()
    assert page.events == ()
    assert [each.session_id for each in jobs.peek_events(cursor=page.cursor).events] == [made.id]


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": True}, {"limit": 10_001}, {"start": "x"}, {"cursor": "x"}])
def test_peeking_wrongly(jobs: SessionStore[JobSession], options: dict[str, Any]) -> None:
    """A page needs a limit within bounds, a start that there is, and a cursor that was given out."""
    with pytest.raises(InvalidInput):
        jobs.peek_events(**options)


def other_tenant_of_the_same_partition() -> str:
    """Return a tenant that shares the default tenant's stream."""
    return next(
        name for name in map("t{}".format, range(10_000))
        if partition_for(name, "", 64) == partition_for("default", "", 64)
    )  # fmt: skip


@pytest.mark.beyond_one_tenant
def test_outbox_waits_for_the_groups_to_come(jobs: SessionStore[JobSession]) -> None:
    """Nothing is trimmed before the groups are there that will want all events."""
    keys = keys_of(jobs)
    for _ in range(3):
        jobs.create()
    assert len(drained(jobs, "mine")) == 3
    run = Transport(jobs.settings)
    trim = trim_events(keys.partition, 100, ["archive-to-be"])
    assert trim.parse(run.execute([trim])[0]) == 0
    trim = trim_events(keys.partition, 100, ["default:mine"])
    assert trim.parse(run.execute([trim])[0]) == 2
    run.close()


def test_leaving_the_loop_hands_the_rest_back(jobs: SessionStore[JobSession]) -> None:
    """What was taken but not looked at is there for the next consumer at once, in order, and nothing is lost."""
    made = [jobs.create().id for _ in range(20)]
    reading = jobs.events("g", start="oldest", consumer="one")
    assert [next(reading).session_id for _ in range(3)] == made[:3]
    reading.close()  # type: ignore[attr-defined]
    last = jobs.create().id
    assert [each.session_id for each in drained(jobs, "g", consumer="two")] == [*made[2:], last]
    assert drained(jobs, "g") == []
