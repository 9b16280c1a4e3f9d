"""The quick encoders and the careful way tell the same of every value: the same texts, or the same refusal."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from functools import cache, partial
from typing import Annotated, Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, field_validator
from tests.fuzz.hostile import VALUES, Made, Planted, made, values
from tests.fuzz.models import EverySession
from tests.fuzz.profile import chosen, examples
from tests.store.examples import Colour, JobSession, Level, Right
from tests.store.secrets.examples import VaultSession
from tests.store.test_decoding import (
    ANNOTATIONS,
    CAREFUL,
    ID,
    KEYRING,
    QUICK,
    TENANT,
    TEXTS,
    Odd,
    Part,
    _defaults,
    _taken_apart,
    field_model,
)

from sojourn import DocumentationSession, InvalidField, Limits, McpSession, Session, Status
from sojourn.codec import Codec, codec_for
from sojourn.codec.writing import Changes
from sojourn.models import UnknownSession
from sojourn.sealing import Sealer

LIMITS = Limits(field_bytes=1_000, metadata_bytes=500)
TIGHT = Limits(metadata_bytes=12, field_bytes=9, depth=2, tags=2, indexed_bytes=4)
SEALER = Sealer(KEYRING, TENANT, ID)


class Text(str):
    """Text that says other things than it holds."""

    __slots__ = ()

    def __str__(self) -> str:
        return "other"

    def __len__(self) -> int:
        return 1


class Number(int):
    """The same of a number."""

    def __str__(self) -> str:
        return "7"


class Table(dict[str, Any]):
    """The same of a mapping."""

    def __eq__(self, _: object) -> bool:
        return True

    __hash__ = None


def _nested(depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for _ in range(depth):
        found = {"a": found}
    return found


def _cyclic() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["a"] = [found]
    return found


def _shared() -> dict[str, Any]:
    found: Any = {}
    for _ in range(31):
        found = [found, found]
    return {"a": found}


ODD: list[Any] = [
    None, True, False, 0, 1, -1, 3, 5, 100, 101, 2**53, -(2**70), 10**5000, 0.0, -0.0, 0.5, 1.0, 1.5, 1e300,
    math.nan, math.inf,
    *TEXTS, "a" * 9, "a" * 10, "é" * 5, "pending", "a\nb", "\x7f", Text("red"), Number(3), b"", b"\xff",
    Colour.RED, Level.LOW, Level.HIGH, Right.READ, Right.READ | Right.WRITE, Odd.NUL, Odd.PLAIN,
    [], ["a"], ("a",), ("a", "b", "c"), ["", "b"], ["é"], ["\ud800"], ["a\x00"], ["a" * 300], [Text("red")],
    ["a", 1],
    ["a", None], {"a"}, frozenset({1}), [[]], ["a"] * 65, {}, {"a": 1}, {"a": math.nan},
    {"a": [math.inf]},
    {"NaN": "Infinity"}, {"\\u0000": "\\"}, {"\x00": 1}, {"\ud800": 1}, {"a": "\ud800"}, {"\ufffd": "\ufffd"},
    {1: 2}, {Text("a"): 1}, {"a": Text("b")}, {"a": Number(3)}, {"a": ("b",)}, {"a": {"b"}}, {"a": Colour.RED},
    Table(a=1),
    {"a": Table(b=1)}, {"a": 2**70}, {"a": 10**5000}, {"a": [None, {"b": [True, 0.5, -0.0, "ü"]}]},
    {"a": datetime.max.replace(tzinfo=UTC)},
    _nested(1), _nested(2), _nested(31), _nested(32), Made("deep", partial(_nested, 300)),
    Made("deeper", partial(_nested, 3000)), Made("cyclic", _cyclic), Made("shared", _shared),
    datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, 2, 3, 4567, timezone(timedelta(hours=5, minutes=45))),
    datetime(2026, 1, 1), datetime.max.replace(tzinfo=UTC),  # noqa: DTZ001
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    timedelta(), timedelta(seconds=1.5), timedelta(microseconds=7), -timedelta(days=1), timedelta.max,
    date(2026, 1, 1), time(12, 30), UUID(int=5), Decimal("1.50"), Decimal("nan"), 1 + 2j,
    Part(name="a"), {"name": "a", "parts": [{"name": "b"}]}, SecretStr("abc"), SecretStr("\ud800"),
    object(), Planted(),
]  # fmt: skip


@cache
def _both(model: type[Session]) -> tuple[Codec[Any], Codec[Any]]:
    careful = Codec(model)
    careful._encode_sound, careful._encoders = None, {}
    return codec_for(model), careful


def _clear(codec: Codec[Any], encoded: dict[str, str]) -> list[tuple[str, str]]:
    """Texts in their order, without what is random."""
    secrets = codec._secret_names
    return [(name, SEALER.open(name, text) if name in secrets else text) for name, text in encoded.items()]


def _new(codec: Codec[Any], fields: Any, limits: Limits) -> Any:
    """All that a new session is made of, or why there is none."""
    try:
        session, encoded = codec.encode_new(fields, ID, TENANT, limits, KEYRING)
    except Exception as error:  # noqa: BLE001 - compared with the other way's
        return _refusal(error)
    return (
        type(session), _clear(codec, encoded), _taken_apart(session.__dict__), sorted(session.model_fields_set),
        session.model_extra, session.__pydantic_private__,
    )  # fmt: skip


def _changed(codec: Codec[Any], changes: Any, limits: Limits) -> Any:
    """All that changes are encoded as, or why they are refused."""
    try:
        found = codec.encode_changes(changes, limits, SEALER)
    except Exception as error:  # noqa: BLE001 - compared with the other way's
        return _refusal(error)
    told = found.told if not codec._secrets else sorted(found.set)
    return _clear(codec, found.set), found.cleared, found.status, told


def _refusal(error: Exception) -> Any:
    return type(error), str(error), getattr(error, "field", None), error.__cause__, error.__context__ is None


def assert_alike(model: type[Session], fields: dict[Any, Any], limits: Limits = LIMITS) -> None:
    """Both ways tell the same, of a new session and of changes to one."""
    quick, careful = _both(model)
    for told in (_new, _changed):
        given_now = {name: made(value, {}) for name, value in fields.items()}
        given_again = {name: made(value, {}) for name, value in fields.items()}
        assert told(quick, given_now, limits) == told(careful, given_again, limits)


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_every_value_in_every_field(annotation: Any) -> None:
    """Whatever is given for a field, of whatever type it is, and where nothing is."""
    for default in [*_defaults(annotation), "x", 3, ["a"], Field(default_factory=list)]:
        model = field_model(annotation, default)
        assert_alike(model, {})
        for value in ODD if default in (..., None) else ODD[:20]:
            assert_alike(model, {"field": value})
            assert_alike(model, {"field": value}, TIGHT)
        runs_code = any(isinstance(each, AfterValidator | BeforeValidator) for each in get_args(annotation))
        assert (_both(model)[0]._encode_sound is None) is runs_code


_NEEDED: dict[type[Session], dict[str, Any]] = {
    DocumentationSession: {"workspace_id": "w", "module_name": "m"},
    VaultSession: {"password": "p", "blob": b"b", "credentials": {"a": "b"}},
}


@pytest.mark.parametrize("model", [*QUICK, *CAREFUL], ids=lambda each: each.__name__)
def test_every_value_in_every_field_of_a_model(model: type[Session]) -> None:
    """Whatever is given for a field of a whole model, or for what is none of its fields."""
    needed = _NEEDED.get(model, {})
    assert_alike(model, {})
    assert_alike(model, needed)
    for name in ("", "unknown", "_", "model_config", Text("owner"), 1, None):
        assert_alike(model, {**needed, name: "a"})
    for name in model.model_fields:
        of_this = name not in Session.model_fields or model in (Session, UnknownSession)
        for value in ODD[:: 2 if of_this else 15]:
            assert_alike(model, {**needed, name: value})
    for status in (*Status, *map(str, Status), "nonsense", 1, None, []):
        assert_alike(model, {**needed, "status": status, "owner": "ada"})


@pytest.mark.parametrize("model", [Session, JobSession, EverySession, McpSession], ids=lambda each: each.__name__)
def test_odd_values(model: type[Session]) -> None:
    """What nobody should pass, which may be good for one use only."""
    for name in ("owner", "tags", "metadata", *(set(model.model_fields) - set(Session.model_fields))):
        for value in chosen(VALUES, loaded=False, every=3):
            assert_alike(model, {name: value})


_FIELDS = sorted(
    {(model, name) for model in (Session, JobSession, EverySession) for name in model.model_fields}, key=str
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(st.data())
@examples(300)
def test_several_at_once(data: st.DataObject) -> None:
    """Several fields at once, in any order, in texts of any characters, JSON or odd values."""
    model = data.draw(st.sampled_from([Session, JobSession, EverySession]))
    name = st.sampled_from([each for owner, each in _FIELDS if owner is model])
    given_value = values() | _JSON | st.text(st.characters(), max_size=12) | st.lists(st.text(max_size=5), max_size=3)
    fields = data.draw(st.dictionaries(name, given_value, max_size=4))
    limits = data.draw(st.sampled_from([LIMITS, TIGHT]))
    assert_alike(model, fields, limits)


def test_what_is_stored_is_a_copy() -> None:
    """What a caller changes in the mapping that was passed in changes nothing in the session."""
    given_metadata = {"a": {"b": [1]}}
    session, _ = codec_for(Session).encode_new({"metadata": given_metadata}, ID, TENANT, LIMITS)
    given_metadata["a"]["b"].append(2)
    assert session.metadata == {"a": {"b": [1]}}


def test_the_usual_is_not_left_to_the_careful_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of exactly the declared types are encoded without it, and so is None where it is told by absence."""
    codec = Codec(JobSession)
    for name in ("_new_carefully", "_changes_carefully"):
        monkeypatch.setattr(codec, name, None)
    fields: dict[str, Any] = {
        "owner": "ada", "client_type": None, "tags": ["a", "b"], "metadata": {"a": [1, {"b": None}]}, "queue": "fast",
        "labels": ("c",), "note": "é" * 100, "limit": 5, "status": "in_progress",
    }  # fmt: skip
    session, encoded = codec.encode_new(fields, ID, TENANT, LIMITS)
    assert (session.tags, session.status, encoded["metadata"]) == (
        ("a", "b"),
        Status.IN_PROGRESS,
        '{"a":[1,{"b":null}]}',
    )
    changes = codec.encode_changes(fields, LIMITS)
    assert isinstance(changes, Changes)
    assert (changes.cleared, changes.status, changes.set["limit"]) == (["client_type"], "in_progress", "5")
    with pytest.raises(TypeError, match="NoneType"):
        codec.encode_changes({"limit": -1}, LIMITS)


