"""Fields that are secrets: what they take, how they come back, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue, PlainSerializer, Secret, SecretBytes, SecretStr, field_validator
from tests.drivers import StoreOpener
from tests.store.secrets.examples import FIRST, SECOND, VaultSession, revealed
from tests.store.test_codec import ID, LIMITS, TENANT, jsons
from typing_extensions import TypedDict

from sojourn import Counter, Indexed, InvalidField, InvalidModel, Limits, Log, Session, SettingsError
from sojourn.codec import Codec, codec_for
from sojourn.sealing import Keyring, Sealer, parse_keys, settled

KEYRING = Keyring(parse_keys([(FIRST, "here")]))
_CORE = {
    "id": ID, "tenant": TENANT, "version": "1", "created_at_ms": "1000", "updated_at_ms": "1000",
    "accessed_at_ms": "1000",
}  # fmt: skip


class Day(Secret[date]):
    """A class of one's own, made from a parametrized one."""

    def _display(self) -> str:
        return "****-**-**"


class Token(SecretStr):
    """A subclass."""


def model_of(annotation: Any) -> type[Session]:
    """Return a model with one field."""
    return type("OneSession", (Session,), {"__annotations__": {"field": annotation}, "__module__": __name__})


def there_and_back(codec: Codec[Any], value: Any, **more: Any) -> tuple[Any, dict[str, str]]:
    """Return what a field reads as, by create and by update, and the stored texts."""
    made, encoded = codec.encode_new({"field": value}, ID, TENANT, LIMITS, KEYRING, **more)
    whole = {**encoded, **_CORE, "kind": codec.kind}
    changed = codec.encode_changes({"field": value}, LIMITS, Sealer(KEYRING, TENANT, ID)).set
    read = codec.decode(whole, ID, TENANT, KEYRING)
    updated = codec.decode({**whole, **changed}, ID, TENANT, KEYRING)
    assert made.field == read.field == updated.field
    assert type(made.field) is type(settled(read.field))
    return read.field, encoded


_TEXT = codec_for(model_of(SecretStr))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_text_comes_back(text: str) -> None:
    """Any text, NULs among it, sealed and of the same type."""
    found, encoded = there_and_back(_TEXT, SecretStr(text))
    assert type(settled(found)) is SecretStr
    assert found.get_secret_value() == text
    assert encoded["field"].startswith("sealed:1:first:")


_BYTES = codec_for(model_of(SecretBytes))


@given(st.binary(max_size=100))
def test_bytes_come_back(raw: bytes) -> None:
    """Any bytes."""
    found, _ = there_and_back(_BYTES, raw)
    assert type(found) is SecretBytes
    assert found.get_secret_value() == raw


_JSON = codec_for(model_of(Secret[JsonValue]))


@given(jsons)
def test_json_comes_back(value: Any) -> None:
    """Any JSON, as deep and long as other fields may be."""
    found, _ = there_and_back(_JSON, Secret(value))
    assert type(found) is Secret
    assert found.get_secret_value() == value


@pytest.mark.parametrize(
    ("annotation", "value", "inner"),
    [
        (Day, Day(date(2024, 2, 29)), date(2024, 2, 29)),
        (Token, Token("abc"), "abc"),
        (Annotated[SecretStr, Field(min_length=2)], "ab", "ab"),
        (Secret[Annotated[int, Field(gt=0)]], 3, 3),
        (SecretStr | None, None, None),
        (SecretStr | None, "", ""),
        (SecretStr | None, "null", "null"),
        (Secret[list[int] | None] | None, [1], [1]),
    ],
    ids=range(8),
)
def test_other_types_come_back(annotation: Any, value: Any, inner: Any) -> None:
    """Classes of one's own, constraints, and None where it is not the default: that is sealed, too."""
    found, encoded = there_and_back(codec_for(model_of(annotation)), value)
    assert (found if found is None else found.get_secret_value()) == inner
    assert encoded["field"].startswith("sealed:1:")


