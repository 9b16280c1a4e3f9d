"""Calls that bring to their largest the scripts of upkeep: checks, cleaning up, counts, clients, dead letters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from bench_server_world import LARGE, LINES, Act, Case, World
from sojourn import Session, SessionStore
from sojourn.cleanup.run import inactive_sessions
from sojourn.clients import tell_client
from sojourn.doctor.walk import AT_ONCE
from sojourn.keys import CLIENTS
from sojourn.metrics.tenant import count_tenant
from sojourn.operations import cleanup, dead, dead_pages, drift, expiry, sealed
from sojourn.operations.admin import administered
from sojourn.operations.homes import allot
from sojourn.telemetry.to_redis import ADDED_AT_ONCE

__all__ = ["CASES"]

_BATCH: Final = 100
"""The largest that a cleanup takes."""
_NOBODY: Final = "00000000-0000-4000-8000-{:012x}"


def _large(world: World) -> str:
    return str(world.store.create(ttl=3600, **LARGE).id)


def _one_by_one(world: World) -> Act:
    """What calls do to a record of 60 KB, 64 tags and a log, of a tenant with all limits."""
    world.store.set_tenant_limits(sessions=100_000, bytes=2**40, operations="1000000/s:1000000")
    store, made = world.store, _large(world)
    store.append(made, LINES, *["x" * 200] * 1000)
    world.tokens(made, 1_000)
    sliding = SessionStore(
        model=type(store.get(made)), settings=world.settings.model_copy(update={"sliding": True}), tenant="acme"
    )
    pair = store.tokens.issue(made)
    (text,) = world.link.ask(("HGET", world.keys.session(made), "metadata"))
    counted = world.counting.create(ttl=3600, metadata={"text": "m" * 60_000})

    def act() -> None:
        with sliding:
            sliding.get(made)
            sliding.tokens.verify(pair.access)
        store.touch(made)
        store.set_ttl(made, 1800)
        world.counting.increment(counted.id, hits=1, misses=1)
        store.get(made)
        store.set_tenant_limits(sessions=90_000)
        world.run(administered(world.context, "bench.run"))
        world.run(sealed.replace_texts((world.keys, made), {"metadata": (text, text)}))
        world.run(expiry.claim_session(world.context, world.keys, made))

    return act


def _check_sessions(world: World) -> Act:
    world.store.set_tenant_limits(sessions=100_000)
    ids = [_large(world) for _ in range(20)]
    for each in ids:
        world.tokens(each, 60)
    for each in ids:  # all of it is amiss
        world.link.ask(
            ("DEL", world.keys.lease(each), world.keys.families(each)), ("HDEL", world.keys.places, each),
            ("PERSIST", world.keys.session(each)), ("ZREM", world.keys.partition.deadlines, world.keys.member(each)),
            *(("ZREM", world.keys.index("tags", f"tag-{n}"), each) for n in range(64)),
        )  # fmt: skip
    return lambda: [
        world.run(drift.check_sessions(world.context, world.keys, ids, mends=mends)) for mends in (False, True)
    ]


def _check_entries(world: World) -> Act:
    ids = [_large(world) for _ in range(AT_ONCE)]
    gone = [_NOBODY.format(n) for n in range(AT_ONCE)]
    index = world.keys.index("tags", "tag-63")
    world.link.ask(("ZADD", index, *(part for each in gone for part in (1, each))))
    return lambda: [
        world.run(drift.check_entries(world.keys, index, some, mends=mends))
        for some in (ids, gone)
        for mends in (False, True)
    ]


def _check_keys(world: World) -> Act:
    named = [
        (what, _NOBODY.format(n) + (":lines" if what == "log" else ""))
        for what in ("lease", "log", "token")
        for n in range(AT_ONCE // 3)
    ]
    for what, name in named:
        write = {"lease": ("SET", ""), "log": ("RPUSH", "x"), "token": ("HSET", "a", "b")}[what]
        world.link.ask((write[0], f"{world.keys.prefix}{what}:{name}", *write[1:]))
    return lambda: [world.run(drift.check_keys(world.keys, named, mends=mends)) for mends in (False, True)]


def _check_total(world: World) -> Act:
    places = world.keys.places
    for start in range(0, drift.SUMMED_AT_ONCE, 500):
        flat = [part for n in range(start, start + 500) for part in (_NOBODY.format(n), "1024/ada")]
        world.link.ask(("HSET", places, *flat))
    return lambda: world.run(drift.check_total(world.keys, mends=True))


def _count_tenant(world: World) -> Act:
    for number in range(50):
        kind: Any = type(f"Kind{number}", (Session,), {"__module__": __name__}, kind=f"bench_{number}")
        with SessionStore[Any](model=kind, settings=world.settings, tenant="acme") as store:
            for _ in range(3):
                store.create(ttl=3600, client_type=f"client-{number}")
            store.complete(store.create(ttl=3600).id)
    names = {f"call_{n}|le|{bound}": 1 for n in range(100) for bound in (100, 1000, 10_000, 100_000, "inf")}
    world.run(cleanup.add_counts(world.context, world.keys.calls, names))
    return lambda: world.run(count_tenant(world.keys))


def _add_counts(world: World) -> Act:
    world.sessions(1)
    names = {f"call_{n}|le|100": 1 for n in range(ADDED_AT_ONCE)}
    return lambda: world.run(cleanup.add_counts(world.context, world.keys.calls, names))


def _drop_consumers(world: World) -> Act:
    world.sessions(1)
    events = world.keys.partition.events
    world.link.ask(("XGROUP", "CREATE", events, "many", "0"))
    world.link.ask(*(("XGROUP", "CREATECONSUMER", events, "many", f"worker-{n}") for n in range(200)))
    return lambda: world.run(drift.drop_consumers(world.keys.partition, "many", -1))


def _walk(world: World, step: cleanup.Steps) -> Act:
    def run() -> None:
        behind: cleanup.Place | None = ("", "")
        while behind is not None:
            behind = world.run(step(behind, _BATCH)).behind

    return run


def _expire_due(world: World) -> Act:
    world.overdue(world.sessions(_BATCH))
    return _walk(world, cleanup.expire_due(world.context, 250))


def _purge_ended(world: World) -> Act:
    ids = world.sessions(_BATCH, tags=["one", "two", "three", "four"])
    for each in ids:
        world.store.append(each, LINES, "a line")
        world.store.complete(each)
        world.link.ask(("ZADD", world.keys.partition.removals, 1, world.keys.member(each)))
    return _walk(world, cleanup.purge_ended(world.context, 250, archived=False))


def _end_inactive(world: World) -> Act:
    for each in world.sessions(_BATCH):
        world.link.ask(("HSET", world.keys.session(each), "accessed_at_ms", 1, "updated_at_ms", 1))
    inactive = inactive_sessions(world.context, world.store._codec, 0.001, None, None, "bench", dry_run=False)  # noqa: SLF001
    return _walk(world, cleanup.end_inactive(world.context, world.store.model, inactive))


def _others_due(world: World) -> Act:
    """Due sessions of another tenant of the partition are passed over."""
    members = [part for n in range(1_000) for part in (1, "other/" + _NOBODY.format(n))]
    world.link.ask(("ZADD", world.keys.partition.deadlines, *members))
    return _walk(world, cleanup.expire_due(world.context, 250))


def _many_clients(world: World) -> Act:
    now_ms = datetime.now(UTC).timestamp() * 1000
    flat = [
        part for n in range(10_000) for part in (now_ms - (n % 2) * timedelta(days=9).total_seconds() * 1000, f"{n}")
    ]
    world.link.ask(("ZADD", CLIENTS, *flat))
    return lambda: world.run(tell_client(world.settings, "store"))


def _letters(world: World) -> Act:
    """A dead letter with the largest event."""
    place = dead.Place(world.keys.partition, "mail", "mail")
    text = "{" + "x" * 120_000 + "}"

    def act() -> None:
        world.run(expiry.note_failed_sweep(world.keys.partition))
        world.run(dead.bury(place, "1-1-1", text, job="j", tries=1, reason="x" * 1000, keep_ms=10**6))
        letters, _ = world.run(dead_pages._next([place], None, newest_first=True, until_ms=None))  # noqa: SLF001
        world.run(dead.revive(letters[0]))
        world.run(allot("other"))

    return act


CASES: Final = (
    Case(
        "a record of 60 KB, call by call",
        _one_by_one,
        of=(
            "touch_session",
            "set_lifetime",
            "increment_fields",
            "verify_counted",
            "spend_operation",
            "set_limits",
            "tell_event",
            "reseal_session",
        ),
    ),
    Case("sessions held against what lists them", _check_sessions, of=("check_sessions",)),
    Case("entries of an index", _check_entries, of=("check_entries",)),
    Case("keys of nobody", _check_keys, of=("check_keys",)),
    Case("the sum of places", _check_total, of=("check_total",)),
    Case("counts of 50 kinds and 100 calls", _count_tenant, of=("count_tenant",)),
    Case("200 counts", _add_counts, of=("add_counts",)),
    Case("200 consumers", _drop_consumers, of=("drop_consumers",)),
    Case("100 overdue", _expire_due, of=("expire_due",)),
    Case("1,000 overdue of others", _others_due),
    Case("100 removals", _purge_ended, of=("purge_ended",)),
    Case("100 inactive", _end_inactive, of=("end_inactive",)),
    Case("10,000 clients", _many_clients, of=("tell_client",)),
    Case("a dead letter of 120 KB", _letters, of=("bury_event", "revive_event", "note_sweep", "isolate_tenant")),
)
