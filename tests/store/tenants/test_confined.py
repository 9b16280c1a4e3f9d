"""A Redis user that is confined to one tenant: it can do all that a client does, and nothing to another tenant."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError
from tests.drivers import KINDS, StoreOpener, snapshot
from tests.servers import redis_executables
from tests.waiting import eventually

from sojourn import Cache, CacheInfo, InvalidInput, InvalidName, SessionStore, Settings, StoreError
from sojourn.keys import PartitionKeys
from sojourn.tenants import client_commands, confine, confinement, isolate, new_password

ROOT = Path(__file__).resolve().parents[3]
SUITES = (
    "archive/test_history", "cache/test_cached", "cleanup/test_due", "cleanup/test_inactive",
    "secrets/test_deferred", "secrets/test_fields", "secrets/test_rotated", "secrets/test_unreadable",
    "test_bad_input", "test_batches", "test_bounded_logs", "test_census", "test_connections", "test_counts",
    "test_events", "test_lifecycle", "test_lifetimes", "test_layouts", "test_limits", "test_listing",
    "test_long_logs", "test_lost_replies", "test_mcp", "test_misuse", "test_owned_by", "test_properties",
    "test_races", "test_rotate", "test_round_trips", "test_token_families", "test_tokens", "test_unavailable",
)  # fmt: skip
"""All that a client does with Redis."""
OTHERS = {
    "archive/test_audit": "what operators read", "cache/test_tracking": "what is seen of all connections",
    "cleanup/test_tenants": "several tenants", "cli/test_doctor": "an operator's", "tenants/test_confined": "this one",
    "tenants/test_isolate": "a tenant that moves", "tenants/test_isolated_tokens": "a tenant that moves",
    "tenants/test_limits": "a tenant that moves", "tenants/test_tokens": "a tenant that moves",
    "test_isolation": "two tenants", "test_layout": "no real Redis", "testing/test_fake": "no real Redis",
    "transport/test_connecting": "ways to connect", "transport/test_sentinel": "ways to connect",
}  # fmt: skip
"""What else opens stores of either kind, and why no confined login is tried with it."""
NEIGHBOURS = ("acme2", "acme.x", "acme-x", "acm", "other")
PASSWORD = new_password()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", [*sorted(redis_executables()), "any"])
def test_the_whole_client_suite_passes_as_a_confined_user(version: str) -> None:
    """Every suite of the client, over both kinds of store, with a login that is confined to its tenant.

    Tests for which one version of Redis suffices name none.
    """
    paths = [f"tests/store/{name}.py" for name in SUITES]
    chosen = version if version != "any" else " and ".join(f"not {each}" for each in redis_executables())
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--confined", "-k", chosen, "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *paths], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:]
    assert "passed" in done.stdout


def test_no_suite_of_the_client_is_forgotten() -> None:
    """Whoever adds one over both kinds of store has it run as a confined user too, or says why not."""
    folder = ROOT / "tests" / "store"
    opens = re.compile(r"\b(open_store|open_any_store|open_cached|StoreOpener|login_url|any_login_url|cached: |jobs: )")
    found = {
        str(path.relative_to(folder).with_suffix(""))
        for path in folder.rglob("test_*.py")
        if opens.search(path.read_text("utf-8"))
    }
    assert found == {*SUITES, *OTHERS}


@pytest.fixture
def admin(redis_url: str) -> Iterator[Any]:
    """Give a client that may do everything."""
    with redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def planted(redis_url: str) -> dict[str, str]:
    """Give a session of each neighbour, by the neighbour's name: some isolated, others sharing partitions."""
    found = {}
    isolate(Settings(redis_url=redis_url), "acme")
    for name in NEIGHBOURS:
        if name in ("acme2", "other"):
            isolate(Settings(redis_url=redis_url), name)
        with SessionStore(redis_url, tenant=name) as store:
            found[name] = store.create(owner="secret-owner").id
    return found


@pytest.fixture
def confined_url(redis_url: str, planted: dict[str, str]) -> str:
    """Give the URL with the login of the user who is confined to the tenant acme."""
    assert planted
    user = confine(Settings(redis_url=redis_url), "acme", password=PASSWORD).user
    return redis_url.replace("redis://", f"redis://{user}:{PASSWORD}@", 1)


@pytest.fixture
def confined(confined_url: str) -> Iterator[Any]:
    """Give a plain client with that login."""
    with redis.Redis.from_url(confined_url, decode_responses=True, protocol=2) as client:
        yield client