def test_same_value_is_sealed_differently_each_time() -> None:
    """Whoever sees two texts does not learn whether they hold the same."""
    codec = codec_for(model_of(SecretStr))
    texts = {codec.encode_new({"field": "x"}, ID, TENANT, LIMITS, KEYRING)[1]["field"] for _ in range(20)}
    assert len(texts) == 20


class Inner(BaseModel):
    """Holds one."""

    word: SecretStr


@dataclasses.dataclass
class Plain:
    """Holds one, too."""

    word: Secret[int]


class Typed(TypedDict):
    """And so does this."""

    word: SecretBytes


NESTED = [
    list[SecretStr], dict[str, SecretBytes], tuple[int, Secret[int]], Inner, Plain, Typed, Inner | None,
    SecretStr | str, SecretStr | SecretBytes, list[Day], Secret[SecretStr], Secret[Inner], Secret[list[Secret[int]]],
    list[Annotated[SecretStr, PlainSerializer(lambda value: value.get_secret_value())]],
]  # fmt: skip


@pytest.mark.parametrize("annotation", NESTED, ids=range(len(NESTED)))
def test_nested_secrets_are_refused(annotation: Any) -> None:
    """They would be lost, or stored in clear."""
    with pytest.raises(InvalidModel, match=r"OneSession\.field"):
        codec_for(model_of(annotation))
    model = type("LogSession", (Session,), {"entries": Log(annotation), "__annotations__": {"entries": ClassVar[Any]}})
    if "Secret" not in str(getattr(annotation, "__origin__", "")):
        with pytest.raises(InvalidModel, match="log 'entries'"):
            codec_for(model)


@pytest.mark.parametrize(
    "annotation", [Annotated[SecretStr, Indexed()], Annotated[SecretStr | None, Indexed()], Annotated[Day, Indexed()],
                   Annotated[SecretStr, Counter()]], ids=range(4),
)  # fmt: skip
def test_secrets_are_no_indexes_and_no_counters(annotation: Any) -> None:
    """Both would hold the value in clear."""
    with pytest.raises(InvalidModel, match=r"OneSession\.field"):
        codec_for(model_of(annotation))


