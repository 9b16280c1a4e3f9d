"""What is stored reads back as it is, or is refused before anything is sent."""

from __future__ import annotations

import dataclasses
import enum
import warnings
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given
from pydantic import AliasPath, BaseModel, Field, Json, StringConstraints, computed_field
from tests.store.examples import Colour
from tests.store.test_codec import ID, LIMITS, TENANT, jsons
from typing_extensions import TypedDict

from sojourn import Counter, Indexed, InvalidField, InvalidModel, Log, Session, SessionCorrupt, Status
from sojourn.codec import codec_for, decode_entry, encode_entry
from sojourn.codec.fidelity import same

UUID_TEXT = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
MS = {"created_at_ms": "5", "updated_at_ms": "6", "accessed_at_ms": "7"}


class Aliased(BaseModel):
    """Fields under other names."""

    needed: int = Field(alias="Needed")
    given: int = Field(default=0, alias="given-as")
    read: int = Field(default=0, validation_alias="Read")
    path: int = Field(default=0, validation_alias=AliasPath("a", 1))


class Hidden(BaseModel):
    """A field that is not written."""

    a: int
    b: int = Field(default=0, exclude=True)


class Animal(BaseModel):
    """A base."""

    name: str


class Dog(Animal):
    """What its base does not know."""

    bark: int = 0


class Computed(BaseModel):
    """A field that is written and cannot be read."""

    model_config = {"extra": "forbid"}
    a: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        """Twice `a`."""
        return 2 * self.a


@dataclasses.dataclass
class Point:
    """A dataclass of the standard library."""

    x: int
    tags: list[str] = dataclasses.field(default_factory=list)


class Pair(TypedDict):
    """A typed dictionary with an alias."""

    one: Annotated[int, Field(alias="One")]


def model_of(annotation: Any) -> type[Session]:
    """Return a model with one field."""
    return type("OneSession", (Session,), {"__annotations__": {"field": annotation}, "__module__": __name__})


LOST: dict[str, tuple[Any, Any]] = {
    "excluded": (Hidden, Hidden(a=1, b=2)),
    "subclass": (Animal, Dog(name="a", bark=1)),
    "subclass in a list": (list[Animal], [Dog(name="a")]),
    "text for bytes": (bytes | str, "abcd"),
    "text like a UUID": (UUID | str, UUID_TEXT),
    "datetime after text": (str | datetime, datetime(2024, 1, 1, tzinfo=UTC)),
    "tuple": (Any, (1, 2)),
    "tuple in a mapping": (Any, {"a": [(1,)]}),
    "set": (Any, {1}),
    "bytes": (Any, b"x"),
    "datetime": (Any, datetime(2024, 1, 1, tzinfo=UTC)),
    "enum": (Any, Colour.RED),
    "key": (dict[Any, int], {1: 1}),
    "model in Any": (Any, Animal(name="x")),
}
KEPT: dict[str, tuple[Any, Any]] = {
    "aliases": (Aliased, Aliased.model_validate({"Needed": 1, "given-as": 2, "Read": 3, "a": [0, 4]})),
    "aliases in a list": (list[Aliased], [Aliased.model_validate({"Needed": 1, "given-as": 2})]),
    "not excluded": (Hidden, Hidden(a=1)),
    "base": (Animal, Animal(name="x")),
    "computed": (Computed, Computed(a=2)),
    "bytes": (bytes | str, b"abcd"),
    "UUID": (str | UUID, UUID(UUID_TEXT)),
    "decimal": (Decimal | str, Decimal("1.50")),
    "datetime": (datetime | str, datetime(2024, 1, 1, 12, tzinfo=UTC)),
    "text or number": (int | str, "1"),
    "bool or number": (bool | int, 1),
    "anything": (Any, {"a": [1, 1.0, True, None, "x"]}),
    "dataclass": (Point, Point(1, ["a"])),
    "dataclass or none": (Point | None, Point(1)),
    "typed dictionary": (Pair, {"one": 1}),
    "pattern": (Annotated[str, StringConstraints(pattern="a+")], "aa"),
    "set of enums": (frozenset[Colour], frozenset({Colour.RED})),
}


@pytest.mark.parametrize("name", sorted(LOST))
def test_refused_for_what_would_be_lost(name: str) -> None:
    """By create, update and append alike, and without showing the value."""
    annotation, value = LOST[name]
    codec = codec_for(model_of(annotation))
    for call in (
        lambda: codec.encode_new({"field": value}, ID, TENANT, LIMITS),
        lambda: codec.encode_changes({"field": value}, LIMITS),
        lambda: encode_entry(Log(annotation, "field"), value, LIMITS),
    ):
        with pytest.raises(InvalidField, match="field") as caught:
            call()
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", sorted(KEPT))
def test_kept(name: str) -> None:
    """The same, in value and type, after creating, updating and appending."""
    annotation, value = KEPT[name]
    codec = codec_for(model_of(annotation))
    made, encoded = codec.encode_new({"field": value}, ID, TENANT, LIMITS)
    whole = {**encoded, "id": ID, "tenant": TENANT, "kind": "one", "version": "1", **MS}
    changed = codec.encode_changes({"field": value}, LIMITS)
    for session in (made, codec.decode(whole, ID, TENANT), codec.decode({**whole, **changed.set}, ID, TENANT)):
        assert same(session.field, value)  # type: ignore[attr-defined]
    log: Log[Any] = Log(annotation, "field")
    assert same(decode_entry(log, encode_entry(log, value, LIMITS), ID, TENANT), value)


