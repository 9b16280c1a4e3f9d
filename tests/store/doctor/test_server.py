"""The Redis server: each thing that can be wrong with it is found, and what is safe to mend is mended."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.conftest import OwnRedis
from tests.sound import make_sound
from tests.store.doctor.conftest import World
from tests.waiting import eventually

from sojourn import Settings
from sojourn.doctor import Finding, examine, server
from sojourn.doctor.look import Look
from sojourn.keys import META
from sojourn.scripts import Script, script
from sojourn.tenants import isolate


def test_a_sound_deployment(world: World) -> None:
    """Configured as it is recommended: nothing but "ok", except of the old Redis that the tests use."""
    make_sound(world.client)
    found = world.examine(full=False)
    assert [each for each in found if each.severity != "ok" and each.check != "version"] == []
    assert {each.severity for each in found} <= {"ok", "info"}


@pytest.mark.parametrize(
    ("version", "severity"),
    [("6.0.16", "error"), ("6.2.14", "info"), ("6.2.20", "ok"), ("7.0.3", "warning"), ("7.0.15", "info"),
     ("7.2.11", "ok"), ("8.2.1", "info"), ("8.6.0", "ok"), ("nonsense", "error")],
)  # fmt: skip
def test_version(version: str, severity: str) -> None:
    """Too old, with holes, or fine; what cannot be run here is told to the check."""
    look = Look(Settings())
    vars(look)["info"] = {"redis_version": version}
    assert [each.severity for each in server.version(look)] == [severity]


def test_another_make_of_server() -> None:
    """It is called by its own name, and not blamed for the other's holes."""
    look = Look(Settings())
    vars(look)["info"] = {"redis_version": "7.2.4", "valkey_version": "8.0.1"}
    (found,) = server.version(look)
    assert (found.severity, found.found) == ("ok", "Valkey 8.0.1")


def test_nothing_is_kept(any_world: World) -> None:
    """Neither file nor snapshots, or snapshots alone: a warning with the commands; with the file all is well."""
    (found,) = any_world.find("persistence")
    assert found.severity == "warning"
    assert "loses all sessions" in found.found
    assert found.commands[0] == "redis-cli -u $SOJOURN_REDIS_URL CONFIG SET appendonly yes"
    assert not found.fixable
    any_world.client.config_set("save", "900 1")
    assert "since the last snapshot (900 1)" in any_world.find("persistence")[0].found
    any_world.client.config_set("appendonly", "yes")
    assert any_world.find("persistence") == []


def test_a_save_that_fails(own_redis: OwnRedis, tmp_path: Path) -> None:
    """The folder is gone from under the server: an error."""
    with own_redis() as running, redis.Redis.from_url(running.url) as client:
        folder = tmp_path / "gone"
        folder.mkdir()
        client.config_set("dir", str(folder))
        shutil.rmtree(folder)
        client.set("x", "y")
        client.bgsave()
        settings = Settings(redis_url=running.url)
        found = eventually(lambda: [each for each in _of(settings, "persistence") if each.severity == "error"])
    assert "the last snapshot failed" in found[0].found


def _of(settings: Settings, *names: str) -> list[Finding]:
    return [each for each in examine(settings, only=names) if each.severity != "ok"]


def test_memory(any_world: World) -> None:
    """A policy that evicts, a limit that is near or reached, and evictions that were: warnings and errors."""
    client = any_world.client
    client.config_set("maxmemory-policy", "volatile-lru")
    assert [each.severity for each in any_world.find("memory")] == ["warning"]
    used = client.info("memory")["used_memory"]
    client.config_set("maxmemory", used * 3)
    (found,) = any_world.find("memory")
    assert (found.severity, found.fixable) == ("error", False)
    assert "CONFIG SET maxmemory-policy noeviction" in found.commands[0]
    client.config_set("maxmemory-policy", "noeviction")
    assert any_world.find("memory") == []
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.94))
    assert any("of maxmemory are used" in each.found for each in any_world.find("memory"))


def test_evictions(any_world: World) -> None:
    """What was evicted is told until the server's count begins anew."""
    client = any_world.client
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("maxmemory", client.info("memory")["used_memory"] - 1000)
    client.set("other", "x" * 1000)
    client.config_set("maxmemory", 0)
    client.config_set("maxmemory-policy", "noeviction")
    (found,) = any_world.find("memory")
    assert (found.severity, "were evicted" in found.found) == ("warning", True)
    client.config_resetstat()
    assert any_world.find("memory") == []


def test_encoding(world: World) -> None:
    """What makes records large is worth knowing; the command names the setting as this version does."""
    (found,) = world.find("encoding")
    assert found.severity == "info"
    name, value = found.commands[0].split()[-2:]
    world.client.config_set(name, value)
    assert world.find("encoding") == []


@pytest.mark.parametrize("flags", ["", "Kx", "Ex", "Kg$"])
def test_notifications(any_world: World, flags: str) -> None:
    """Missing flags are a warning; --fix adds them and keeps those that were there."""
    any_world.client.config_set("notify-keyspace-events", flags)
    (found,) = any_world.find("notifications")
    assert (found.severity, found.fixable) == ("warning", True)
    any_world.mend("notifications")
    set_ = any_world.client.config_get("notify-keyspace-events")["notify-keyspace-events"]
    assert set(flags) | set("Exe") <= set(set_)