def test_refusals_hold_no_values() -> None:
    """The quick way's doubts do not come along with what the careful way tells."""
    with pytest.raises(InvalidField) as caught:
        codec_for(Session).encode_new({"owner": "secret\n"}, ID, TENANT, LIMITS)
    assert caught.value.__context__ is None


def test_what_a_signal_raises_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a job's time is no doubt about a value: it comes once, and nobody else would hear of it."""

    class TimeIsUpError(Exception):
        pass

    def interrupted(*_: Any) -> Any:
        raise TimeIsUpError

    codec = Codec(JobSession)
    monkeypatch.setattr(codec, "_encode_sound", interrupted)
    monkeypatch.setattr(codec, "_validated_status", interrupted)
    with pytest.raises(TimeIsUpError):
        codec.encode_new({"owner": "ada"}, ID, TENANT, LIMITS)
    with pytest.raises(TimeIsUpError):
        codec.encode_changes({"status": "pending"}, LIMITS)


class Alike(Enum):
    """Members that say themselves what they equal."""

    WARN = "warn"
    WARNING = "warning"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike)

    def __hash__(self) -> int:
        return 1


class NoHash(Enum):
    """Members that cannot be looked up."""

    LOW = 1
    HIGH = 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NoHash) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


class Peculiar(Session, kind="peculiar"):
    """Fields that look plain, and are not."""

    alike: Alike = Alike.WARN
    no_hash: NoHash = NoHash.LOW
    names: Annotated[tuple[str, ...], PlainSerializer(lambda value: [each.lower() for each in value])] = ()
    inner: tuple[Annotated[str, PlainSerializer(str.lower)], ...] = ()


