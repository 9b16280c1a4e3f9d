"""Every kind of field comes back equal, in value and type; what could not is refused."""

from __future__ import annotations

import enum
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field, JsonValue
from pydantic_core import PydanticUseDefault
from tests.store.examples import Colour, Level, Right

from sojourn import Indexed, InvalidField, InvalidInput, Limits, Log, Session, SessionCorrupt
from sojourn.codec import Codec, codec_for, encode_entry
from sojourn.keys import check_id
from sojourn.limits import check_depth
from sojourn.operations.core import new_session_id

ID, TENANT, LIMITS = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77", "acme", Limits()


class Size(enum.Enum):
    """Values of both types."""

    SMALL = "s"
    TEN = 10


class Part(BaseModel):
    """A nested model."""

    name: str
    at: AwareDatetime | None = None
    parts: tuple[Part, ...] = ()


class EverySession(Session):
    """Every kind of field there is."""

    text: str = "t"
    text_or_none: str | None = None
    text_or_default: str | None = "default"
    number: int = 0
    number_or_seven: int | None = 7
    real: float = 0.0
    truth: bool = False
    moment: AwareDatetime | None = None
    span: timedelta | None = None
    uid: UUID | None = None
    exact: Decimal | None = None
    day: date | None = None
    clock: time | None = None
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    size: Size = Size.SMALL
    rights: Right = Right.READ
    choice: Literal["a", "b"] = "a"
    either: int | str = 0
    items: list[int] = []  # noqa: RUF012
    names: frozenset[str] = frozenset()
    pairs: dict[str, tuple[int, float]] = {}  # noqa: RUF012
    part: Part | None = None
    raw: bytes = b""
    anything: JsonValue = None
    bounded: Annotated[list[Annotated[str, Indexed()]], Indexed()] = []  # noqa: RUF012


def texts(**options: Any) -> st.SearchStrategy[str]:
    """Any text that can be stored."""
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), **options)


def moments() -> st.SearchStrategy[datetime]:
    """Moments in any time zone, to the millisecond, as far as every zone can tell them."""
    zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))])
    between = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)  # noqa: DTZ001
    return between.map(lambda moment: moment.replace(microsecond=moment.microsecond // 1000 * 1000))


reals = st.floats(allow_nan=False, allow_infinity=False)
jsons = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | reals | texts(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(max_size=5), inner, max_size=3),
    max_leaves=8,
)
parts: st.SearchStrategy[Part] = st.deferred(
    lambda: st.builds(Part, name=texts(max_size=5), at=st.none() | moments(), parts=st.lists(parts, max_size=1))
)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "text": texts(), "text_or_none": st.none() | texts(), "text_or_default": st.none() | texts(),
    "number": st.integers(-(10**40), 10**40), "number_or_seven": st.none() | st.integers(), "real": reals,
    "truth": st.booleans(), "moment": st.none() | moments(),
    "span": st.none() | st.integers(-(10**14), 10**14).map(lambda ms: timedelta(milliseconds=ms)),
    "uid": st.none() | st.uuids(), "exact": st.none() | st.decimals(allow_nan=False, allow_infinity=False),
    "day": st.none() | st.dates(), "clock": st.none() | st.times(), "colour": st.sampled_from(Colour),
    "level": st.sampled_from(Level), "size": st.sampled_from(Size),
    "rights": st.sampled_from([Right.READ, Right.WRITE, Right.READ | Right.WRITE]),
    "choice": st.sampled_from(["a", "b"]), "either": st.integers() | texts(), "items": st.lists(st.integers()),
    "names": st.frozensets(texts()), "pairs": st.dictionaries(texts(), st.tuples(st.integers(), reals), max_size=3),
    "part": st.none() | parts, "raw": st.binary(), "anything": jsons,
    "metadata": st.dictionaries(texts(max_size=8), jsons, max_size=3), "client_type": st.none() | texts(max_size=20),
}  # fmt: skip
MS = {"created_at_ms": "5", "updated_at_ms": "6", "accessed_at_ms": "7"}


