"""Whatever a method of a store is called with: a right result, or an error of the tree that changed nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.arguments import calls, missing, one_odd
from tests.fuzz.hostile import VALUES, Planted, made
from tests.fuzz.oracle import check_error
from tests.fuzz.profile import chosen, examples
from tests.fuzz.world import Entry, Failed, World, public_entries

from sojourn import AsyncSessionStore, SessionStore, Settings, SojournError
from sojourn.codec.fidelity import same

_NOT_TRIED: Final = {"close"}  # takes nothing, and ends the store
_STORE: Final = SessionStore(
    settings=Settings(redis_url="redis://127.0.0.1:1/0", archive_url="postgresql://127.0.0.1:1/x")
)
ENTRIES: Final = [each for each in public_entries(_STORE) if each.path not in _NOT_TRIED]


def test_every_parameter_is_known() -> None:
    """A method or parameter that is added later is tried as well: `SENSIBLE` in arguments.py says what it is for."""
    assert {each.path: missing(each) for each in ENTRIES if missing(each)} == {}
    paths = {each.path for each in ENTRIES}
    assert {
        "create",
        "editing",
        "events",
        "for_tenant",
        "set_tenant_limits",
        "archive.list",
        "archive.history",
    } <= paths


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
@given(data=st.data())
@examples(15)
def test_odd_arguments(world: World, entry: Entry, data: Any) -> None:
    """The result is right, or an error of the tree, which quotes no value; then Redis is as it was."""
    call = data.draw(calls(entry))
    try:
        result = world.call(entry.path, call.args, call.named, quotes=call.quotes, of_the_callers=call.of_the_callers)
    except Failed:
        return
    if entry.path in ("create", "update", "mutate"):
        assert same(world.follow_up("get", result.id), result)
    elif entry.path == "create_many":
        assert same(world.follow_up("get_many", [each.id for each in result]), result)


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_each_odd_value(world: World, entry: Entry) -> None:
    """Each odd value in each place."""
    for call in one_odd(entry, every=9):
        with suppress(Failed):
            world.call(entry.path, call.args, call.named, quotes=call.quotes, of_the_callers=call.of_the_callers)


@pytest.mark.parametrize("cls", [SessionStore, AsyncSessionStore])
@pytest.mark.parametrize("name", ["url", "model", "tenant", "settings", "actor", "trace_id"])
def test_constructors(cls: Any, name: str) -> None:
    """A store is opened, or an error of the tree says why not; nothing is sent."""
    for value in chosen(VALUES, loaded=True):
        with suppress(Planted):  # what an object of the caller's raises is the caller's
            try:
                cls(**{name: made(value, {})})
            except SojournError as error:
                check_error(error, quotes=True)
