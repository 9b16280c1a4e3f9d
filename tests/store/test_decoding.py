"""The quick decoder and the careful one tell the same of every hash: the same instance, or the same damage."""

from __future__ import annotations

import copy
import enum
import json
import pickle
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PastDatetime,
    PrivateAttr,
    Secret,
    SecretBytes,
    SecretStr,
    StringConstraints,
    TypeAdapter,
    ValidationInfo,
    computed_field,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticOmit, PydanticUseDefault
from tests.fuzz.models import EverySession
from tests.store.examples import Colour, JobSession, Level, RangeSession, Right, StrictSession
from tests.store.secrets.examples import FIRST, VaultSession

from sojourn import DocumentationSession, Limits, McpSession, Session, SessionCorrupt
from sojourn.codec import DOUBT, Codec, Layout, codec_for
from sojourn.codec.json_texts import json_object
from sojourn.codec.shapes import shapes_of
from sojourn.models import UnknownSession
from sojourn.sealing import Keyring, Sealer, Unreadable, parse_keys, settled

ID, TENANT = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77", "acme"
KEYRING = Keyring(parse_keys([(FIRST, "the key")]))
_SEALER = Sealer(KEYRING, TENANT, ID)


class Odd(enum.StrEnum):
    """A value that cannot be stored."""

    NUL = "a\x00b"
    PLAIN = "a"


class Part(BaseModel):
    """A model within a model."""

    name: str
    at: AwareDatetime | None = None
    parts: tuple[Part, ...] = ()
    more: dict[str, JsonValue] = Field(default_factory=dict)