def test_nested_fields_are_given_by_name_or_alias() -> None:
    """Plain mappings serve for nested models, by create and by update."""
    codec: Any = codec_for(model_of(Aliased))
    for given_as in ({"Needed": 1, "given-as": 2}, {"needed": 1, "given": 2}):
        made = codec.encode_new({"field": given_as}, ID, TENANT, LIMITS)[0]
        assert (made.field.needed, made.field.given) == (1, 2)
        assert codec.encode_changes({"field": given_as}, LIMITS).set["field"] == (
            '{"Needed":1,"given-as":2,"read":0,"path":0}'
        )


def test_what_a_reader_would_validate_to_something_else() -> None:
    """A type that reads another form than it is, is refused when it is written."""
    with pytest.raises(InvalidField, match="field"):
        codec_for(model_of(Json[list[int]])).encode_new({"field": "[1]"}, ID, TENANT, LIMITS)


def test_no_warnings() -> None:
    """What does not fit is told by an error alone."""
    not_validated: dict[str, Any] = {"name": 5}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InvalidField):
            codec_for(model_of(Animal)).encode_new(
                {"field": Animal.model_construct(**not_validated)}, ID, TENANT, LIMITS
            )


@given(jsons, jsons)
def test_same_is_stricter_than_equal(one: Any, other: Any) -> None:
    """A value is the same as itself, and what is the same is equal."""
    assert same(one, one)
    if same(one, other):
        assert one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1], [True]), ({1}, {True}), ({"a": 1}, {"a": 1.0}), ([1], [1, 2]), ({"a": 1}, {}), ({1: 0}, {True: 0}),
        (Point(1), Point(2)), (Dog(name="x"), Animal(name="x")), ((1,), [1]), ({"a": 1}, {"b": 1}),
    ],
)  # fmt: skip
def test_not_the_same(one: Any, other: Any) -> None:
    """What == passes over."""
    assert not same(one, other)
    assert not same([one], [other])


class Mixed(enum.Enum):
    """Members that are written alike."""

    TEXT = "1"
    NUMBER = 1


@pytest.mark.parametrize(
    "annotation", [Mixed, Annotated[Mixed, Indexed()], "NotDeclared", list["NotDeclared"]],  # type: ignore[name-defined]  # noqa: F821
    ids=range(4),
)  # fmt: skip
def test_types_that_cannot_be_stored(annotation: Any) -> None:
    """They are refused when the model is first used, in one line."""
    with pytest.raises(InvalidModel) as caught:
        codec_for(model_of(annotation))
    assert "OneSession" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("entry", ["NotDeclared", object()])
def test_logs_that_cannot_be_stored(entry: Any) -> None:
    """They are refused when they are first used."""
    with pytest.raises(InvalidModel, match="log 'lines'"):
        encode_entry(Log(entry, "lines"), 1, LIMITS)


@pytest.mark.parametrize("model", [int, BaseModel, "x", None, []])
def test_no_models(model: Any) -> None:
    """Whatever is no model is told so."""
    with pytest.raises(InvalidModel, match="subclass"):
        codec_for(model)


@pytest.mark.parametrize(
    ("name", "annotation", "default"),
    [
        ("version", Annotated[int, Counter()], 0),
        ("version", int, 1),
        ("status", Annotated[Status, Indexed()], Status.PENDING),
        ("status", Status, Status.IN_PROGRESS),
        ("owner", Annotated[str, Indexed()], ...),
        ("owner", Annotated[str | None, Indexed()], "ada"),
        ("tags", Annotated[tuple[str, ...], Indexed(), Field(max_length=2)], ()),
        ("metadata", dict[str, int], {}),
        ("client_type", str, "web"),
        ("end_reason", Annotated[str | None, Indexed()], None),
    ],
)
def test_sojourns_own_fields_stay_as_they_are(name: str, annotation: Any, default: Any) -> None:
    """A store of `Session` writes them for every model, which must then be able to read them."""
    body = {"__annotations__": {name: annotation}, "__module__": __name__}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = type("OwnSession", (Session,), body if default is ... else body | {name: default})
    with pytest.raises(InvalidModel, match=f"OwnSession.{name}"):
        codec_for(model)


def test_aliases_of_one_field_that_name_another() -> None:
    """They would give the one the other's value."""

    class MixedSession(Session):
        a: int = Field(default=0, alias="b")
        b: int = 0

    with pytest.raises(InvalidModel, match=r"MixedSession\.a"):
        codec_for(MixedSession)


def test_counters_are_exact() -> None:
    """Beyond 2**53 the scripts could not count on."""

    class CountSession(Session):
        n: Annotated[int, Counter()] = 0

    codec = codec_for(CountSession)
    for number in (2**53 - 1, -(2**53) + 1):
        assert codec.encode_changes({"n": number}, LIMITS).set == {"n": str(number)}
    for number in (2**53, -(2**53), 2**60):
        with pytest.raises(InvalidField, match="n"):
            codec.encode_new({"n": number}, ID, TENANT, LIMITS)
        with pytest.raises(InvalidField, match="n"):
            codec.encode_changes({"n": number}, LIMITS)


@pytest.mark.parametrize("name", ["client_type", "owner", "end_reason"])
def test_text_that_is_no_unicode_is_damage(name: str) -> None:
    """A byte that no text has is not handed on as half a character."""
    codec = codec_for(Session)
    encoded = codec.encode_new({}, ID, TENANT, LIMITS)[1]
    whole = {**encoded, "id": ID, "tenant": TENANT, "kind": "session", "version": "1", **MS}
    assert getattr(codec.decode({**whole, name: "ü"}, ID, TENANT), name) == "ü"
    with pytest.raises(SessionCorrupt) as caught:
        codec.decode({**whole, name: "\udcff"}, ID, TENANT)
    assert caught.value.field == name