def test_scripts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are not there are loaded by looking; one that the server does not take is an error."""
    world.client.script_flush()
    (found,) = world.examine("scripts")
    assert (found.severity, "were loaded just now" in found.found) == ("ok", True)
    assert all(world.client.script_exists(*[script("create_session").sha, script("claim_due").sha]))
    assert "loaded" not in world.examine("scripts")[0].found
    broken = Script("create_session", "this is no Lua", "0" * 40)
    monkeypatch.setattr(server, "script", lambda name: broken if name == "create_session" else script(name))
    (found,) = world.find("scripts")
    assert found.severity == "error"
    assert "create_session" in found.found


def test_clock_of_this_machine(any_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds apart: a warning that says which is ahead."""
    wall_s = server._wall_s
    monkeypatch.setattr(server, "_wall_s", lambda: wall_s() + 7)
    (found,) = any_world.find("clock")
    assert found.severity == "warning"
    assert "behind this machine's" in found.found


def test_clock_that_went_back(any_world: World) -> None:
    """Events of a time that is yet to come."""
    ahead = (any_world.client.time()[0] + 120) * 1000
    any_world.client.xadd(any_world.keys.partition.events, {"type": "x"}, id=f"{ahead}-0")
    (found,) = any_world.find("clock")
    assert "went back" in found.found


def test_whoever_comes_may_do_anything(any_world: World) -> None:
    """No password, and no protected mode."""
    any_world.client.config_set("protected-mode", "no")
    (found,) = any_world.find("login")
    assert (found.severity, "no password" in found.found) == ("warning", True)


def test_a_login_that_may_not_configure(any_world: World) -> None:
    """What it cannot look at is said; that is no failure, and all else is looked at."""
    any_world.client.execute_command(
        "ACL", "SETUSER", "reader", "on", ">reader-password", "~*", "&*", "+@all", "-config"
    )
    url = any_world.settings.redis_url.replace("redis://", "redis://reader:reader-password@")
    found = {each.check: each for each in examine(any_world.settings.model_copy(update={"redis_url": url}))}
    assert found["login"].severity == "info"
    assert "CONFIG GET, CONFIG SET" in found["login"].found
    assert found["encoding"].found.startswith("could not be looked at: this login may not CONFIG GET")
    assert found["encoding"].severity == found["notifications"].severity == "info"
    assert found["indexes"].severity == found["outbox"].severity == found["memory"].severity == "ok"
    assert "reader-password" not in str(found)


def test_layout(any_world: World, any_redis_url: str) -> None:
    """Other partitions than the settings say; no word of them though there are sessions; a key of other hands."""
    client = any_world.client
    other = Settings(redis_url=any_redis_url, partitions=8)
    found = _of(other)
    assert [each.check for each in found if each.severity == "error"] == ["layout"]
    assert "sojourn config" in next(each for each in found if each.check == "layout").commands
    assert not {"indexes", "outbox", "overdue"} & {each.check for each in examine(other)}, "it would find nothing there"
    client.delete(META)
    (found_,) = any_world.find("layout")
    assert found_.commands == ("redis-cli -u $SOJOURN_REDIS_URL HSET sojourn:meta layout 1 partitions 4",)
    client.set(META, "x")
    assert "is not a hash" in any_world.find("layout")[0].found


def test_an_empty_redis(any_redis_url: str) -> None:
    """Nothing is laid out by looking."""
    settings = Settings(redis_url=any_redis_url)
    with redis.Redis.from_url(any_redis_url) as client:
        found = {each.check: each.severity for each in examine(settings, full=True)}
        assert client.dbsize() == 0
    assert found["layout"] == found["indexes"] == found["overdue"] == "ok"


def test_partitions(any_world: World) -> None:
    """A tenant's note that names another partition, is gone, or one that two share."""
    client: Any = any_world.client
    client.hset("sojourn:isolated", mapping={"acme": 100, "other": 100, "third": 101})
    client.set("sojourn:partition:acme", "100 1")
    client.set("sojourn:partition:third", "107 1")
    wrong, twice = any_world.find("partitions")
    assert "2 tenants" in wrong.found
    assert wrong.commands == ("sojourn tenant isolate other", "sojourn tenant isolate third")
    assert "share a partition" in twice.found
    client.hset("sojourn:isolated", "other", 102)  # what nobody can do but a person who knows which one is right
    for command in wrong.commands:
        isolate(any_world.settings, command.rpartition(" ")[2])
    assert any_world.find("partitions") == []


def test_keys_of_another_type(any_world: World) -> None:
    """Each is named."""
    any_world.client.delete(any_world.keys.partition.counts)
    any_world.client.set(any_world.keys.partition.counts, "x")
    (found,) = any_world.find("keys")
    assert (found.severity, any_world.keys.partition.counts in found.found) == ("error", True)
