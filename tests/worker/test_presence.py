"""Workers tell that they are there and with which settings, and the doctor compares them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from tests.store.secrets.examples import FIRST, SECOND
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn import AsyncSessionStore, SessionStore, Settings
from sojourn.clients import ALIVE_S, Client, clients, described, tell_client
from sojourn.doctor import Finding, examine
from sojourn.keys import CLIENTS
from sojourn_worker.presence import Presence, present
from sojourn_worker.redis_link import RedisLink

HOOKS: dict[str, Any] = {"watch": {"events": ["created"], "function": "tests.worker.hook_functions:record"}}


@pytest.fixture
def client(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as opened:
        yield opened


def _find(settings: Settings, check: str) -> list[Finding]:
    return [each for each in examine(settings, only=[check]) if each.check == check and each.severity != "ok"]


def _told(settings: Settings) -> tuple[Client, ...]:
    link = RedisLink(settings)
    try:
        return link.run(clients())
    finally:
        link.close()


def test_every_role_tells(any_redis_url: str, processes: Processes) -> None:
    """Real roles: each is there within seconds, the doctor misses none, and one that stops is missed at once."""
    settings = settings_for(any_redis_url, hooks=HOOKS)
    with SessionStore(settings=settings) as store:
        store.count()
    (found,) = _find(settings, "workers")
    assert (found.severity, found.commands) == ("error", ("sojourn worker",))
    roles = ("listen", "dispatch", "jobs:hooks", "schedule")
    started = {role: processes.role(role, settings) for role in roles}
    eventually(lambda: {each.role for each in _told(settings)} == set(roles), deadline_s=60)
    assert _find(settings, "workers") == []
    assert _find(settings, "agreement") == []
    assert started["listen"].stop() == 0
    (found,) = _find(settings, "workers")
    assert (found.severity, found.commands) == ("error", ("sojourn worker --role listen",))
    assert started["jobs:hooks"].stop() == 0
    eventually(lambda: {each.role for each in _told(settings)} == {"dispatch", "schedule"})


def test_nobody_is_needed(any_redis_url: str) -> None:
    """Without archive and hooks there need be no worker; with an archive there must."""
    settings = settings_for(any_redis_url)
    with SessionStore(settings=settings) as store:
        store.count()
    assert _find(settings, "workers") == []
    archived = settings.model_copy(update={"archive_url": "postgresql://127.0.0.1:1/x"})
    assert [each.severity for each in _find(archived, "workers")] == ["error"]


def test_one_that_falls_silent_is_gone(any_redis_url: str, client: Any) -> None:
    """Killed, it tells nothing any more; a process that is stuck does neither."""
    settings = settings_for(any_redis_url)
    Presence(settings, "listen").tell()
    assert [each.is_alive for each in _told(settings)] == [True]
    member = client.zrange(CLIENTS, 0, 0)[0]
    client.zincrby(CLIENTS, -(ALIVE_S + 1) * 1000, member)
    assert [each.is_alive for each in _told(settings)] == [False]


@pytest.mark.parametrize(
    ("other", "word"),
    [
        ({"grace": 60}, "grace, in seconds: 600.0 (these settings, dispatch"),
        ({"retention": 5}, "retention, in seconds"),
        ({"events_cap": 500}, "events_cap"),
        ({"queue_url": "redis://elsewhere/1"}, "queue_url"),
        ({"archive_url": "postgresql://u:sekret@b/x"}, "archive_url"),
        ({"hooks": {"watch": {"events": ["created"], "function": "other:hook"}}}, "hooks"),
    ],
)
def test_contradictions(any_redis_url: str, other: dict[str, Any], word: str) -> None:
    """Each setting in which two processes differ is named, with who has what; no password is."""
    archive = {"archive_url": "postgresql://u:sekret@a/x"}
    settings = settings_for(any_redis_url, hooks=HOOKS, **archive)
    with present(settings, "dispatch"), present(settings.model_copy(update=_parsed(other)), "jobs:hooks"):
        eventually(lambda: len(_told(settings)) == 2)
        (found,) = _find(settings, "agreement")
    assert found.severity == "warning"
    assert word in found.found
    assert "jobs:hooks" in found.found
    assert "sekret" not in str(found)


def _parsed(given: dict[str, Any]) -> dict[str, Any]:
    parsed = Settings(**given)
    return {name: getattr(parsed, name) for name in given}


def test_keys_that_somebody_lacks(any_redis_url: str) -> None:
    """One that seals with a key which another has not: an error, with the key's id and never the key."""
    old = settings_for(any_redis_url, secret_keys=[FIRST])
    new = settings_for(any_redis_url, secret_keys=[FIRST, SECOND])
    with present(new, "listen"):
        eventually(lambda: _told(new))
        (found,) = _find(old, "agreement")
        assert _find(new, "agreement") == []
    assert (found.severity, SECOND.partition(":")[0] in found.found) == ("error", True)
    assert SECOND.partition(":")[2] not in str(found)


