"""Secrets that cannot be opened: swapped, damaged, or under a key that is missing. The rest of the record loads."""

from __future__ import annotations

import base64
import copy
import pickle
import traceback
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, Secret, SecretBytes, SecretStr, TypeAdapter, field_validator, model_validator
from tests.drivers import StoreOpener
from tests.store.secrets.examples import FIRST, SECOND, VaultSession, revealed

from sojourn import SecretUnreadable, Session, SessionStore
from sojourn.sealing import Keyring, Sealer, Unreadable, parse_keys

PLANTED = "hunter2-planted"


def key_of(store: Any, session: Session) -> str:
    """Return the key of a session's record."""
    return str(store._context.keys.session(session.id))


def check_unreadable(session: Any, field: str, kind: type[Any]) -> None:
    """Check that a field holds an unreadable secret, which stays one whatever is done with it."""
    value = getattr(session, field)
    assert isinstance(value, kind)
    for each in (value, copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301
        assert each == value
        assert hash(each) == hash(value)
        assert bool(each)
        with pytest.raises(SecretUnreadable) as caught:
            each.get_secret_value()
        assert (caught.value.session_id, caught.value.tenant, caught.value.field) == (
            session.id, session.tenant, field,
        )  # fmt: skip
    assert repr(value) == repr(kind(b"x" if kind is SecretBytes else "x"))
    assert str(value) == str(kind(b"x" if kind is SecretBytes else "x"))
    assert value != kind(b"x" if kind is SecretBytes else "x")
    assert kind(b"x" if kind is SecretBytes else "x") != value
    assert session.model_dump()[field] is value
    assert session.model_dump(mode="json")[field] == "**********"
    assert '"**********"' in session.model_dump_json(include={field})
    assert b'"**********"' in TypeAdapter(list[VaultSession]).dump_json([session], include={0: {field}})
    for whole in (copy.deepcopy(session), pickle.loads(pickle.dumps(session)), session.model_copy()):  # noqa: S301
        assert whole == session
        assert repr(whole) == repr(session)


KINDS = {"password": SecretStr, "blob": SecretBytes, "credentials": Secret}


def test_missing_key(open_any_store: StoreOpener, vault: SessionStore[VaultSession]) -> None:
    """With no keyring or another one, each of the three is of its type, and all else is as it was."""
    made = vault.create(password=PLANTED, blob=PLANTED.encode(), credentials={"a": PLANTED}, note="n", owner="ada")
    for keys in ((), (SECOND,)):
        store = open_any_store(VaultSession, secret_keys=keys)
        for session in (store.get(made.id), store.list().sessions[0], store.get_many([made.id])[0]):
            assert session is not None
            assert (session.note, session.owner, session.version) == ("n", "ada", 1)
            for field, kind in KINDS.items():
                check_unreadable(session, field, kind)


def test_other_fields_are_still_written(open_any_store: StoreOpener, vault: SessionStore[VaultSession]) -> None:
    """By every call, and what cannot be opened stays as it is stored."""
    made = vault.create(password="pa", blob=b"pb", credentials={"a": "b"})
    store = open_any_store(VaultSession)
    assert store.update(made.id, note="1").note == "1"
    assert store.mutate(made.id, lambda each: {"note": (each.note or "") + "2"}).note == "12"
    with store.editing(made.id) as draft:
        assert isinstance(draft.password, SecretStr)
        draft.note = draft.note + "3"
        draft.password = draft.password
    assert store.increment(made.id, visits=1) == {"visits": 1}
    store.set_ttl(made.id, 100)
    store.touch(made.id)
    assert store.complete(made.id).note == "123"
    assert revealed(vault.get(made.id)) == ("pa", b"pb", {"a": "b"})


def _only(fields: dict[str, Any], _: Session) -> dict[str, Any]:
    return fields


def test_an_unreadable_value_is_written_nowhere(open_any_store: StoreOpener, vault: SessionStore[VaultSession]) -> None:
    """Not into the same session, another or a new one: the error names where the value comes from."""
    made = vault.create(password="pa", credentials={"a": "b"})
    other = vault.create()
    blind = open_any_store(VaultSession, secret_keys=(SECOND,)).get(made.id)
    for fields in ({"password": blind.password}, {"credentials": blind.credentials}):
        calls: list[Callable[[], Any]] = [
            partial(vault.create, **fields), partial(vault.update, other.id, **fields),
            partial(vault.mutate, other.id, partial(_only, fields)),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(SecretUnreadable) as caught:
                call()
            assert caught.value.session_id == made.id
    assert revealed(vault.get(other.id)) == (None, None, None)
    assert vault.count() == 2


def test_one_who_can_open_replaces_it(open_any_store: StoreOpener, vault: SessionStore[VaultSession]) -> None:
    """A new value needs no look at the old one."""
    made = vault.create(password="pa")
    other = open_any_store(VaultSession, secret_keys=(SECOND,))
    assert revealed(other.update(made.id, password="new"))[0] == "new"
    with other.editing(made.id) as draft:
        draft.password = SecretStr("newer")
    assert revealed(other.get(made.id))[0] == "newer"


@pytest.mark.beyond_one_tenant
def test_swapped_texts(vault: SessionStore[VaultSession], client: Any) -> None:
    """A text from another field, session or tenant is not opened, whatever was copied where."""
    one, two = vault.create(password="pa", blob=b"pb"), vault.create(password="pc")
    acme = vault.for_tenant("acme")
    theirs = acme.create(password="pd")
    texts = client.hgetall(key_of(vault, one))
    client.hset(key_of(vault, one), mapping={"password": texts["blob"], "blob": texts["password"]})
    swapped = vault.get(one.id)
    check_unreadable(swapped, "password", SecretStr)
    check_unreadable(swapped, "blob", SecretBytes)
    for target, text in ((two, texts["password"]), (two, client.hget(key_of(acme, theirs), "password"))):
        client.hset(key_of(vault, target), "password", text)
        check_unreadable(vault.get(target.id), "password", SecretStr)
    client.hset(key_of(acme, theirs), "password", texts["password"])
    check_unreadable(acme.get(theirs.id), "password", SecretStr)
    client.hset(key_of(vault, one), mapping={"password": texts["password"], "blob": texts["blob"]})
    assert revealed(vault.get(one.id))[:2] == ("pa", b"pb")


@pytest.mark.beyond_one_tenant
def test_same_id_in_another_tenant(vault: SessionStore[VaultSession], client: Any) -> None:
    """The tenant is bound as well as the id: a whole record that was copied over is not opened there."""
    one = vault.create(password="pa")
    acme = vault.for_tenant("acme")
    stored = client.hgetall(key_of(vault, one))
    client.hset(key_of(acme, one), mapping={**stored, "tenant": "acme"})
    check_unreadable(acme.get(one.id), "password", SecretStr)


def _damaged(text: str) -> list[str]:
    head, body = text.rsplit(":", 1)
    flipped = [
        f"{head}:{body[:at]}{'A' if body[at] != 'A' else 'B'}{body[at + 1 :]}" for at in (0, 8, 17, 25, len(body) - 4)
    ]
    return [
        *flipped, f"{head}:{body[:-2]}", f"{head}:{body}AA", f"{head}:", head, f"{head}:{'A' * 37}",
        f"{head}:{'A' * 38}",
        f"{head}:{body}=", f"{head}:{body}\n", f"{head}:!{body[1:]}", text.replace("sealed:1", "sealed:2"),
        text.replace(":first:", ":second:"), text.replace(":first:", "::"), PLANTED, "", "null", '"x"', "x" * 100_000,
        "sealed:1:first:" + "\u00fc" * 40, f" {text}", text.upper(),
    ]  # fmt: skip


def test_damaged_texts(vault: SessionStore[VaultSession], client: Any) -> None:
    """A bit of nonce, ciphertext or tag, a cut or odd text, or clear text: never a value, and no error on reading."""
    one = vault.create(password="pa", note="n")
    key = key_of(vault, one)
    text = client.hget(key, "password")
    for each in _damaged(text):
        client.hset(key, "password", each)
        session = vault.get(one.id)
        assert session.note == "n"
        check_unreadable(session, "password", SecretStr)
        with pytest.raises(SecretUnreadable):
            session.password.get_secret_value()  # type: ignore[union-attr]
    client.hset(key, "password", b"\xff\xfe")
    check_unreadable(vault.get(one.id), "password", SecretStr)
    client.hset(key, "password", text)
    assert revealed(vault.get(one.id))[0] == "pa"


SEALER = Sealer(Keyring(parse_keys([(FIRST, "here")])), "acme", "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")


@given(
    st.one_of(
        st.text(),
        st.binary().map(lambda raw: "sealed:1:first:" + base64.b64encode(raw).decode()),
        st.from_regex(r"sealed:1:(first|second):[A-Za-z0-9+/]{36,60}", fullmatch=True),
    )
)
def test_any_text(text: str) -> None:
    """Whatever is in the field, nothing but the one error comes of it."""
    with pytest.raises(SecretUnreadable):
        SEALER.open("word", text)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), st.data())