class LowSession(Session):
    """Its validator sees what came before."""

    low: int = 0
    high: int = 1

    @field_validator("high")
    @classmethod
    def _above(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("low", 0):
            raise ValueError("below low")
        return value


class LowerSession(Session):
    """Its validators do not."""

    label: str = "x"
    parts: Annotated[list[int], AfterValidator(sorted)] = Field(default_factory=list)

    @field_validator("label", mode="before")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()


def _usual(value: int) -> int:
    """Have pydantic take the default, or take nothing, for some values."""
    if value == 3:
        raise PydanticUseDefault
    if value == 2:
        raise PydanticOmit
    return value


class UsualSession(Session):
    """Its validator asks for the default."""

    number: Annotated[int, BeforeValidator(_usual)] = 7


class NamedSecret(SecretStr):
    """A secret of a class of its own."""


class BeforeSession(Session):
    """A validator of the raw whole."""

    text: str = ""

    @model_validator(mode="before")
    @classmethod
    def _add(cls, data: Any) -> Any:
        return {**data, "text": "always"}


class PrivateSession(Session):
    """Something that is no field."""

    text: str = ""
    _seen: int = PrivateAttr(default=7)


class PostSession(Session):
    """Does something once it is made."""

    text: str = ""

    def model_post_init(self, context: Any) -> None:
        """Change what was validated."""
        self.__dict__["text"] = "made"


class ComputedSession(Session):
    """Computes and serialises in ways of its own, and has names beside the names."""

    text: str = Field(default="", alias="Text")
    number: int = Field(default=0, validation_alias="n", serialization_alias="m")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def loud(self) -> str:
        """Not stored."""
        return self.text.upper()

    @field_serializer("text")
    def _dump(self, value: str) -> str:
        return value[::-1]


class AliasSession(Session):
    """Keeps what it does not know, and has a field that goes by two names."""

    model_config = ConfigDict(extra="allow")

    text: str = Field(default="", alias="more")


class PickySession(Session):
    """Keeps what it does not know, but only by certain names."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[Annotated[str, StringConstraints(pattern="^z")], Any]

    text: str = ""


class NewSession(Session):
    """Makes its instances itself, if it is asked to."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Like any other."""
        return super().__new__(cls)


class FactorySession(Session):
    """Defaults that are made, copied, or made of others."""

    items: list[str] = ["a"]  # noqa: RUF012 - pydantic copies it
    table: dict[str, int] = Field(default_factory=lambda: {"a": 1})
    odd: int = "no number"  # type: ignore[assignment]
    part: Part = Part(name="p")


class DerivedSession(Session):
    """A default made of other fields."""

    low: int = 1
    high: int = Field(default_factory=lambda data: data["low"] + 1)


def _with(**config: Any) -> type[Session]:
    """A model with a configuration of its own."""
    model: type[Session] = type(
        "ConfiguredSession",
        (Session,),
        {
            "__module__": __name__,
            "__annotations__": {"text": str, "colour": Colour, "number": int, "part": Part | None},
            "text": " A ", "colour": Colour.RED, "number": 3, "part": None,
            "model_config": ConfigDict(**config),  # type: ignore[typeddict-item]
        },
    )  # fmt: skip
    return model


QUICK: list[type[Session]] = [
    Session, JobSession, StrictSession, McpSession, DocumentationSession, VaultSession, EverySession, LowerSession,
    ComputedSession, FactorySession, _with(), _with(extra="ignore"), _with(extra="allow"), UnknownSession,
    UsualSession, _with(strict=True), _with(from_attributes=True),
    _with(use_enum_values=True),
]  # fmt: skip
CAREFUL: list[type[Session]] = [
    AliasSession, PickySession, RangeSession, LowSession, BeforeSession, PrivateSession, PostSession, NewSession,
    DerivedSession,
    _with(str_strip_whitespace=True), _with(str_max_length=99),
    _with(validate_default=True), _with(revalidate_instances="always"), _with(coerce_numbers_to_str=True),
]  # fmt: skip
ANNOTATIONS: list[Any] = [
    str, str | None, int, int | None, float, float | None, bool, bool | None, datetime, AwareDatetime, PastDatetime,
    AwareDatetime | None, timedelta, timedelta | None, date, time, UUID, Decimal, Colour, Colour | None, Level, Right,
    Odd,
    Annotated[int, Field(ge=-5, le=100)], Annotated[int, Field(gt=0, lt=3)], Annotated[int, Field(multiple_of=3)],
    Annotated[int | None, Field(ge=1)], Annotated[float, Field(ge=0.5)], Annotated[float, Field(lt=1)],
    Annotated[str, Field(min_length=2, max_length=4)], Annotated[str, StringConstraints(to_lower=True)],
    Annotated[str, Field(pattern="^[a-z]+$")], Annotated[timedelta, Field(ge=timedelta(seconds=1))],
    Annotated[datetime, Field(ge=datetime(2026, 1, 1, tzinfo=UTC))], Annotated[str, BeforeValidator(str.upper)],
    Annotated[int, AfterValidator(abs)], Literal["a", 1] | None, Literal["red", "blue"], bytes, Any, JsonValue,
    dict[str, JsonValue], dict[str, JsonValue] | None, dict[str, int], dict[str, Any], dict[int, list[str]],
    list[str], list[str] | None, tuple[str, ...], tuple[str, ...] | None, tuple[str, int], set[str], frozenset[int],
    Annotated[tuple[str, ...], Field(max_length=2)], tuple[Annotated[str, Field(min_length=1)], ...],
    list[Any], list[Part], Part, Part | None, int | str, str | bytes, complex,
    SecretStr, SecretStr | None, SecretBytes | None, Secret[int] | None, Secret[dict[str, str]],
    Annotated[SecretStr, Field(min_length=3)], Annotated[SecretStr | None, Field(max_length=3)],
]  # fmt: skip
TEXTS: list[str] = [
    "", "0", "1", "-0", "-1", "2", "3", "99", "100", "101", " 7 ", "1_000", "+5", "0x10", "1.0", "1.5", "0.4", ".5",
    "1e3",
    "nan", "inf", "-Infinity", "NaN", "1e999", "9" * 30, "9" * 5000, "-" + "9" * 20, "true", "false", "True", "null",
    "None", "a", "ab", "abcde", "ABC", "red", "blue", " red", "RED", "é", "\udcff", "a\udc80", "\x00", "\u0661",
    "1750000000000", "-62135596800000", "4294967296000",
    "253402300799999", "253402300800000", "-1750000000001",
    "86399999999999000", "99999999999999999999", "2026-01-01", "2026-01-01T00:00:00Z", "12:30", "12:30:00+02:00",
    "P1D", "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77", "6F0F5BE294A54C2F8D5E0E6F3A9C1B77", "aGk=", "AQID",
    "[]", "{}",
    '""', '"a"', '"red"', '["a"]', '["a","b","c"]', '["a",1]', '["a",null]', "[1,2]", "[1,[2]]",
    '[""]', '["é"]',
    '["\\ud800"]', '["\\u0000"]', '[["a"]]', '["a"', '["a"] x', ' ["a"] ', '{"a":1}', '{"a":1,"b":2,"a":3}',
    '{"a":NaN}',
    '{"a":1e999}', '{"a":-0.0,"b":1.0,"c":true}', '{"a":' + "9" * 400 + "}", '{"a":"\udc80"}',
    '{"\\ud800":1}',
    '{"1":["a"]}', '{"a":{"b":[null,{"c":1.5}]}}', '{"a":"b"}', '{"name":"n"}', '{"name":"n","parts":[{"name":"m"}]}',
    '{"name":1}', '{"name":"n","at":"2026-01-01T00:00:00Z"}', '{"name":"n","extra":1}', '"2026-01-01T00:00:00+02:00"',
    '["1","2"]', '["a",2]', "[" * 30 + "]" * 30, '{"a":' * 60 + "1" + "}" * 60, '{"a":' * 150 + "1" + "}" * 150,
    '{"a":' * 250 + "1" + "}" * 250, "[" * 250 + "]" * 250, '{"a":[' + "{}," * 100 + "1]}",
    "sealed:1:first:AAAA", "=x", "=",
]  # fmt: skip


def _encodable(codec: Codec[Any]) -> dict[str, str]:
    """A sound hash of a model, with every field in it that can be made up."""
    needed: dict[str, Any] = {"workspace_id": "w", "module_name": "m"} if codec.model is DocumentationSession else {}
    if codec.model is FactorySession:
        needed = {"odd": 5}
    if codec.model is VaultSession:
        needed = {"password": "p", "blob": b"b", "credentials": {"a": "b"}}
    _, encoded = codec.encode_new(needed, ID, TENANT, Limits(), KEYRING)
    return {**encoded, **_written()}


def _written() -> dict[str, str]:
    """What the scripts write."""
    times = {"created_at_ms": "1750000000000", "updated_at_ms": "1750000000001", "accessed_at_ms": "1750000000999"}
    return {"id": ID, "tenant": TENANT, "kind": "k", "version": "3", "ttl_ms": "60000", **times}


def _told(decode: Callable[..., Any], stored: dict[str, str]) -> Any:
    """An instance with all that it is made of, or what its damage is told as."""
    try:
        session = decode(stored, ID, TENANT, KEYRING)
    except SessionCorrupt as error:
        return type(error), str(error), error.field, error.__cause__
    return (
        type(session), list(session.__dict__), session.__dict__, session.model_fields_set, session.model_extra,
        session.__pydantic_private__,
    )  # fmt: skip


def _taken_apart(value: Any) -> Any:
    """A value as types and texts all the way down: NaN is then like itself, and 1 not like True."""
    value = settled(value)
    kind = type(value).__qualname__
    if isinstance(value, Unreadable):
        return kind, value._told()
    if isinstance(value, (SecretStr, SecretBytes, Secret)):
        return kind, _taken_apart(value.get_secret_value())
    if isinstance(value, BaseModel):
        return kind, _taken_apart(value.__dict__), sorted(value.model_fields_set)
    if isinstance(value, dict):
        return kind, [(_taken_apart(key), _taken_apart(each)) for key, each in value.items()]
    if isinstance(value, (set, frozenset)):
        return kind, sorted(map(repr, value))
    if isinstance(value, (list, tuple)):
        return kind, [_taken_apart(each) for each in value]
    return kind, repr(value)


def _placed(layout: Layout[Any], flat: list[str]) -> Any:
    try:
        return layout.decoder(flat, ID, TENANT, KEYRING)
    except DOUBT:
        return None


def assert_alike(codec: Codec[Any], stored: dict[str, str]) -> None:
    """All ways tell the same; what is read by its place may be left to the others."""
    quick, careful = _told(codec.decode, stored), _told(codec.decode_carefully, stored)
    assert _taken_apart(quick) == _taken_apart(careful)
    placed = _layout(codec, tuple(stored))
    if placed is not None:
        own = {**stored, "kind": codec.kind if stored["kind"] == "k" else stored["kind"]}
        found = _placed(placed, _flat(own))
        assert found is None or _taken_apart(_told(lambda *_: found, own)) == _taken_apart(_told(codec.decode, own))
        assert found is None or own["kind"] == codec.kind


@cache
def _layout(codec: Codec[Any], order: tuple[str, ...]) -> Layout[Any] | None:
    return None if codec.layouts is None else codec.layouts.make(order)


def _flat(stored: dict[str, str]) -> list[str]:
    """The hash as a reply tells it."""
    return [each for pair in stored.items() for each in pair]


def field_model(annotation: Any, default: Any) -> type[Session]:
    """A model with one field of its own."""
    return create_model("OneSession", __base__=Session, __module__=__name__, field=(annotation, default))


def _defaults(annotation: Any) -> list[Any]:
    found: list[Any] = [...]
    try:
        TypeAdapter(annotation).validate_python(None)
    except (ValueError, TypeError):
        return found
    return [*found, None, Field(default_factory=lambda: None)]


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_every_text_in_every_field(annotation: Any) -> None:
    """Whatever stands in a field, of whatever type it is, and where nothing does."""
    for default in _defaults(annotation):
        codec = codec_for(field_model(annotation, default))
        each = codec.fields["field"]
        assert_alike(codec, _written())
        for text in TEXTS:
            assert_alike(codec, {**_written(), each.stored_as: text})
            if each.secret is not None and text.isprintable():
                assert_alike(codec, {**_written(), each.stored_as: _SEALER.seal(each.stored_as, text)})
        assert codec._decode_sound is not None


@pytest.mark.parametrize("model", [*QUICK, *CAREFUL], ids=lambda each: each.__name__)
def test_every_text_in_every_core_field(model: type[Session]) -> None:
    """Whatever stands in a field of a whole model, and where one is missing, or more are there."""
    codec = codec_for(model)
    sound = _encodable(codec)
    assert_alike(codec, sound)
    assert_alike(codec, {**sound, "unknown": "x", "_internal": "y", "odd one": "\udc80"})
    assert_alike(codec, {**sound, "unknown": "x"})
    for name in ("created_at", "expires_at", "ttl", "", "more", "text", "_", "é", "unknown\udc80", "model_config"):
        assert_alike(codec, {**sound, name: "x"})
        assert_alike(codec, {**sound, name: "é", "last": "\udc80"})
    assert_alike(codec, {})
    for each in codec.fields.values():
        assert_alike(codec, {name: text for name, text in sound.items() if name != each.stored_as})
        of_this = each.name not in Session.model_fields or model in (Session, UnknownSession)
        for text in TEXTS if of_this else ():
            assert_alike(codec, {**sound, each.stored_as: text})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
).map(json.dumps)
_ANY_TEXT = st.sampled_from(TEXTS) | st.text(st.characters(), max_size=20) | _JSON | st.integers().map(str)


_unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@cache
def _record(model: type[Session]) -> tuple[Codec[Any], dict[str, str], st.SearchStrategy[dict[str, str | None]]]:
    """A model's codec, a sound hash, and what is changed in it."""
    codec = codec_for(model)
    names = sorted({each.stored_as for each in codec.fields.values()} | {"more", "_ms"})
    return codec, _encodable(codec), st.dictionaries(st.sampled_from(names), st.none() | _ANY_TEXT, max_size=4)


@_unhurried
@given(st.data(), st.sampled_from([*QUICK, *CAREFUL]))
def test_any_record(data: st.DataObject, model: type[Session]) -> None:
    """Several fields at once, of any of the models."""
    codec, sound, changes = _record(model)
    stored = {**sound, **data.draw(changes)}
    assert_alike(codec, {name: text for name, text in stored.items() if text is not None})


@_unhurried
@given(st.dictionaries(st.text(max_size=5), _JSON.map(json.loads), max_size=5))
def test_any_metadata(value: dict[str, Any]) -> None:
    """JSON objects, in either way of writing their texts."""
    for ascii_only in (True, False):
        stored = {**_written(), "metadata": json.dumps(value, ensure_ascii=ascii_only)}
        assert_alike(codec_for(Session), stored)


@_unhurried
@given(_ANY_TEXT | _JSON.map('{{"a":{}}}'.format))
def test_json_objects(text: str) -> None:
    """What reads metadata takes and tells what pydantic's own validator of their type does."""
    found: list[Any] = []
    for read in (json_object, TypeAdapter(dict[str, JsonValue]).validate_json):
        try:
            found.append(read(text))
        except ValueError:
            found.append(ValueError)
    assert _taken_apart(found[0]) == _taken_apart(found[1])