def test_what_looks_plain_and_is_not() -> None:
    """Enums with an equality of their own, and types that are written as they say, are stored as they are."""
    fields = {"alike": Alike.WARN, "no_hash": NoHash.HIGH, "names": ("A",), "inner": ("B",)}
    wanted = {"alike": "warn", "no_hash": "2", "names": '["a"]', "inner": '["b"]'}
    session, encoded = Codec(Peculiar).encode_new(fields, ID, TENANT, LIMITS)
    assert {name: encoded[name] for name in wanted} == wanted
    assert session.alike.value == "warn"
    assert Codec(Peculiar).encode_changes(fields, LIMITS).set == wanted


class Price(Session, kind="price"):
    """A validator that changes what it is given, and one of a field that clients do not write."""

    amount: dict[str, float] = Field(default_factory=dict)
    tax: float = 0.0

    @field_validator("amount", mode="before")
    @classmethod
    def _in_euros(cls, value: dict[str, float]) -> dict[str, float]:
        value["eur"] /= 100
        return value


class Served(Session, kind="served"):
    """A validator of a field that clients do not write."""

    @field_validator("tenant")
    @classmethod
    def _is_served(cls, value: str) -> str:
        if value == TENANT:
            raise ValueError("not served")
        return value


def test_validators_run_once() -> None:
    """Also where another field's value is in doubt; and those of fields that clients do not write run at all."""
    _, encoded = Codec(Price).encode_new({"amount": {"eur": 500}, "tax": 1}, ID, TENANT, LIMITS)
    assert encoded["amount"] == '{"eur":5.0}'
    assert Codec(Price).encode_changes({"amount": {"eur": 500}, "tax": 1}, LIMITS).set["amount"] == '{"eur":5.0}'
    with pytest.raises(InvalidField, match="not served"):
        Codec(Served).encode_new({}, ID, TENANT, LIMITS)
