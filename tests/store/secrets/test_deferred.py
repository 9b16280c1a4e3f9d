"""Secrets are opened when they are first asked for, and nobody can tell but by the time that it takes."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter
from tests.drivers import StoreOpener
from tests.store.cache.conftest import tracking, warm
from tests.store.secrets.examples import FIRST, SECOND, VaultSession

from sojourn import Cache, SecretUnreadable, SessionStore, Settings
from sojourn.sealing import Deferred, Unreadable, open_sealed, settled, unopened

CLEAR = "hunter2-deferred"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the fields of the secrets that are opened, as they are."""
    found: list[str] = []
    before = open_sealed

    def open_it(keyring: Any, tenant: str, session_id: str, field: str, text: str) -> str:
        found.append(field)
        return before(keyring, tenant, session_id, field, text)

    monkeypatch.setattr(unopened, "open_sealed", open_it)
    return found


def test_it_is_opened_once_and_when_asked_for(vault: SessionStore[VaultSession], opened: list[str]) -> None:
    """Not by reading, listing, or by writing other fields; and its clear text is nowhere until then."""
    made = vault.create(password=CLEAR)
    session = vault.get(made.id)
    vault.list()
    vault.update(made.id, note="n")
    with vault.editing(made.id) as draft:
        draft.note = "m"
    assert opened == []
    assert isinstance(session.password, SecretStr)
    held = vars(session.password)
    assert not [each for each in gc.get_referents(held, *held.values()) if isinstance(each, str) and CLEAR in each]
    assert session.password.get_secret_value() == CLEAR
    assert (len(session.password), bool(session.password), str(session.password)) == (16, True, "**********")
    assert opened == ["password"]


WAYS: list[Callable[[Any], Any]] = [
    repr, str, hash, len, bool, copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each)),  # noqa: S301
    lambda each: each == SecretStr(CLEAR), lambda each: SecretStr(CLEAR) == each, lambda each: each != SecretStr(""),
    lambda each: f"{each} {each!r}", lambda each: each.get_secret_value(), lambda each: {each: 1}[SecretStr(CLEAR)],
    SecretStr.get_secret_value, SecretStr.__len__, lambda each: type(each)("new"),
    lambda each: TypeAdapter(type(each)).validate_python("new"),
    lambda each: [pickle.loads(pickle.dumps(each, protocol)) for protocol in range(6)],  # noqa: S301
    lambda each: b"sojourn" in pickle.dumps(each),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_whatever_is_asked_of_it(vault: SessionStore[VaultSession], number: int) -> None:
    """It answers as the SecretStr that pydantic would have made."""
    made = vault.create(password=CLEAR)
    first, plain = vault.get(made.id).password, SecretStr(CLEAR)
    assert type(first) is Deferred
    assert WAYS[number](first) == WAYS[number](plain)
    assert first == vault.get(made.id).password
    assert type(pickle.loads(pickle.dumps(first))) is SecretStr  # noqa: S301


def test_dumps(vault: SessionStore[VaultSession]) -> None:
    """A session dumps as one whose secrets were never sealed, an empty one among them."""
    for clear in (CLEAR, ""):
        made = vault.create(password=clear)
        read, again = vault.get(made.id), vault.get(made.id)
        known = read.model_copy(update={"password": SecretStr(clear)})
        assert read.model_dump_json() == known.model_dump_json()
        assert again.model_dump(mode="json") == known.model_dump(mode="json")
        assert again.model_dump() == known.model_dump()
        assert vault.get(made.id) == known == vault.get(made.id)
        assert repr(vault.get(made.id)) == repr(known)


def test_it_can_be_written_elsewhere(vault: SessionStore[VaultSession], client: Any) -> None:
    """Into another session, a new one, and its own, where it is not sealed anew."""
    one, two = vault.create(password=CLEAR), vault.create()
    key = vault._context.keys.session(one.id)
    sealed = client.hget(key, "password")
    _written_elsewhere(vault, one, two)
    assert client.hget(key, "password") == sealed


def _written_elsewhere(vault: SessionStore[VaultSession], one: VaultSession, two: VaultSession) -> None:
    vault.update(two.id, password=vault.get(one.id).password)
    three = vault.create(password=vault.get(one.id).password)
    same = vault.mutate(one.id, lambda each: {"password": each.password})
    for each in (vault.get(two.id), vault.get(three.id), same):
        assert each.password is not None
        assert each.password.get_secret_value() == CLEAR
    with vault.editing(one.id) as draft:
        draft.password = SecretStr(CLEAR)


def test_one_that_cannot_be_opened(vault: SessionStore[VaultSession], client: Any) -> None:
    """It says so each time that it is asked, and is told apart from others; it is masked all the same."""
    one, two = vault.create(password=CLEAR), vault.create(password=CLEAR)
    text = client.hget(vault._context.keys.session(two.id), "password")
    client.hset(vault._context.keys.session(one.id), "password", text)
    session = vault.get(one.id)
    assert type(session.password) is Deferred
    assert session.model_dump(mode="json")["password"] == "**********"
    for _ in range(2):
        with pytest.raises(SecretUnreadable, match=one.id):
            session.password.get_secret_value()
    assert isinstance(settled(session.password), Unreadable)
    assert session.password == vault.get(one.id).password
    assert vault.get(one.id).password == settled(session.password)
    assert settled(session.password) == vault.get(one.id).password
    assert session.password != vault.get(two.id).password
    assert vault.get(two.id).password != session.password
    assert session.password != SecretStr(CLEAR)
    assert SecretStr(CLEAR) != session.password


def test_another_key(open_any_store: StoreOpener, vault: SessionStore[VaultSession]) -> None:
    """A key that the keyring lacks is noticed when the value is asked for."""
    made = vault.create(password=CLEAR)
    found = open_any_store(VaultSession, secret_keys=(SECOND,)).get(made.id).password
    assert found is not None
    with pytest.raises(SecretUnreadable):
        found.get_secret_value()


def test_many_threads_ask_at_once(vault: SessionStore[VaultSession]) -> None:
    """Each finds the value."""
    made = vault.create(password=CLEAR)
    found: list[str] = []
    for _ in range(20):
        secret, start = vault.get(made.id).password, threading.Barrier(8)
        assert secret is not None

        def ask(secret: SecretStr = secret, start: threading.Barrier = start) -> None:
            start.wait()
            found.append(secret.get_secret_value())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    assert found == [CLEAR] * 160


def test_a_cached_session_holds_it_sealed(any_redis_url: str, opened: list[str]) -> None:
    """What stays in a process for long is not in clear there before somebody asks; then all readers have it."""
    settings = Settings(redis_url=any_redis_url, tenant="cached-secrets", secret_keys=(SecretStr(FIRST),))
    with SessionStore(model=VaultSession, settings=settings, cache=Cache()) as store:
        tracking(store)
        made = store.create(password=CLEAR)
        kept = warm(store, made.id)
        assert store.get(made.id) is kept
        assert opened == []
        assert kept.password == store.get(made.id).password == SecretStr(CLEAR)
        assert opened == ["password"]
        store.delete(made.id)