@pytest.mark.parametrize("depth", [199, 200, 201, 202])
def test_nested_as_deep_as_can_be(depth: int) -> None:
    """Neither looks deeper than the other."""
    for text in ('{"a":' * depth + "1" + "}" * depth, '{"a":' + "[" * (depth - 1) + "1" + "]" * (depth - 1) + "}"):
        assert_alike(codec_for(Session), {**_written(), "metadata": text})
    assert isinstance(_told(codec_for(Session).decode, {**_written(), "metadata": text})[2], dict) is (depth <= 200)


def test_which_models_are_decoded_quickly() -> None:
    """Those whose instances are no more than the sum of their fields; a sound record of theirs is in no doubt."""
    for model in QUICK:
        decode = codec_for(model)._decode_sound
        assert decode is not None, model
        stored = {**_encodable(codec_for(model)), "kind": model.kind_name}
        assert decode(stored, ID, TENANT, KEYRING) is not None
        layouts = codec_for(model).layouts
        assert (layouts is None) == codec_for(model)._allows_extra
        if layouts is not None:
            layout = layouts.make(list(stored))
            assert layout is not None
            assert layout.decoder(_flat(stored), ID, TENANT, KEYRING) is not None
    for model in CAREFUL:
        assert codec_for(model)._decode_sound is None, model