def whole(encoded: dict[str, str]) -> dict[str, str]:
    """Return a hash as the script would write it."""
    return {**encoded, "id": ID, "tenant": TENANT, "kind": "every", "version": "1", **MS}


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries({}, optional=FIELDS))
def test_round_trip(fields: dict[str, Any]) -> None:
    """Created and decoded, updated and decoded: the same values of the same types."""
    codec = codec_for(EverySession)
    made, encoded = codec.encode_new(fields, ID, TENANT, LIMITS)
    read = codec.decode(whole(encoded), ID, TENANT)
    changed = codec.encode_changes(fields, LIMITS)
    base = codec.encode_new({}, ID, TENANT, LIMITS)[1]
    after = {name: text for name, text in {**base, **changed.set}.items() if name not in changed.cleared}
    updated = codec.decode(whole(after), ID, TENANT)
    for name, value in fields.items():
        for session in (made, read, updated):
            found = getattr(session, name)
            assert found == value
            assert type(found) is type(value)
    assert updated == read


def test_absent_is_told_from_default() -> None:
    """None comes back as None even where the default is another value."""
    codec = codec_for(EverySession)
    encoded = codec.encode_new({"text_or_default": None, "number_or_seven": None}, ID, TENANT, LIMITS)[1]
    read = codec.decode(whole(encoded), ID, TENANT)
    assert (read.text_or_default, read.number_or_seven, read.text_or_none) == (None, None, None)


def cyclic() -> list[Any]:
    """Return a list that contains itself, twice."""
    found: list[Any] = []
    found += [found, found]
    return found


def shared() -> list[Any]:
    """Return a list that is small here and vast in JSON."""
    found: list[Any] = []
    for _ in range(31):
        found = [found, found]
    return found


def deep(levels: int) -> list[Any]:
    """Return lists in lists."""
    found: list[Any] = []
    for _ in range(levels):
        found = [found]
    return found


