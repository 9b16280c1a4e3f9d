"""Tokens of a tenant that is given a partition of its own: who has not heard of it loses none, and keeps none alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.drivers import KINDS, StoreOpener

from sojourn import Settings, TokenInvalid
from sojourn.tenants import isolate

VERIFIES: tuple[Callable[[Any, Any], Any], ...] = (
    lambda tokens, pair: tokens.verify(pair.access), lambda tokens, pair: tokens.refresh(pair.refresh),
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", VERIFIES)
def test_the_first_call_may_be_of_a_token(redis_url: str, kind: str, use: Callable[[Any, Any], Any]) -> None:
    """A store that was just opened takes a token that names a partition which it has yet to learn of."""
    isolate(Settings(redis_url=redis_url), "acme")
    with StoreOpener(kind, redis_url) as opener:
        issuer = opener(tenant="acme")
        pair = issuer.tokens.issue(issuer.create().id)
        assert use(opener(tenant="acme").tokens, pair)


@pytest.mark.parametrize("kind", KINDS)
def test_who_was_there_before_takes_all_tokens(redis_url: str, kind: str) -> None:
    """A store from before takes tokens from before and from after, those that it knew as well."""
    with StoreOpener(kind, redis_url) as opener:
        stores = [opener(tenant="acme") for _ in range(4)]
        made = stores[0].create()
        before = stores[0].tokens.issue(made.id)
        for each in stores:
            assert each.tokens.verify(before.access).id == made.id
        isolate(Settings(redis_url=redis_url), "acme")
        after = opener(tenant="acme").tokens.issue(made.id)
        assert stores[1].tokens.verify(before.access).id == made.id
        assert stores[2].tokens.verify(after.access).id == made.id
        assert stores[3].tokens.refresh(str(after.refresh))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["token", "session", "owner"])
def test_who_was_there_before_revokes(redis_url: str, kind: str, how: str) -> None:
    """A store that still looks in the old partition does not say that there was nothing to revoke."""
    with StoreOpener(kind, redis_url) as opener:
        store, other = opener(tenant="acme"), opener(tenant="acme")
        made = store.create(owner="ada")
        pair = store.tokens.issue(made.id)
        isolate(Settings(redis_url=redis_url), "acme")
        revoke: dict[str, Callable[[], int]] = {
            "token": lambda: store.tokens.revoke(pair.access),
            "session": lambda: store.tokens.revoke_session(made.id),
            "owner": lambda: store.tokens.revoke_owner("ada"),
        }
        assert revoke[how]() == 2
        with pytest.raises(TokenInvalid):
            other.tokens.verify(pair.access)
