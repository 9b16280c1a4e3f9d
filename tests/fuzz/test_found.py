"""What the fuzzers found, each by its name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import pytest
from tests.fuzz.hostile import Made
from tests.fuzz.models import EverySession
from tests.fuzz.world import Failed, World

from sojourn import (
    Event,
    InvalidCursor,
    InvalidField,
    InvalidId,
    InvalidInput,
    SettingsError,
    SojournError,
    load_settings,
)
from sojourn.keys import check_tenant, parse_event_id, parse_key

_ID: Final = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


def refused(world: World, path: str, *args: Any, **named: Any) -> SojournError:
    """Call what has to be refused, and leave no trace; return the error."""
    with pytest.raises(Failed) as caught:
        world.call(path, args, named, quotes=True, of_the_callers=False)
    assert isinstance(caught.value.error, SojournError)
    return caught.value.error


def _doubled() -> list[Any]:
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    return value


DOUBLED: Final = Made("list that takes little memory, and 2**60 words to show", _doubled)
FOR_EVER: Final = Made("iterator without an end", lambda: itertools.repeat("pending"))


class NamelessZone(tzinfo):
    """A zone that does not know its offset: a datetime in it is a naive one."""

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        """Not known."""
        return None

    def tzname(self, _: datetime | None) -> str | None:
        """Not known."""
        return None

    def dst(self, _: datetime | None) -> timedelta | None:
        """Not known."""
        return None


class Tenant(str, Enum):  # noqa: UP042 - this is what StrEnum does otherwise
    """Names as programs keep them; formatted it reads ``Tenant.ACME``."""

    ACME = "acme"


def test_an_id_that_cannot_be_shown(world: World) -> None:
    """Showing what was passed as an id must neither fail nor go on for ever."""
    for odd in (DOUBLED, 10**5_000, object()):
        assert isinstance(refused(world, "get", odd), InvalidId)


def test_a_tenant_of_an_enum(world: World) -> None:
    """Its keys are those of the tenant of that name."""
    assert check_tenant(Tenant.ACME) == "acme"
    assert type(check_tenant(Tenant.ACME)) is str
    view = world.call("for_tenant", [Tenant.ACME], {}, quotes=True, of_the_callers=False)
    assert f"{view.tenant}" == "acme"
    assert ":acme:" in view._context.keys.session(_ID)


@pytest.mark.parametrize(
    ("path", "args", "named"),
    [
        ("list", (), {"status": FOR_EVER}),
        ("list", (), {"status": [DOUBLED]}),
        ("count", (), {"status": range(10**9)}),
        ("create_many", (Made("sessions", lambda: itertools.repeat({})),), {}),
        ("get_many", (Made("ids", lambda: itertools.repeat(_ID)),), {}),
        ("create", (), {"labels": range(10**9)}),
        ("create", (), {"labels": FOR_EVER}),
        ("archive.audit.list", (), {"action": FOR_EVER}),
        ("administered", ("a.b",), {"what": DOUBLED}),
    ],
)
def test_what_has_no_end(world: World, path: str, args: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Iterators without an end, and what says little in much, are refused at once."""
    refused(world, path, *args, **named)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 1, 1, tzinfo=NamelessZone()),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=12))),
    ],
)
def test_moments_beyond_the_edges_of_time(world: World, moment: datetime) -> None:
    """They are no moments in UTC, for lists and the archive alike."""
    for path, name in (("list", "created_after"), ("archive.list", "created_before"), ("archive.audit.list", "since")):
        assert isinstance(refused(world, path, **{name: moment}), InvalidField)
    refused(world, "restore", _ID, at=moment)


def test_the_last_moment_of_all(world: World) -> None:
    """Rounded up it would be none any more."""
    last = datetime.max.replace(tzinfo=UTC)
    assert world.call("archive.count", (), {"created_after": last}, quotes=False, of_the_callers=False) == 0


def test_field_names_that_go_on(world: World) -> None:
    """A message names a field, but not all of a name of a megabyte; nor the keys of the user's data."""
    assert len(str(refused(world, "create", **{"x" * 1_000_000: 1}))) < 300
    assert len(str(refused(world, "create", metadata={"x" * 1_000_000: object()}))) < 300
    assert "Secret Key!" not in str(refused(world, "create", metadata={"Secret Key!": object()}))
    assert "where" not in str(refused(world, "list", where={1: 2}))


def test_numbers_of_400_digits(world: World) -> None:
    """They are longer than any wait, and than any float."""
    named = {"start": "oldest", "timeout": 10**400, "limit": 1}
    assert world.call("events", ["billing"], named, quotes=False, of_the_callers=False)


def test_what_cannot_be_hashed(world: World) -> None:
    """Pydantic looks members of enums up by hash, and lets through what that raises."""
    for name in ("level", "mixed", "colour"):
        error = refused(world, "create", **{name: Decimal("sNaN")})
        assert isinstance(error, InvalidField)


@pytest.mark.parametrize("cursor", ["\u0661-\u0662", f"{2**64}-0", "99999999999999999999-0"])
def test_cursors_that_redis_would_refuse(world: World, cursor: str) -> None:
    """Digits of other scripts, and numbers over 64 bits, are no cursor."""
    assert isinstance(refused(world, "peek_events", cursor=cursor), InvalidCursor)


def test_digits_of_other_scripts() -> None:
    """A partition is written in ASCII."""
    assert parse_key(f"sojourn:{{\u0664\u0660}}:acme:lease:{_ID}") is None
    odds: tuple[Any, ...] = ("\u0664\u0660-1-0", "4_0-1-0", "x", "", None, f"{'9' * 5_000}-1-0", "40")
    for odd in odds:
        with pytest.raises(InvalidId):
            parse_event_id(odd)


@pytest.mark.parametrize(
    "change", [lambda data: data.pop("id"), lambda data: data.update(at_ms=10**400), lambda data: data.update(x=1),
               lambda data: data.update(at_ms=1.5), lambda data: data.update(version=True)]
)  # fmt: skip
def test_events_that_are_none(change: Callable[[dict[str, Any]], Any]) -> None:
    """They are refused with an error of the tree."""
    data = Event.from_stream(40, "1-0", {"type": "created", "version": "1"}).to_json()
    change(data)
    with pytest.raises(InvalidInput):
        Event.from_json(data)
    odds: tuple[Any, ...] = (None, [], "x", 5)
    for odd in odds:
        with pytest.raises(InvalidInput):
            Event.from_json(odd)


def test_archive_entries_check_what_they_are_given(world: World) -> None:
    """As those of the live session do."""
    for args, named in ((("x",), {}), ((EverySession.lines,), {"start": "0"}), ((EverySession.lines,), {"count": 0})):
        assert isinstance(refused(world, "archive.entries", _ID, *args, **named), InvalidInput)


def test_settings_that_nest_too_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON in the environment that Python cannot read is told as such."""
    monkeypatch.setenv("SOJOURN_MODELS", "[" * 100_000)
    with pytest.raises(SettingsError):
        load_settings()