BAD: dict[str, tuple[str, Any]] = {
    "naive datetime": ("moment", datetime(2024, 1, 1)),  # noqa: DTZ001
    "before the first year": ("moment", datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
    "nan": ("real", math.nan),
    "infinity": ("real", -math.inf),
    "nan in JSON": ("anything", {"a": [math.nan]}),
    "nan in metadata": ("metadata", {"a": math.inf}),
    "nul": ("text", "a\x00b"),
    "nul in JSON": ("metadata", {"a": ["\x00"]}),
    "nul in a key": ("metadata", {"\x00": 1}),
    "nul in a nested model": ("part", {"name": "\x00"}),
    "surrogate": ("text", "\ud800"),
    "surrogate in JSON": ("metadata", {"a": "\udfff"}),
    "surrogate in a key": ("metadata", {"\ud800": 1}),
    "huge int": ("number", 10**5000),
    "huge int in JSON": ("metadata", {"a": 10**5000}),
    "deep": ("metadata", {"a": deep(2000)}),
    "too deep": ("metadata", {"a": deep(32)}),
    "cyclic": ("metadata", {"a": cyclic()}),
    "shared": ("metadata", {"a": shared()}),
    "oversized": ("metadata", {"a": "x" * 70_000}),
    "oversized text": ("text", "ü" * 600_000),
    "not JSON": ("metadata", {"a": object()}),
    "set in JSON": ("anything", {1, 2}),
    "int keys": ("metadata", {1: 2}),
    "not a mapping": ("metadata", []),
    "text as int": ("number", "five"),
    "float as int": ("number", 1.5),
    "unknown choice": ("choice", "c"),
    "unknown enum": ("colour", "green"),
    "empty owner": ("owner", ""),
    "long owner": ("owner", "x" * 257),
    "newline in an index": ("tags", ["a\n"]),
    "empty tag": ("tags", [""]),
    "too many tags": ("tags", [str(number) for number in range(65)]),
    "tags as text": ("tags", "abc"),
    "unknown field": ("nothing", 1),
    "private field": ("_logs", "x"),
    "ended": ("status", "completed"),
    "no status": ("status", "nonsense"),
    "status none": ("status", None),
}


@pytest.mark.no_cover  # many values
@pytest.mark.parametrize("name", sorted(BAD))
def test_refused(name: str) -> None:
    """Bad values are refused by create and by update, naming the field and not the value."""
    codec = codec_for(EverySession)
    field, value = BAD[name]
    with pytest.raises(InvalidField) as caught:
        codec.encode_new({field: value}, ID, TENANT, LIMITS)
    assert caught.value.field.split(".")[0] == field
    assert len(str(caught.value)) < 300
    if name != "ended":  # which the operation refuses
        with pytest.raises(InvalidField) as caught:
            codec.encode_changes({field: value}, LIMITS)
        assert caught.value.field.split(".")[0] == field


DAMAGED = [
    (field, text)
    for field in ("number", "moment_ms", "real", "truth", "uid", "size", "rights", "items", "part")
    for text in ("", "x", "1.5", "nan", "0x10", "9" * 5000, "[", "null", "\udcff")
    if (field, text) not in {("real", "1.5"), ("part", "null")}  # which can be read
]


@pytest.mark.parametrize(("field", "text"), DAMAGED, ids=range(len(DAMAGED)))
def test_damaged_text(field: str, text: str) -> None:
    """A hash field that cannot be read is named."""
    codec = codec_for(EverySession)
    stored = whole(codec.encode_new({}, ID, TENANT, LIMITS)[1]) | {field: text}
    with pytest.raises(SessionCorrupt) as caught:
        codec.decode(stored, ID, TENANT)
    assert caught.value.field == field


def test_backslashes_are_no_nul() -> None:
    """Text that spells an escape is not one."""
    codec = codec_for(EverySession)
    value = {"a": "\\u0000", "b": "\\\\u0000"}
    encoded = codec.encode_new({"metadata": value}, ID, TENANT, LIMITS)[1]
    assert codec.decode(whole(encoded), ID, TENANT).metadata == value


@pytest.mark.parametrize(
    "entry", [math.nan, "\x00", "\ud800", "x" * 70_000, deep(40), cyclic(), object()], ids=range(7)
)
def test_bad_entries(entry: Any) -> None:
    """Log entries are held to the same."""
    with pytest.raises(InvalidField, match="lines"):
        encode_entry(Log(Any, "lines"), entry, LIMITS)


def test_depth_is_exact() -> None:
    """As many levels as allowed pass, one more does not."""
    check_depth("x", deep(4), 5, 100)
    with pytest.raises(InvalidInput):
        check_depth("x", deep(5), 5, 100)


def _usual(value: int) -> int:
    """Have pydantic take the default for a value."""
    if value == 3:
        raise PydanticUseDefault
    return value


class CheckedSession(Session):
    """Fields that are validated by themselves, and one that cannot be set."""

    low: int = Field(default=1, ge=1)
    label: Annotated[str, AfterValidator(str.lower)] = ""
    fixed: int = Field(default=1, frozen=True)
    usual: Annotated[int, BeforeValidator(_usual)] = 7
    part: Part | None = None
    names: tuple[str, ...] = ()


@pytest.mark.parametrize(
    "changes",
    [
        {"low": 3, "label": "AbC", "names": ["a"], "part": {"name": "p"}},
        {"low": 0},
        {"low": "x", "label": 1},
        {"low": "5", "owner": None, "tags": ["b"], "metadata": {"a": [1]}},
        {"fixed": 2},
        {"usual": 3},
        {"part": {"name": 1}},
        {"names": ["a", 1]},
        {"names": [{1}]},
        {"metadata": {"a": {1}}},
        {"unknown": 1},
        {"version": 1},
        {"status": "in_progress"},
        {"status": "nowhere"},
    ],
    ids=str,
)
def test_changes_are_validated_like_assignments(changes: dict[str, Any]) -> None:
    """A field's own validator takes, makes and refuses what an assignment does, in the same words."""
    codec = codec_for(CheckedSession)
    other = Codec(CheckedSession)
    other._encoders = {}

    def told(each: Codec[Any]) -> Any:
        try:
            return each.encode_changes(changes, LIMITS)
        except InvalidField as error:
            return type(error), str(error)

    assert told(codec) == told(other)
    assert codec._encoders


def test_fresh_ids() -> None:
    """Each is a random UUID of version 4, and no two are alike."""
    found = {new_session_id() for _ in range(1000)}
    assert len(found) == 1000
    for each in found:
        assert check_id(each) == each == str(UUID(each))
        assert (UUID(each).version, UUID(each).variant) == (4, RFC_4122)