def test_any_change_of_a_sealed_text(clear: str, data: st.DataObject) -> None:
    """Each character counts: with another one in its place, nothing is opened, or the same value."""
    text = SEALER.seal("word", clear)
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii"))
    assert SEALER.open("word", text) == clear
    try:
        assert SEALER.open("word", text[:at] + other + text[at + 1 :]) == clear
    except SecretUnreadable:
        assert other != text[at]
    for sealer, field in (
        (SEALER, "wor"),
        (SEALER._replace(tenant="acm"), "word"),
        (SEALER._replace(session_id=""), "word"),
    ):
        with pytest.raises(SecretUnreadable):
            sealer.open(field, text)


def test_clear_text_in_the_field_is_shown_by_nothing(vault: SessionStore[VaultSession], client: Any) -> None:
    """Other hands put it there; still neither the session nor a traceback tells it."""
    one = vault.create(password="pa")
    client.hset(key_of(vault, one), "password", PLANTED)
    session = vault.get(one.id)
    told = [repr(session), session.model_dump_json(), str(vars(session.password)), repr(pickle.dumps(session))]
    try:
        session.password.get_secret_value()  # type: ignore[union-attr]
    except SecretUnreadable:
        told.append(traceback.format_exc())
    assert len(told) == 5
    assert not [each for each in told if PLANTED in each]


