"""Secrets are bound to the id of their session: under another id they are sealed anew, or the session keeps its id."""

from __future__ import annotations

from typing import Any

import pytest
from tests.drivers import StoreOpener, snapshot
from tests.store.secrets.examples import FIRST, SECOND, VaultSession, revealed

from sojourn import SecretUnreadable, Session, SessionStore

FIELDS: dict[str, Any] = {"password": "pa", "blob": b"pb", "credentials": {"a": "b"}}
SEALED_ELSEWHERE = "sealed:1:elsewhere:" + "A" * 40


@pytest.mark.parametrize("model", [VaultSession, Session])
def test_they_come_along(open_any_store: StoreOpener, vault: SessionStore[VaultSession], model: type[Session]) -> None:
    """Under whichever key they were, and where the model is not known."""
    made = vault.create(**FIELDS)
    new = open_any_store(model, secret_keys=(FIRST, SECOND)).rotate_id(made.id)
    with pytest.raises(SecretUnreadable):
        vault.get(new.id).password.get_secret_value()  # type: ignore[union-attr]
    assert revealed(open_any_store(VaultSession, secret_keys=(SECOND,)).get(new.id)) == tuple(FIELDS.values())


@pytest.mark.parametrize("keys", [(), (SECOND,)])
@pytest.mark.parametrize("model", [VaultSession, Session])
def test_none_is_lost_for_want_of_a_key(
    open_any_store: StoreOpener, vault: SessionStore[VaultSession], client: Any, keys: tuple[str, ...],
    model: type[Session],
) -> None:  # fmt: skip
    """Nobody could ever open one under the new id, so who lacks its key gives the session none."""
    made = vault.create(**FIELDS)
    blind = open_any_store(model, secret_keys=keys)
    before = snapshot(client)
    with pytest.raises(SecretUnreadable) as caught:
        blind.rotate_id(made.id)
    assert (caught.value.session_id, caught.value.field in FIELDS) == (made.id, True)
    assert snapshot(client) == before
    assert revealed(vault.get(vault.rotate_id(made.id).id)) == tuple(FIELDS.values())


def test_what_nobody_can_open_is_no_hindrance(vault: SessionStore[VaultSession], client: Any) -> None:
    """A damaged text, a clear one, and one that looks sealed in a field that is no secret stay as they are."""
    made = vault.create(**FIELDS, note=SEALED_ELSEWHERE)
    key = vault._context.keys.session(made.id)
    client.hset(key, mapping={"password": client.hget(key, "blob"), "blob": "clear"})
    new = vault.get(vault.rotate_id(made.id).id)
    assert (new.note, new.credentials and new.credentials.get_secret_value()) == (SEALED_ELSEWHERE, {"a": "b"})
    for each in (new.password, new.blob):
        with pytest.raises(SecretUnreadable):
            each.get_secret_value()  # type: ignore[union-attr]