def keys_of_others(admin: Any) -> dict[str, list[str]]:
    """Return others' keys by type."""
    found: dict[str, list[str]] = {}
    for key in sorted(admin.scan_iter(count=1000)):
        if not key.startswith("sojourn:{100}:") and key not in ("sojourn:meta", "sojourn:partition:acme"):
            found.setdefault(admin.type(key), []).append(key)
    return found


def attempts(key: str, own: str) -> list[tuple[Any, ...]]:
    """Return commands of every family that would read, write, list or guess at a key."""
    peek = "return redis.call('HGETALL', '{}')"
    return [
        ("GET", key), ("SET", key, "x"), ("GETSET", key, "x"), ("GETDEL", key), ("APPEND", key, "x"), ("STRLEN", key),
        ("MGET", own, key), ("MSET", own, "1", key, "2"), ("GETRANGE", key, "0", "-1"), ("EXISTS", key), ("TYPE", key),
        ("HGETALL", key), ("HGET", key, "owner"), ("HMGET", key, "owner"), ("HSET", key, "owner", "x"),
        ("HDEL", key, "owner"), ("HEXISTS", key, "owner"), ("HINCRBY", key, "version", "1"), ("HSCAN", key, "0"),
        ("DEL", key), ("UNLINK", key), ("DEL", own, key), ("RENAME", key, own), ("RENAME", own, key),
        ("RENAMENX", key, own), ("COPY", key, own), ("COPY", own, key), ("MOVE", key, "1"), ("DUMP", key),
        ("RESTORE", key, "0", "x", "REPLACE"), ("MIGRATE", "127.0.0.1", "1", key, "0", "10"), ("TOUCH", key),
        ("EXPIRE", key, "1"), ("PEXPIRE", key, "1"), ("PEXPIREAT", key, "1"), ("PERSIST", key), ("TTL", key),
        ("PTTL", key), ("OBJECT", "ENCODING", key), ("OBJECT", "FREQ", key), ("MEMORY", "USAGE", key),
        ("DEBUG", "OBJECT", key), ("SORT", key, "ALPHA"), ("SORT", key, "ALPHA", "STORE", own),
        ("SORT", own, "BY", "nosort", "GET", "sojourn:*"), ("LRANGE", key, "0", "-1"), ("RPUSH", key, "x"),
        ("LPOP", key), ("LLEN", key), ("LMOVE", key, own, "LEFT", "LEFT"), ("SMEMBERS", key), ("SADD", key, "x"),
        ("SREM", key, "x"), ("SUNION", own, key), ("SUNIONSTORE", own, key), ("SRANDMEMBER", key), ("SSCAN", key, "0"),
        ("ZRANGE", key, "0", "-1"), ("ZRANGEBYSCORE", key, "-inf", "+inf"), ("ZADD", key, "1", "x"), ("ZCARD", key),
        ("ZREM", key, "x"), ("ZSCORE", key, "x"), ("ZUNIONSTORE", own, "1", key), ("ZRANGESTORE", own, key, "0", "-1"),
        ("ZSCAN", key, "0"), ("XRANGE", key, "-", "+"), ("XREVRANGE", key, "+", "-"), ("XLEN", key),
        ("XADD", key, "*", "a", "b"), ("XDEL", key, "1-1"), ("XTRIM", key, "MAXLEN", "0"),
        ("XREAD", "STREAMS", key, "0"), ("XREAD", "STREAMS", own, key, "0", "0"), ("XINFO", "STREAM", key),
        ("XINFO", "GROUPS", key), ("XGROUP", "CREATE", key, "acme:g", "0", "MKSTREAM"),
        ("XGROUP", "DESTROY", key, "acme:g"), ("XREADGROUP", "GROUP", "acme:g", "c", "STREAMS", key, ">"),
        ("XACK", key, "acme:g", "1-1"), ("XAUTOCLAIM", key, "acme:g", "c", "0", "0-0"),
        ("XCLAIM", key, "acme:g", "c", "0", "1-1"), ("SETBIT", key, "0", "1"), ("PFCOUNT", key), ("PFMERGE", own, key),
        ("GEOSEARCHSTORE", own, key, "FROMLONLAT", "0", "0", "BYRADIUS", "1", "m"), ("BITOP", "NOT", own, key),
        ("EVAL", peek.format(key), "0"), ("EVAL", "return redis.call('HGETALL', KEYS[1])", "1", key),
        ("EVAL", f"return redis.call('DEL', '{key}')", "0"), ("EVAL", f"return redis.call('GET', '{key}')", "1", own),
        ("EVAL", f"return redis.pcall('XRANGE', '{key}', '-', '+')", "0"), ("WATCH", key),
    ]  # fmt: skip