class CuriousSession(Session):
    """Validators that look at the secrets."""

    word: Annotated[SecretStr, Field(min_length=2)]
    box: Secret[dict[str, int]] | None = None
    echo: str = ""
    low: int = 0
    high: int = 10
    items: list[int] = Field(default_factory=list)

    @field_validator("word")
    @classmethod
    def _no_space(cls, value: SecretStr) -> SecretStr:
        if " " in value.get_secret_value():
            raise ValueError("no spaces")
        return value

    @model_validator(mode="after")
    def _known(self) -> CuriousSession:
        assert self.word.get_secret_value() != "none"
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


def test_validators_that_ask_for_the_value(open_any_store: StoreOpener) -> None:
    """Such a model still loads, without them; fields that have defaults have them."""
    store = open_any_store(CuriousSession, secret_keys=(FIRST,))
    made = store.create(word="abc", box={"a": 1}, low=3)
    blind = open_any_store(CuriousSession)
    session = blind.get(made.id)
    assert type(session) is CuriousSession
    assert [isinstance(each, Unreadable) for each in (session.word, session.box)] == [True, True]
    assert (session.low, session.high, session.items, session.echo, session.version) == (3, 10, [], "", 1)
    assert session.model_dump_json() == store.get(made.id).model_dump_json()
    assert blind.mutate(made.id, lambda each: {"low": each.low + 1}).low == 4
    with blind.editing(made.id) as draft:
        draft.items.append(1)
    after = store.get(made.id)
    assert (after.low, after.items, after.word.get_secret_value()) == (4, [1], "abc")
    with pytest.raises(Exception, match="low is above high"):
        store.mutate(made.id, lambda _: {"low": 11})