class PickySession(Session):
    """Its validators say too much."""

    word: Annotated[SecretStr, Field(min_length=5)]
    key: SecretStr | None = Field(default=None, alias="Key")
    box: Secret[dict[str, int]] | None = None

    @field_validator("key")
    @classmethod
    def _begins_well(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith("sk-"):
            raise ValueError(f"{value.get_secret_value()} does not begin with sk-")
        return value


@pytest.mark.parametrize(
    "fields",
    [
        {"word": "abcd"},
        {"word": ["hunter2"]},
        {"word": b"hunter2\xff"},
        {"word": "hunter2\ud800"},
        {"key": "hunter2"},
        {"Key": "hunter2"},
        {"box": {"hunter2": "hunter2"}},
        {"box": Secret({"hunter2": object()})},
        {"word": "hunter2" * 200},
        {"box": Secret({"hunter2": "x" * 2000})},
    ],
    ids=range(10),
)
def test_refusals_tell_nothing(fields: dict[str, Any]) -> None:
    """Not the value, not its length, and no error that holds it hangs on to the one that is raised."""
    codec = codec_for(PickySession)
    limits = Limits(field_bytes=1000)
    calls: list[Callable[[], Any]] = [
        lambda: codec.encode_new({"word": "good enough", **fields}, ID, TENANT, limits, KEYRING),
        lambda: codec.encode_changes(fields, limits, Sealer(KEYRING, TENANT, ID)),
    ]
    for call in calls:
        with pytest.raises(InvalidField) as caught:
            call()
        assert "hunter2" not in str(caught.value)
        assert not any(digit in str(caught.value) for digit in ("4", "1400", "1402"))
        assert caught.value.__context__ is None


def test_missing_secret_is_told() -> None:
    """That a field is required is no secret."""
    with pytest.raises(InvalidField, match=r"word.*required"):
        codec_for(PickySession).encode_new({}, ID, TENANT, LIMITS, KEYRING)


def test_input_limits_hold_for_what_is_inside() -> None:
    """Depth and size are those of the value in clear."""
    deep: Any = 1
    for _ in range(40):
        deep = [deep]
    with pytest.raises(InvalidField, match="deeper"):
        _JSON.encode_new({"field": Secret(deep)}, ID, TENANT, LIMITS, KEYRING)
    codec = codec_for(model_of(SecretStr))
    codec.encode_new({"field": "x" * 100}, ID, TENANT, Limits(field_bytes=100), KEYRING)
    with pytest.raises(InvalidField, match="100 bytes"):
        codec.encode_new({"field": "x" * 101}, ID, TENANT, Limits(field_bytes=100), KEYRING)


def test_a_store_keeps_secrets(open_store: StoreOpener) -> None:
    """Create, get, list, update, mutate and edit, each way."""
    store = open_store(VaultSession, secret_keys=(FIRST,))
    made = store.create(password="pa", blob=b"\x00\xff", credentials={"a": "b"})
    assert revealed(made) == revealed(store.get(made.id)) == ("pa", b"\x00\xff", {"a": "b"})
    assert revealed(store.list().sessions[0]) == revealed(made)
    assert revealed(store.get_many([made.id])[0]) == revealed(made)
    assert revealed(store.update(made.id, password="pb")) == ("pb", b"\x00\xff", {"a": "b"})
    mutated = store.mutate(made.id, lambda each: {"blob": each.blob.get_secret_value() + b"!"})
    assert revealed(mutated) == ("pb", b"\x00\xff!", {"a": "b"})
    with store.editing(made.id) as draft:
        draft.credentials.get_secret_value()["c"] = "d"
        draft.password = None
    assert revealed(store.get(made.id)) == (None, b"\x00\xff!", {"a": "b", "c": "d"})
    assert revealed(store.complete(made.id)) == (None, b"\x00\xff!", {"a": "b", "c": "d"})


def test_what_stays_is_not_sealed_anew(open_any_store: StoreOpener, any_redis_url: str) -> None:
    """Nor told as changed, even where it was assigned."""
    import redis

    store = open_any_store(VaultSession, secret_keys=(FIRST,))
    session = store.create(password="pa", credentials={"a": "b"})
    key = store._context.keys.session(session.id)
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as raw:
        before = raw.hmget(key, "password", "credentials")
        store.mutate(session.id, lambda each: {"note": "x", "password": each.password})
        with store.editing(session.id) as draft:
            draft.password = SecretStr("pa")
            draft.credentials = copy.deepcopy(draft.credentials)
            draft.note = "y"
        store.increment(session.id, visits=1)
        assert raw.hmget(key, "password", "credentials") == before
        events = raw.xrange(store._context.keys.partition.events)
    assert all("sealed" not in fields["changes"] + fields["before"] for _, fields in events)


def test_without_a_keyring(open_any_store: StoreOpener) -> None:
    """A secret cannot be written, and it is said what to do; all else works."""
    store = open_any_store(VaultSession)
    session = store.create(note="x")
    calls: list[Callable[[], Any]] = [
        lambda: store.create(password="hunter2"),
        lambda: store.update(session.id, password="hunter2"),
        lambda: store.mutate(session.id, lambda _: {"password": "hunter2"}),
    ]
    for call in calls:
        with pytest.raises(SettingsError, match="sojourn secrets keygen") as caught:
            call()
        assert "hunter2" not in str(caught.value)
    assert store.update(session.id, note="y", password=None).note == "y"


def test_keys_rotate(open_any_store: StoreOpener) -> None:
    """The last key seals, all open, wherever they come from."""
    old = open_any_store(VaultSession, secret_keys=(FIRST,))
    session = old.create(password="pa")
    new = open_any_store(VaultSession, secret_keys=(FIRST, SECOND))
    assert revealed(new.get(session.id))[0] == "pa"
    new.update(session.id, credentials={"x": "y"})
    assert revealed(new.get(session.id)) == ("pa", None, {"x": "y"})
    latest = open_any_store(VaultSession, secret_keys=(SECOND,)).get(session.id)
    assert revealed(latest.model_copy(update={"password": None})) == (None, None, {"x": "y"})
