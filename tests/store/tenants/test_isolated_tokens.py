"""Tokens of a tenant that is given its own partition: none is refused on the way, and none that is revoked stays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
import redis
from tests.census import strays
from tests.drivers import KINDS, StoreOpener
from tests.store.examples import JobSession
from tests.waiting import eventually

from sojourn import SessionStore, Settings, TokenInvalid
from sojourn.tenants import isolate

FIRST: dict[str, Callable[[Any, Any, Any], Any]] = {
    "verify": lambda tokens, _, pair: tokens.verify(pair.access),
    "refresh": lambda tokens, _, pair: tokens.refresh(pair.refresh),
    "list": lambda tokens, made, _: tokens.list(made.id)[0],
}
ENDS: dict[str, Callable[[Any, Any, Any], int]] = {
    "revoke": lambda tokens, _, pair: tokens.revoke(pair.access),
    "revoke_session": lambda tokens, made, _: tokens.revoke_session(made.id),
    "revoke_owner": lambda tokens, made, _: tokens.revoke_owner(made.owner),
}


@pytest.fixture
def raw_any(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def age(store: SessionStore[Any]) -> None:
    """Let what a store knows of where its tenant is be too old to rely on."""
    known = store._shared.homes[store.tenant]
    store._shared.homes[store.tenant] = replace(known, at_s=known.at_s - 10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("first", FIRST)
def test_open_stores_find_tokens(redis_url: str, kind: str, first: str, seen: bool) -> None:
    """Whichever call on tokens an open store makes first after the move, whether it had seen the token or not."""
    with StoreOpener(kind, redis_url) as opener:
        store = opener(JobSession, tenant="acme")
        made = store.create(owner="ada")
        pair = store.tokens.issue(made.id)
        if seen:
            store.tokens.verify(pair.access)
        isolate(Settings(redis_url=redis_url), "acme")
        assert FIRST[first](store.tokens, made, pair)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ENDS)
def test_open_stores_revoke_tokens(redis_url: str, kind: str, end: str) -> None:
    """A revocation by a store that knew the old place is one in the new."""
    with StoreOpener(kind, redis_url) as opener:
        store = opener(JobSession, tenant="acme")
        made = store.create(owner="ada")
        pair = store.tokens.issue(made.id)
        isolate(Settings(redis_url=redis_url), "acme")
        assert ENDS[end](store.tokens, made, pair) == 2
        with SessionStore(redis_url, model=JobSession, tenant="acme") as fresh, pytest.raises(TokenInvalid):
            fresh.tokens.verify(pair.access)


def test_a_token_of_the_new_place(any_redis_url: str) -> None:
    """A store that knows the old place accepts one that was issued in the new."""
    with SessionStore(any_redis_url, tenant="acme") as store, SessionStore(any_redis_url, tenant="acme") as other:
        store.count()
        isolate(Settings(redis_url=any_redis_url), "acme")
        made = other.create()
        pair = other.tokens.issue(made.id)
        age(store)
        assert store.tokens.verify(pair.access) == made


def test_an_idle_store_asks_once(any_redis_url: str, raw_any: Any) -> None:
    """A token that opens nothing costs one round trip, and the commands that one which opens something does."""
    with SessionStore(any_redis_url, tenant="acme") as store:
        made = store.create()
        good, over = store.tokens.issue(made.id), store.tokens.issue(made.id)
        store.tokens.revoke(over.access)
        store.tokens.verify(store.tokens.issue(made.id).access)  # asks for the tenant's rates, as once a second
        found = []
        for text in (good.access, over.access):
            age(store)
            raw_any.config_resetstat()
            with suppress(TokenInvalid):
                store.tokens.verify(text)
            told = raw_any.info("all")
            calls = {name: each["calls"] for name, each in told.items() if name.startswith("cmdstat_")}
            found.append((calls, told["total_reads_processed"]))
        assert found[0] == found[1]


def test_calls_on_tokens_while_all_are_moved(any_redis_url: str) -> None:
    """Stores opened before and meanwhile verify, renew and revoke without a pause: no valid one is refused."""
    settings = Settings(redis_url=any_redis_url, tenant="acme")
    first = SessionStore(settings=settings)
    made = [each.id for _ in range(3) for each in first.create_many([{"owner": f"o{n}"} for n in range(500)])]
    pairs = {each: first.tokens.issue(each) for each in made[::2]}
    kept, over = list(pairs)[::2], list(pairs)[1::2]
    done, wrong, revoked = threading.Event(), [], []

    def work(seed: int) -> None:
        store = first if seed % 2 else SessionStore(settings=settings)
        own, ending = kept[seed::4], over[seed::4]
        try:
            while not done.is_set():
                for each in own:
                    pair = pairs[each]
                    assert store.tokens.verify(pair.access).id == each
                    pairs[each] = store.tokens.refresh(str(pair.refresh))
                    if ending and len(ending) % 3:
                        assert store.tokens.revoke_session(ending[-1]) == 2
                    elif ending:
                        assert store.tokens.revoke(str(pairs[ending[-1]].refresh)) == 2
                    if ending:
                        revoked.append(ending.pop())
        except Exception as error:  # noqa: BLE001
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    isolate(Settings(redis_url=any_redis_url), "acme")
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    with SessionStore(settings=settings) as store:
        for each in kept:
            assert store.tokens.verify(pairs[each].access).id == each
        assert revoked
        for each in revoked:
            with pytest.raises(TokenInvalid):
                store.tokens.verify(pairs[each].access)
    assert strays(any_redis_url) == []
    first.close()


def test_revoking_an_owner_while_all_are_moved(any_redis_url: str) -> None:
    """None of the owner's tokens is left, wherever its session was at that time."""
    settings = Settings(redis_url=any_redis_url, tenant="acme")
    with SessionStore(settings=settings) as store:
        made = [each.id for _ in range(4) for each in store.create_many([{"owner": "ada"}] * 500)]
        pairs = [store.tokens.issue(each) for each in made]
        mover = threading.Thread(target=isolate, args=(settings, "acme"))
        mover.start()
        with redis.Redis.from_url(any_redis_url) as client:
            eventually(lambda: client.exists("sojourn:{100}:acme:kinds"), what="the first sessions that moved")
        store.tokens.revoke_owner("ada")
        mover.join()
        for pair in pairs:
            with pytest.raises(TokenInvalid):
                store.tokens.verify(pair.access)
