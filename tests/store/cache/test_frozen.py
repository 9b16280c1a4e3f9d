"""What a cache hands out to everybody: read-only inside, and otherwise as it was."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from sojourn import Session
from sojourn.cache.frozen import ReadOnlyDict, ReadOnlyList, ReadOnlySet, shareable


class Inner(BaseModel):
    """A frozen model with something in it that is not."""

    model_config = ConfigDict(frozen=True)
    words: list[str] = []


class Loose(BaseModel):
    """A model that can be changed."""

    word: str = ""


@dataclass
class Slack:
    """A dataclass that can be changed, and yet be hashed."""

    word: str = ""
    __hash__ = object.__hash__


class Hashed(Loose):
    """A model that can be changed, and yet be hashed."""

    def __hash__(self) -> int:
        return 1


class Noted(BaseModel):
    """A frozen model with an attribute that is not."""

    model_config = ConfigDict(frozen=True)
    _notes: list[str] = PrivateAttr(default_factory=list)


class Plain:
    """Anything that can be changed: Python hashes it by its identity."""


class WideSession(Session):
    """Values of every kind."""

    inner: Inner = Inner()
    things: dict[str, Any] = {}  # noqa: RUF012
    pairs: tuple[list[int], ...] = ()
    chosen: set[int] = set()  # noqa: RUF012
    loose: Any = None


class ScratchSession(WideSession):
    """Frozen, but for an attribute of its own."""

    _scratch: int = 0


class OpenSession(WideSession):
    """One that can be changed."""

    model_config = ConfigDict(frozen=False)


def made(model: type[WideSession] = WideSession, **fields: Any) -> WideSession:
    """Return a session with these fields."""
    now = datetime.now(UTC)
    return model(
        id="i", tenant="t", kind="wide", created_at=now, updated_at=now, accessed_at=now,
        **{"inner": Inner(words=["a"]), "things": {"a": [{"b": 1}]}, "pairs": ([1],), "chosen": {1}} | fields,
    )  # fmt: skip


CHANGES: tuple[Callable[[Any], Any], ...] = (
    lambda s: s.things.__setitem__("x", 1), lambda s: s.things.__delitem__("a"), lambda s: s.things.update(x=1),
    lambda s: s.things.pop("a"), lambda s: s.things.popitem(), lambda s: s.things.clear(),
    lambda s: s.things.setdefault("x", 1), lambda s: s.things.__ior__({"x": 1}), lambda s: s.things["a"].append(1),
    lambda s: s.things["a"][0].update(b=2), lambda s: s.inner.words.append("b"), lambda s: s.inner.words.sort(),
    lambda s: s.pairs[0].append(2), lambda s: s.pairs[0].__setitem__(0, 2), lambda s: s.pairs[0].__iadd__([1]),
    lambda s: s.pairs[0].__imul__(2), lambda s: s.pairs[0].extend([1]), lambda s: s.pairs[0].insert(0, 1),
    lambda s: s.pairs[0].pop(), lambda s: s.pairs[0].remove(1), lambda s: s.pairs[0].reverse(),
    lambda s: s.pairs[0].clear(), lambda s: s.pairs[0].__delitem__(0), lambda s: s.chosen.add(2),
    lambda s: s.chosen.discard(1), lambda s: s.chosen.remove(1), lambda s: s.chosen.pop(), lambda s: s.chosen.clear(),
    lambda s: s.chosen.update({2}), lambda s: s.chosen.__ior__({2}), lambda s: s.chosen.__iand__({2}),
    lambda s: s.chosen.__isub__({1}), lambda s: s.chosen.__ixor__({1}), lambda s: s.chosen.difference_update({1}),
    lambda s: s.chosen.intersection_update({2}), lambda s: s.chosen.symmetric_difference_update({1}),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(CHANGES)))
def test_nothing_in_it_can_be_changed(number: int) -> None:
    """Whichever way one tries, at whatever depth."""
    session = shareable(made())
    before = made().model_dump(exclude={"created_at", "updated_at", "accessed_at"})
    with pytest.raises(TypeError, match="shared"):
        CHANGES[number](session)
    assert session is not None
    assert session.model_dump(exclude={"created_at", "updated_at", "accessed_at"}) == before


def test_every_method_that_changes_is_refused() -> None:
    """Those that Python's own have, and no version of it adds one unseen."""
    reading = {
        dict: {"copy", "fromkeys", "get", "items", "keys", "values"},
        list: {"copy", "count", "index"},
        set: {"copy", "difference", "intersection", "isdisjoint", "issubset", "issuperset", "symmetric_difference",
              "union"},
    }  # fmt: skip
    for kind, twin in ((dict, ReadOnlyDict), (list, ReadOnlyList), (set, ReadOnlySet)):
        methods = {name for name in vars(kind) if not name.startswith("_")} - reading[kind]
        methods |= {name for name in vars(kind) if name.startswith("__i") and name not in ("__init__", "__iter__")}
        methods |= {"__setitem__", "__delitem__"} & set(vars(kind))
        assert methods <= set(vars(twin)), (kind, methods - set(vars(twin)))


def test_it_is_otherwise_as_it_was() -> None:
    """Equal, of the same types to whoever asks, dumped, pickled and copied like any other; copies can be changed."""
    plain = made()
    session = shareable(plain.model_copy(deep=True))
    assert session is not None
    assert session == plain
    assert isinstance(session.things, dict)
    assert isinstance(session.pairs[0], list)
    assert isinstance(session.chosen, set)
    assert session.model_dump() == plain.model_dump()
    assert session.model_dump_json() == plain.model_dump_json()
    assert json.dumps(session.things) == json.dumps(plain.things)
    copies: list[Any] = [
        pickle.loads(pickle.dumps(session)),  # noqa: S301
        copy.deepcopy(session),
        session.model_copy(deep=True),
        WideSession.model_validate(session.model_dump()),
    ]
    for each in copies:
        assert each == plain
        each.things["a"][0]["b"] = 2
        each.pairs[0].append(1)
        each.chosen.add(2)
    assert session == plain
    assert type(copy.copy(session.things)) is dict
    assert type(copy.copy(session.pairs[0])) is list
    assert type(copy.copy(session.chosen)) is set
    assert type(session.things | {"x": 1}) is dict


@pytest.mark.parametrize("model", [ScratchSession, OpenSession])
def test_sessions_that_can_be_changed_are_not_shared(model: type[WideSession]) -> None:
    """As models of users' own may be, or have private attributes, which pydantic lets everybody set."""
    assert shareable(made(model)) is None


@pytest.mark.parametrize(
    "value", [Loose(), Slack(), bytearray(b"x"), [Loose()], {"a": (Loose(),)}, Hashed(), Noted(), Plain()]
)
def test_what_cannot_be_made_read_only_is_not_shared(value: Any) -> None:
    """And is left as it is."""
    session = made(loose=value)
    assert shareable(session) is None
    session.things["x"] = 1
    assert type(session.loose) is type(value)