def test_another_deployment_is_no_contradiction(any_redis_url: str) -> None:
    """Who has another queue_prefix is none of ours."""
    settings = settings_for(any_redis_url)
    with present(settings.model_copy(update={"queue_prefix": "staging", "events_cap": 777}), "listen"):
        eventually(lambda: _told(settings))
        assert _find(settings, "agreement") == []


@pytest.mark.parametrize("store_class", [SessionStore, AsyncSessionStore])
def test_stores_tell_where_they_are_set_to(any_redis_url: str, store_class: Any) -> None:
    """Once, at their first use; by default they tell nothing."""

    async def use(settings: Settings) -> None:
        if store_class is SessionStore:
            with SessionStore(settings=settings) as store:
                store.count()
        else:
            async with AsyncSessionStore(settings=settings) as other:
                await other.count()

    settings = settings_for(any_redis_url)
    asyncio.run(use(settings))
    assert _told(settings) == ()
    asyncio.run(use(settings.model_copy(update={"tells_settings": True, "events_cap": 777})))
    assert [each.role for each in _told(settings)] == ["store"]
    assert "events_cap: 10000 (these settings) against 777 (store" in _find(settings, "agreement")[0].found


def test_what_is_told(any_redis_url: str, client: Any) -> None:
    """No secret, no address; and what other hands write there harms nobody."""
    settings = settings_for(
        any_redis_url, secret_keys=[FIRST], archive_url="postgresql://ada:sekret@db.example/x",
        queue_url="redis://:sekret@queue.example:1/1",
    )  # fmt: skip
    link = RedisLink(settings)
    link.run(tell_client(settings, "listen"))
    link.close()
    (told,) = client.zrange(CLIENTS, 0, -1)
    assert not any(each in told for each in ("sekret", "example", "ada", FIRST.partition(":")[2]))
    assert json.loads(told)["settings"] == json.loads(json.dumps(described(settings)))
    for odd in ("x", "[]", "{}", json.dumps({"role": 1, "host": [], "pid": "x", "settings": 3}), "y" * 20_000):
        client.zadd(CLIENTS, {odd: 9e12})
    assert [each.role for each in _told(settings)] == ["listen"]
    client.delete(CLIENTS)
    client.set(CLIENTS, "x")
    Presence(settings, "listen").tell()
    (found,) = _find(settings, "agreement")
    assert (found.severity, CLIENTS in found.found) == ("error", True)


def test_there_are_not_too_many(any_redis_url: str, client: Any) -> None:
    """Processes that start again and again leave no more than a thousand entries."""
    settings = settings_for(any_redis_url)
    client.zadd(CLIENTS, {f"x{number}": client.time()[0] * 1000 + number for number in range(1200)})
    Presence(settings, "listen").tell()
    assert client.zcard(CLIENTS) == 1000
    assert client.pttl(CLIENTS) > 0


def test_redis_is_away(free_port: int) -> None:
    """No trouble of those who tell."""
    settings = settings_for(f"redis://127.0.0.1:{free_port}")
    with present(settings, "listen"):
        Presence(settings, "dispatch").tell()
