"""What keeping tenants apart costs: each call with it against the same call without, in one run."""

from __future__ import annotations

import itertools
from typing import Any

from pydantic import SecretStr

from bench_calls import FIELDS, BenchSession, Pair
from sojourn import SessionStore
from sojourn.secrets import new_key
from sojourn.settings import Settings

__all__ = ["pairs"]

_KEY = "sk-0123456789abcdef0123456789abcdef"


class SecretSession(BenchSession, kind="secret"):
    """The same session with a secret."""

    key: SecretStr | None = None


def pairs(url: str) -> list[Pair]:
    """The comparisons; what is on the left costs what is on the right, and more."""
    store = SessionStore(model=BenchSession, settings=Settings(redis_url=url), tenant="free")
    limited = store.for_tenant("limited")
    limited.set_tenant_limits(sessions=10_000_000, owner_sessions=10_000_000, creates="1000000/s:1000000")
    rated = store.for_tenant("rated")
    rated.set_tenant_limits(operations="1000000/s:1000000")
    bounded = store.for_tenant("bounded")
    bounded.set_tenant_limits(
        sessions=10_000_000, owner_sessions=10_000_000, bytes=2**40, creates="1000000/s:1000000",
        owner_creates="1000000/s:1000000", operations="1000000/s:1000000", owner_operations="1000000/s:1000000",
    )  # fmt: skip
    evicting = store.for_tenant("evicting")
    evicting.set_tenant_limits(sessions=100, policy="evict_lru")
    evicting.create_many([FIELDS] * 100, ttl=3600)

    def some(of: SessionStore[BenchSession]) -> Any:
        turn = itertools.cycle([each.id for each in of.create_many([FIELDS] * 500, ttl=3600)])
        return lambda count: [next(turn) for _ in range(count)]

    def create(of: SessionStore[BenchSession]) -> Any:
        return lambda fields: of.create(ttl=3600, **fields)

    def fields(count: int) -> list[Any]:
        return [FIELDS] * count

    free, held, all_held = some(store), some(rated), some(bounded)
    change: dict[str, Any] = {"owner": "grace", "region": "us-east-1", "step": 2}
    vault = SessionStore(
        model=SecretSession, settings=Settings(redis_url=url, secret_keys=(SecretStr(new_key()),)), tenant="secret"
    )
    sealed = itertools.cycle([each.id for each in vault.create_many([{**FIELDS, "key": _KEY}] * 500, ttl=3600)])

    def some_sealed(count: int) -> list[str]:
        return [next(sealed) for _ in range(count)]

    def opened(session_id: str) -> str:
        key = vault.get(session_id).key
        return "" if key is None else key.get_secret_value()

    tokens = itertools.cycle([store.tokens.issue(each, refresh_ttl=None).access for each in free(500)])

    def some_tokens(count: int) -> list[str]:
        return [next(tokens) for _ in range(count)]

    issuer = SessionStore(model=BenchSession, settings=Settings(redis_url=url), tenant="free")

    def new_tokens(count: int) -> list[str]:
        return [issuer.tokens.issue(each, refresh_ttl=None).access for each in free(count)]

    return [
        Pair("create; three limits", fields, create(store), fields, create(limited)),
        Pair("create; all limits", fields, create(store), fields, create(bounded)),
        Pair("create; evicting one", fields, create(store), fields, create(evicting)),
        Pair("verify, of tokens verified before, for a get", free, store.get, some_tokens, store.tokens.verify),
        Pair("verify, of another store's tokens, for a get", free, store.get, new_tokens, store.tokens.verify),
        Pair("get; a secret more", free, store.get, some_sealed, vault.get),
        Pair("get; a secret more, asked for", free, store.get, some_sealed, opened),
        Pair("get; a rate", free, store.get, held, rated.get),
        Pair("update; all limits", free, lambda one: store.update(one, **change),
             all_held, lambda one: bounded.update(one, **change)),
        Pair("touch; all limits", free, store.touch, all_held, bounded.touch),
    ]  # fmt: skip
