"""Records are read by their fields' places where these come often, and tell the same as by name."""

from __future__ import annotations

from typing import Any

import pytest
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, keys_of

from sojourn import Session, SessionCorrupt, SessionNotFound, SessionStore, WrongKind
from sojourn.codec import codec_for, layouts
from sojourn.codec.layouts import Layouts

ORDER = ["id", "tenant", "kind", "created_at_ms", "updated_at_ms", "accessed_at_ms"]


class LaidOutSession(JobSession, kind="laid_out"):
    """A model of these tests alone: what its orders are is known to nobody else."""


def orders_of(compiled: list[tuple[str, ...]]) -> Layouts[Any]:
    """Return layouts that note what they compile."""

    def compile_for(order: Any) -> Any:
        compiled.append(tuple(order))
        return None if order[0] == "none" else lambda *_: order

    return Layouts(compile_for, [*map(str, range(1000)), "none"])


def asked(found: Layouts[Any], order: list[str], times: int) -> Any:
    """Return what is said of an order when it comes for the last of so many times."""
    flat = [each for name in order for each in (name, "text")]
    return [found.of(flat) for _ in range(times)][-1]


def test_what_comes_often_is_compiled_once() -> None:
    """Not before that; and also where others come in between, or where it has no decoder."""
    compiled: list[tuple[str, ...]] = []
    found = orders_of(compiled)
    assert asked(found, ["1", "2"], layouts._OFTEN - 1) is None
    assert asked(found, ["2", "1"], 1) is None
    assert compiled == []
    layout = asked(found, ["1", "2"], 1)
    assert layout.names == ["1", "2"]
    assert asked(found, ["2", "1"], layouts._OFTEN).names == ["2", "1"]
    assert asked(found, ["1", "2"], 1) is layout
    assert asked(found, ["none"], 3 * layouts._OFTEN) is None
    assert compiled == [("1", "2"), ("2", "1"), ("none",)]


def test_only_so_many_are_kept() -> None:
    """Of orders that are watched, and of those that are known; names that the model has not are not even watched."""
    compiled: list[tuple[str, ...]] = []
    found = orders_of(compiled)
    for name in range(500):
        asked(found, [str(name)], 2)
        asked(found, [f"x{name}"], 2)
        assert len(found._met) <= layouts._WATCHED
    for name in range(layouts._KNOWN + 1):
        assert asked(found, [str(name)], layouts._OFTEN) is not None
        assert len(found._known) <= layouts._KNOWN
    assert asked(found, ["1"], 1) is not None
    assert asked(found, ["0"], 1) is None
    assert not any(order[0].startswith("x") for order in [*found._met, *compiled])


@pytest.mark.parametrize("orders", [layouts._KNOWN + 1, 2 * layouts._KNOWN, layouts._WATCHED])
def test_more_come_often_than_are_kept(orders: int) -> None:
    """They are not compiled over and over: that would be dearer than to read all of them by name."""
    compiled: list[tuple[str, ...]] = []
    found = orders_of(compiled)
    for _ in range(8 * layouts._OFTEN):
        for name in range(orders):
            asked(found, [str(name)], 1)
    assert layouts._KNOWN < len(compiled) < 2 * orders


def test_places() -> None:
    """Where each text is; what is not there is nowhere."""
    made = codec_for(LaidOutSession).layouts
    assert made is not None
    layout = made.make([*ORDER, "owner"])
    assert layout is not None
    assert (layout.owner, layout.status, layout.deadline) == (13, None, None)
    assert made.make(ORDER[1:]) is None


def test_a_store_reads_by_places(open_store: StoreOpener, raw: Any) -> None:
    """The same sessions, errors and owners as before, once the order is known."""
    store: SessionStore[LaidOutSession] = open_store(LaidOutSession)
    made = [store.create(owner=owner, ttl=3600, attempts=3) for owner in ("ada", "grace")]
    first = store.get(made[0].id)
    for _ in range(layouts._OFTEN):
        store.get(made[0].id)
    known = codec_for(LaidOutSession).layouts
    assert known is not None
    assert known._last is not None
    key = keys_of(store).session(made[0].id)
    reply = raw.execute_command("HGETALL", key)
    flat = [each for pair in reply.items() for each in pair] if isinstance(reply, dict) else list(reply)
    assert known.of(flat) is not None
    assert store.get(made[0].id) == first
    assert store.update(made[0].id, attempts=4).attempts == 4
    with pytest.raises(SessionNotFound):
        store.owned_by("grace").get(made[0].id)
    assert store.owned_by("ada").get(made[0].id).attempts == 4
    raw.hset(key, "attempts", "many")
    with pytest.raises(SessionCorrupt) as caught:
        store.get(made[0].id)
    assert caught.value.field == "attempts"
    raw.hset(key, mapping={"attempts": "4", "kind": "job"})
    with pytest.raises(WrongKind):
        store.get(made[0].id)
    raw.hset(key, mapping={"kind": "laid_out", "expires_at_ms": "1"})
    with pytest.raises(SessionNotFound):
        store.get(made[0].id)
    assert isinstance(open_store(Session).get(made[1].id), Session)