WHOLE_SERVER: list[tuple[Any, ...]] = [
    ("SCAN", "0"), ("SCAN", "0", "MATCH", "sojourn:*"), ("KEYS", "*"), ("RANDOMKEY",), ("DBSIZE",), ("INFO",),
    ("FLUSHALL",), ("FLUSHDB",), ("SWAPDB", "0", "1"), ("SELECT", "1"), ("MONITOR",), ("CONFIG", "GET", "*"),
    ("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "REWRITE"), ("CONFIG", "RESETSTAT"), ("ACL", "LIST"),
    ("ACL", "GETUSER", "default"), ("ACL", "SETUSER", "sojourn-acme", "allkeys"), ("ACL", "DELUSER", "default"),
    ("ACL", "USERS"), ("ACL", "LOG"), ("ACL", "CAT"), ("SCRIPT", "FLUSH"), ("SCRIPT", "LOAD", "return 1"),
    ("SCRIPT", "KILL"), ("SCRIPT", "EXISTS", "x"), ("FUNCTION", "LIST"), ("FUNCTION", "FLUSH"), ("FUNCTION", "DUMP"),
    ("FCALL", "f", "0"), ("SUBSCRIBE", "__keyevent@0__:expired"), ("PSUBSCRIBE", "*"), ("SSUBSCRIBE", "x"),
    ("PUBLISH", "x", "y"), ("PUBSUB", "CHANNELS"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"),
    ("CLIENT", "PAUSE", "1"), ("CLIENT", "TRACKING", "ON", "BCAST"), ("CLIENT", "NO-EVICT", "ON"),
    ("CLIENT", "INFO"), ("DEBUG", "SLEEP", "0"), ("DEBUG", "RELOAD"), ("SHUTDOWN",), ("SAVE",), ("BGSAVE",),
    ("BGREWRITEAOF",), ("REPLICAOF", "127.0.0.1", "1"), ("SYNC",), ("PSYNC", "?", "-1"), ("REPLCONF", "x", "y"),
    ("FAILOVER",), ("CLUSTER", "SLOTS"), ("MODULE", "LIST"), ("MODULE", "LOAD", "/x"), ("SLOWLOG", "GET"),
    ("LATENCY", "DOCTOR"), ("MEMORY", "DOCTOR"), ("MEMORY", "STATS"), ("COMMAND",), ("LASTSAVE",), ("ROLE",),
    ("WAIT", "0", "1"), ("KEYS", "sojourn:{100}:*"), ("OBJECT", "HELP"),
    ("EVAL", "return redis.call('KEYS', '*')", "0"),
    ("EVAL", "return redis.call('SCAN', '0')", "0"), ("EVAL", "return redis.call('RANDOMKEY')", "0"),
    ("EVAL", "return redis.call('SELECT', '1')", "0"), ("EVAL", "return redis.call('CONFIG', 'GET', '*')", "0"),
    ("EVAL", "return redis.call('FLUSHALL')", "0"), ("EVAL", "return redis.call('PUBLISH', 'x', 'y')", "0"),
    ("EVAL", "return redis.call('DBSIZE')", "0"), ("EVAL", "return redis.call('INFO')", "0"),
]  # fmt: skip


def refused(client: Any, command: tuple[Any, ...]) -> bool:
    """Return whether Redis refuses a command: for want of permission, or because this version does not know it."""
    try:
        client.execute_command(*command)
    except NoPermissionError:
        return True
    except ResponseError as error:
        told = str(error)
        return any(
            each in told
            for each in ("NOPERM", "can't access", "can't run", "unknown command", "nknown subcommand", "not allowed")
        )
    return False


def test_no_command_reaches_another_s_key(admin: Any, confined: Any) -> None:
    """Each family of commands, on each type of key that others have: refused, and nothing is changed."""
    others = keys_of_others(admin)
    assert {"hash", "string", "set", "zset", "stream"} <= set(others)
    own = "sojourn:{100}:acme:mine"
    admin.set(own, "1")
    before = snapshot(admin)
    allowed = [
        command
        for keys in others.values()
        for key in (*keys[:2], keys[-1])
        for command in attempts(key, own)
        if not refused(confined, command)
    ]
    assert not allowed
    assert snapshot(admin) == before


def test_no_command_reaches_the_server(admin: Any, confined: Any) -> None:
    """Nothing that lists keys or clients, changes the server, other users or scripts, or hears of others."""
    before = snapshot(admin)
    assert [command for command in WHOLE_SERVER if not refused(confined, command)] == []
    assert snapshot(admin) == before


def test_what_is_left_of_the_registry_can_be_read_only(admin: Any, confined: Any) -> None:
    """The layout and the tenant's own note can be read, from Redis 7 on not written; all else is not even read."""
    assert confined.hget("sojourn:meta", "layout") == "1"
    assert confined.get("sojourn:partition:acme") == "100 40"
    for key in ("sojourn:tenants", "sojourn:isolated", "sojourn:partition:acme2", "sojourn:partition:acm"):
        assert refused(confined, ("GET", key)), key
    is_new = int(admin.info("server")["redis_version"].split(".")[0]) >= 7
    assert refused(confined, ("EVAL", "return redis.call('HSET', 'sojourn:meta', 'layout', '1')", "0")) == is_new
    assert refused(confined, ("DEL", "sojourn:partition:acme")) == is_new


@pytest.mark.parametrize("kind", KINDS)
def test_a_confined_store_says_what_is_the_matter(confined_url: str, planted: dict[str, str], kind: str) -> None:
    """Another tenant's view of it fails with a clear error, and never reads anything."""
    with StoreOpener(kind, confined_url) as opener:
        store = opener(tenant="acme")
        made = store.create(owner="ada")
        assert store.get(made.id).owner == "ada"
        for name, identity in planted.items():
            for call in ("get", "delete", "touch", "count", "list", "create"):
                with pytest.raises(StoreError, match="confined to another tenant"):
                    getattr(store.for_tenant(name), call)(*[identity] * (call in ("get", "delete", "touch")))
        assert [each.id for each in store.list().sessions] == [made.id]
        with pytest.raises(StoreError, match="confined to another tenant"):
            opener(tenant="acme2").count()


LOOK_ALIKES = [
    "", ".", "..", "../acme2", "acme}", "{acme", "acme:", ":acme", "acme}:acme2", "{40}:acm", "acme*", "*", "acme?",
    "acm[e]", "acme\\", "acme\n", "acme\x00", "\x00", "acme/", "/acme", "acme ", " acme", "\u0430cme", "acm\u00e9",
    "acme\u200b", "acme\u202e", "\uff41cme", "x" * 65, "-acme", ".acme", "_acme", "acme}:session", "\udce9",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_odd_names_never_leave_the_library(confined_url: str, admin: Any, kind: str) -> None:
    """A name that could be read as another's key, or as a pattern, is refused before anything is sent."""
    with StoreOpener(kind, confined_url) as opener:
        store = opener(tenant="acme")
        store.count()
        admin.config_resetstat()
        for name in LOOK_ALIKES:
            with pytest.raises(InvalidName):
                store.for_tenant(name)
            with pytest.raises(InvalidName):
                confinement(Settings(redis_url=confined_url), name)
        stats = admin.info("commandstats")
        assert not {"cmdstat_get", "cmdstat_hgetall", "cmdstat_evalsha", "cmdstat_hmget"} & set(stats)


@pytest.mark.parametrize("name", ["x" * 64, "A.b-c_D", "acme.acme2", "100", "acme..x"])
def test_names_at_the_edges_are_kept_apart(redis_url: str, admin: Any, name: str) -> None:
    """The longest and oddest names that there may be: their user reaches its own, and no neighbour's."""
    settings = Settings(redis_url=redis_url)
    near = f"{name[:-1]}y"
    for each in (name, near):
        confine(settings, each, password=PASSWORD)
    ids = {}
    for each in (name, near):
        url = redis_url.replace("redis://", f"redis://sojourn-{each}:{PASSWORD}@", 1)
        with SessionStore(url, tenant=each) as store:
            ids[each] = store.create().id
    with redis.Redis.from_url(url, decode_responses=True, protocol=2) as client:
        for key in admin.scan_iter(f"sojourn:{{100}}:{name}:*"):
            assert refused(client, ("TYPE", key))
        for odd in LOOK_ALIKES:
            key = f"sojourn:{{100}}:{odd}:session:{ids[name]}".encode("utf-8", "surrogateescape")
            assert refused(client, ("HGETALL", key)), odd


def test_raw_keys_that_look_alike_are_refused(confined: Any, planted: dict[str, str]) -> None:
    """No spelling of a key gets around the rule's pattern."""
    identity = planted["acme2"]
    for prefix in (
        "sojourn:{101}:", "sojourn:{1*}:", "sojourn:{100", "sojourn:{100}", "sojourn:{0100}:", "sojourn:{ 100}:",
        "Sojourn:{100}:", "sojourn:{\uff11\uff10\uff10}:", " sojourn:{100}:", "sojourn:\\{100}:", "sojourn:{10?}:",
        "sojourn:{1000}:", "sojourn:[{]100}:", "x:sojourn:{100}:", "\x00sojourn:{100}:",
    ):  # fmt: skip
        assert refused(confined, ("HGETALL", f"{prefix}acme2:session:{identity}")), prefix


def test_a_password_is_never_in_the_rule(redis_url: str, admin: Any) -> None:
    """What is printed, told and stored is the password's digest; the default user is left alone."""
    done = confine(Settings(redis_url=redis_url), "acme", password=PASSWORD)
    assert PASSWORD not in repr(done) + str(done.to_json())
    assert done.rule[-1].startswith("#")
    assert len(done.rule[-1]) == 65
    assert PASSWORD not in str([admin.xrange(PartitionKeys(100).events), *admin.acl_list()])
    assert done.persisted is None
    with pytest.raises(InvalidName):
        confine(Settings(redis_url=redis_url), "acme", user="default", password=PASSWORD)


def test_another_s_user_is_not_taken_over(redis_url: str, admin: Any) -> None:
    """A user of that name who is not this tenant's stays as it is."""
    settings = Settings(redis_url=redis_url)
    confine(settings, "acme2", user="shared-name", password=PASSWORD)
    before = admin.acl_list()
    with pytest.raises(InvalidInput, match="not of tenant 'acme'"):
        confine(settings, "acme", user="shared-name", password=PASSWORD)
    assert admin.acl_list() == before
    assert admin.hgetall("sojourn:isolated").keys() == {"acme2", "/last"}, "nor is the tenant moved for nothing"
    confine(settings, "acme2", user="shared-name", password=PASSWORD)  # its own may be set again


def test_a_number_that_another_s_user_may_use_is_not_given_out(redis_url: str, admin: Any) -> None:
    """Redis lost its data but kept its users: each tenant gets its number back, and nobody gets another's."""
    settings = Settings(redis_url=redis_url)
    numbers = {each: confine(settings, each, password=PASSWORD).partition for each in ("acme", "acme2")}
    assert numbers == {"acme": 100, "acme2": 101}
    admin.flushall()
    assert isolate(settings, "other").partition == 102
    assert isolate(settings, "acme2").partition == 101
    assert isolate(settings, "acme").partition == 100


def test_the_rule_has_no_more_commands_than_clients_use() -> None:
    """Nothing that lists keys, or manages the server, is among them, whatever scripts come to be."""
    dangerous = {
        "acl", "client", "client|list", "cluster", "config", "copy", "dbsize", "debug", "dump", "flushall", "flushdb",
        "function", "info", "keys", "migrate", "module", "monitor", "move", "object", "psubscribe", "publish",
        "randomkey", "replicaof", "restore", "save", "scan", "script", "select", "shutdown", "sort", "subscribe",
        "swapdb", "sync",
    }  # fmt: skip
    for version in ((6, 2), (7, 0), (7, 4)):
        found = set(client_commands(version))
        assert not found & dangerous
        assert {"evalsha", "hgetall", "xgroup|create", "zadd"} <= found
    assert "select" in client_commands((7, 0), database=3)


def test_a_confined_user_may_have_near_caches_if_allowed(redis_url: str, planted: dict[str, str]) -> None:
    """Else each read asks Redis, and the cache tells why; what tracking shows him of others is told with the rule."""
    settings = Settings(redis_url=redis_url)
    url = redis_url.replace("redis://", f"redis://sojourn-acme:{PASSWORD}@", 1)
    confine(settings, "acme", password=PASSWORD)
    with SessionStore(url, tenant="acme", cache=Cache()) as store:
        made = store.create()
        eventually(lambda: store.get(made.id) == made and "NOPERM" in cache_of(store).problem)
        assert (cache_of(store).hits, cache_of(store).tracking) == (0, False)
    done = confine(settings, "acme", password=PASSWORD, caches=True)
    assert any("names of all keys" in each for each in done.weakened)
    with SessionStore(url, tenant="acme", cache=Cache()) as store:
        eventually(lambda: store.get(made.id) == made and cache_of(store).hits > 3)
    assert set(client_commands((7, 0), caches=True)) - set(client_commands((7, 0))) == {"client|tracking"}
    # Should Redis come to confine it one day, the note would be wrong.
    pool = redis.ConnectionPool.from_url(url, protocol=3, decode_responses=True)
    assert planted
    connection: Any = pool.make_connection()
    connection.send_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "sojourn:{101}:")
    assert connection.read_response() == "OK"
    connection.disconnect()


def cache_of(store: SessionStore[Any]) -> CacheInfo:
    """Return how a store's cache fares."""
    assert store.cache
    return store.cache