def test_a_plain_secret_text_needs_no_validator() -> None:
    """One with a bound, or of a class of its own, does."""

    def kind_of(annotation: Any) -> str:
        shapes = shapes_of(field_model(annotation, ...))
        assert shapes is not None
        return shapes["field"].kind

    assert kind_of(SecretStr) == kind_of(SecretStr | None) == "secret_text"
    for annotation in (Annotated[SecretStr, Field(max_length=9)], SecretBytes, Secret[int], NamedSecret):
        assert kind_of(annotation) == ""


@pytest.mark.parametrize("model", [Session, McpSession, VaultSession, FactorySession])
def test_it_is_an_instance_like_others(model: type[Session]) -> None:
    """Frozen, equal, hashed, copied, pickled and dumped as one that pydantic made; and nothing is shared."""
    codec = codec_for(model)
    stored = {**_encodable(codec), "metadata": '{"a":{"b":[1]}}', "tags": '["x"]'}
    session, other = codec.decode(stored, ID, TENANT, KEYRING), codec.decode_carefully(stored, ID, TENANT, KEYRING)
    assert session == other
    assert repr(session) == repr(other)
    assert session.model_dump() == other.model_dump()
    assert session.model_dump_json(exclude_unset=True) == other.model_dump_json(exclude_unset=True)
    for again in (
        pickle.loads(pickle.dumps(session)),  # noqa: S301
        copy.copy(session),
        copy.deepcopy(session),
        session.model_copy(),
        session.model_copy(deep=True),
    ):
        assert again == session
        assert again.model_fields_set == session.model_fields_set
    with pytest.raises(ValueError, match="frozen"):
        session.owner = "x"  # type: ignore[misc]
    second = codec.decode(stored, ID, TENANT, KEYRING)
    session.metadata["a"] = session.__pydantic_fields_set__.clear()  # type: ignore[func-returns-value]
    assert second == other
    assert second.model_fields_set == other.model_fields_set
    session = codec.decode({**stored, "metadata": "{}"}, ID, TENANT, KEYRING)
    if isinstance(session, FactorySession):
        session.items.append("b")
        session.table["b"] = 2
        assert codec.decode(stored, ID, TENANT).model_dump() == other.model_dump()
