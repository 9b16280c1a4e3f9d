"""What the security guide says is not defended: it is so, and no worse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from pydantic import SecretStr
from tests.store.secrets.examples import FIRST, VaultSession
from tests.worker import hook_functions
from tests.worker.processes import settings_for

from sojourn import LimitExceeded, Session, SessionNotFound, SessionStore, Settings, TokenInvalid
from sojourn.archive import Audit, archive_once, init
from sojourn.events import Event
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.tenants import confine, new_password
from sojourn_worker import config, jobs

OWN = TenantKeys("acme", PartitionKeys(100))


@pytest.fixture
def admin(redis_url: str) -> Iterator[Any]:
    """Give a client that may do everything."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def login(redis_url: str) -> str:
    """Give the URL with the login of the tenant acme."""
    password = new_password()
    user = confine(Settings(redis_url=redis_url), "acme", password=password).user
    return redis_url.replace("redis://", f"redis://{user}:{password}@", 1)


@pytest.fixture
def hostile(login: str) -> Iterator[Any]:
    """Give a plain client with it."""
    with redis.Redis.from_url(login, decode_responses=True, protocol=2) as client:
        yield client


def test_a_tenant_harms_itself(redis_url: str, login: str, hostile: Any) -> None:
    """By raw commands it takes its own limits away, damages its own records, and tells what never happened to it."""
    with SessionStore(redis_url, tenant="acme") as store, SessionStore(login, tenant="acme") as own:
        store.set_tenant_limits(sessions=1)
        made = own.create(owner="ada")
        with pytest.raises(LimitExceeded):
            own.create()
        hostile.hdel(OWN.limits, "sessions")
        assert own.create().is_live
        hostile.hset(OWN.session(made.id), "owner", "eve")
        assert store.get(made.id).owner == "eve"
        hostile.xadd(OWN.partition.events, _event(made, "deleted"))
        assert store.peek_events().events[-1].type == "deleted"


def _event(session: Session, type_: str) -> dict[str, Any]:
    return {
        "type": type_, "tenant": session.tenant, "id": session.id, "kind": "session", "version": "9",
        "at_ms": "1750000000000", "actor": "root", "trace": "", "changes": "{}", "before": "",
    }  # fmt: skip


def test_one_redis_is_one_failure(hostile: Any, admin: Any) -> None:
    """A login of one tenant keeps all others waiting, and takes memory."""
    before = admin.info("memory")["used_memory"]
    hostile.set(f"{OWN.prefix}junk", "x" * 5_000_000)
    assert admin.info("memory")["used_memory"] > before + 4_000_000
    admin.config_set("slowlog-log-slower-than", 10_000)
    admin.slowlog_reset()
    hostile.eval("local n = 0; for i = 1, 5e6 do n = n + i end; return 1", 0)
    assert any(b"EVAL" in each["command"] or "EVAL" in str(each["command"]) for each in admin.slowlog_get())


def test_another_database_than_0(redis_url: str, admin: Any) -> None:
    """Where a deployment uses one, its tenants' logins may look into others; in 0 they may not."""
    password = new_password()
    user = confine(Settings(redis_url=f"{redis_url.rstrip('/').removesuffix('/0')}/3"), "acme", password=password)
    assert any("select others" in each for each in user.weakened)
    with redis.Redis.from_url(redis_url.replace("redis://", f"redis://{user.user}:{password}@", 1)) as client:
        client.execute_command("SELECT", "1")


def test_a_sealed_value_is_put_back(redis_url: str, admin: Any) -> None:
    """An older one of the same field of the same session opens again; a field can be deleted; its length shows."""
    settings = Settings(redis_url=redis_url, secret_keys=[SecretStr(FIRST)])
    with SessionStore(settings=settings, model=VaultSession) as store:
        made = store.create(password="old")
        key = TenantKeys.of("default", 64).session(made.id)
        old = admin.hget(key, "password")
        store.update(made.id, password="newer and longer")
        assert len(admin.hget(key, "password")) > len(old)
        admin.hset(key, "password", old)
        found = store.get(made.id).password
        assert found is not None
        assert found.get_secret_value() == "old"
        admin.hdel(key, "password")
        assert store.get(made.id).password is None


def test_revoked_tokens_of_an_older_copy(redis_url: str, admin: Any) -> None:
    """Where Redis is put back to before a revocation, the token opens its session again."""
    with redis.Redis.from_url(redis_url) as raw, SessionStore(redis_url) as store:
        made = store.create()
        pair = store.tokens.issue(made.id)
        copy = {key: raw.dump(key) for key in raw.scan_iter()}
        store.tokens.revoke(pair.access)
        with pytest.raises(TokenInvalid):
            store.tokens.verify(pair.access)
        raw.flushall()
        for key, value in copy.items():
            raw.restore(key, 0, value)
        assert store.tokens.verify(pair.access).id == made.id


def test_hooks_hear_what_a_job_says(redis_url: str, admin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever writes a job has a hook of the settings run on an event that never was; the session is as it is."""
    hook = {"events": ["deleted"], "function": "tests.worker.hook_functions:record"}
    settings = settings_for(redis_url, hooks={"watch": hook})
    with SessionStore(settings=settings) as store:
        made = store.create(owner="ada")
    number = TenantKeys.of("default", settings.partitions).partition.number
    forged = Event.from_stream(number, "1750000000000-0", _event(made, "deleted")).to_json()
    monkeypatch.setattr(config, "_used", settings)
    monkeypatch.setattr(hook_functions, "_client", lambda: redis.Redis.from_url(redis_url, decode_responses=True))
    jobs.run_hook("watch", [forged])
    assert [json.loads(each)["session"] for each in admin.lrange("effects", 0, -1)] == [made.id]
    with SessionStore(settings=settings) as store:
        assert store.get(made.id).is_live


def test_what_raw_commands_do_is_not_audited(redis_url: str, postgres_url: str, admin: Any) -> None:
    """A record that other hands delete is told as lost at most; who drops an event before it is archived hides it."""
    init(postgres_url)
    settings = Settings(redis_url=redis_url, archive_url=postgres_url)
    keys = TenantKeys.of("default", 64)
    with SessionStore(settings=settings, actor="anybody at all") as store:
        made = store.create(owner="ada")
        admin.hset(keys.session(made.id), "owner", "eve")
        store.delete(made.id)
        (last, _), *_ = admin.xrevrange(keys.partition.events, count=1)
        admin.xdel(keys.partition.events, last)
        archive_once(settings)
        trail = Audit(settings)
        assert [(each.action, each.actor) for each in trail.list().entries] == [("created", "anybody at all")]
        assert trail.verify().is_sound
        with pytest.raises(SessionNotFound):
            store.get(made.id)
