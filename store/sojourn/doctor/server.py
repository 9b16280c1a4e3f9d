"""The Redis server: its version, what it keeps over a restart, its memory, its clock, and what one may do there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from redis.exceptions import ResponseError

from sojourn.doctor.finding import Finding, error, info, ok, redis_cli, warning
from sojourn.doctor.look import Look, NotAllowed
from sojourn.keys import TENANTS
from sojourn.notifications import NOTIFICATIONS, missing_flags
from sojourn.operations.core import Operation, raise_for
from sojourn.operations.record import now_ms
from sojourn.scripts import lua_folder, script

__all__ = [
    "clock",
    "encoding",
    "fix_notifications",
    "login",
    "memory",
    "notifications",
    "persistence",
    "scripts",
    "version",
]

_OLDEST: Final = (6, 2)
_LUA_ESCAPE: Final = {(6, 2): 20, (7, 2): 11, (7, 4): 6, (8, 0): 4, (8, 2): 2}
"""CVE-2025-49844: scripts may leave their sandbox. Mended from this patch of each series on; 7.0 never was."""
_XAUTOCLAIM: Final = ((7, 0, 0), (7, 0, 5))
"""CVE-2022-35951: XAUTOCLAIM, by which dispatchers take over, writes where it must not. From, and mended in."""
_NEARLY_FULL: Final = 0.9
_FULL: Final = 0.98
_CLOCKS_S: Final = 2.0
_LONG_VALUE: Final = 1024
"""A record with a longer value takes nearly twice the memory: 2,476 bytes against 1,389 for 20 fields and 1 KB."""


def version(look: Look) -> Iterator[Finding]:
    """Of the server."""
    found = look.version
    told = ".".join(map(str, found))
    name = f"Valkey {look.info['valkey_version']}" if "valkey_version" in look.info else f"Redis {told}"
    if found[:2] < _OLDEST:
        yield error(f"{name} is too old", "install Redis 6.2 or later", redis_cli("INFO", "server"))
    elif _XAUTOCLAIM[0] <= found < _XAUTOCLAIM[1]:
        yield warning(
            f"{name}: XAUTOCLAIM, which dispatchers use, may write beyond its memory (CVE-2022-35951)",
            "install 7.0.5 or later, or a later series", redis_cli("INFO", "server"),
        )  # fmt: skip
    elif "valkey_version" not in look.info and _may_escape(found):
        yield info(
            f"{name}: unless its packager has mended that, whoever may run scripts may run any code (CVE-2025-49844)",
            "install the latest of its series, or a later one; keep strangers from logging in",
            redis_cli("INFO", "server"),
        )
    else:
        yield ok(f"{name}")


def _may_escape(found: tuple[int, ...]) -> bool:
    major, minor, patch = (*found, 0, 0, 0)[:3]
    return (major, minor) < (8, 3) and patch < _LUA_ESCAPE.get((major, minor), 10**6)


def persistence(look: Look) -> Iterator[Finding]:
    """What is kept over a restart, and whether writing it goes well."""
    told = look.info
    if told.get("loading") == "1":
        yield error("Redis is still loading its data", "wait until it has", redis_cli("INFO", "persistence"))
        return
    failing = [
        what
        for what, name in (
            ("the last snapshot", "rdb_last_bgsave_status"),
            ("the last write to the append-only file", "aof_last_write_status"),
            ("the last rewrite of the append-only file", "aof_last_bgrewrite_status"),
        )
        if told.get(name, "ok") != "ok"
    ]
    if failing:
        yield error(
            f"{' and '.join(failing)} failed",
            "see Redis's log and the room on its disk",
            redis_cli("INFO", "persistence"), redis_cli("CONFIG", "GET", "dir"),
        )  # fmt: skip
    if told.get("aof_enabled") == "1":
        if not failing:
            yield ok("every write goes to the append-only file")
        return
    saves = look.config("save").get("save", "")
    lost = f"what was written since the last snapshot ({saves})" if saves else "all sessions"
    yield warning(
        f"the append-only file is off: a restart loses {lost}",
        "turn it on, here and in redis.conf",
        redis_cli("CONFIG", "SET", "appendonly", "yes"), redis_cli("CONFIG", "REWRITE"),
    )  # fmt: skip


def memory(look: Look) -> Iterator[Finding]:
    """Whether Redis evicts sessions, or is about to refuse writes."""
    told = look.info
    policy, limit, used = told.get("maxmemory_policy", ""), int(told.get("maxmemory", 0)), int(told["used_memory"])
    evicted = int(told.get("evicted_keys", 0))
    sound = True
    if policy != "noeviction":
        sound = False
        finding = error if limit else warning
        yield finding(
            f"maxmemory-policy is {policy}: "
            + ("sessions are dropped when memory is short" if limit else "with a maxmemory, sessions would be dropped"),
            "have writes refused instead, here and in redis.conf",
            redis_cli("CONFIG", "SET", "maxmemory-policy", "noeviction"), redis_cli("CONFIG", "REWRITE"),
        )  # fmt: skip
    if evicted:
        sound = False
        yield warning(
            f"{evicted} keys were evicted since Redis started; sessions may be among them",
            "look for them, and bring back what the archive holds; a restart, or this, begins the count anew",
            "sojourn doctor --full", *(("sojourn rehydrate",) if look.settings.archive_url else ()),
            redis_cli("CONFIG", "RESETSTAT"),
        )  # fmt: skip
    if limit and used > _NEARLY_FULL * limit:
        sound = False
        finding = error if used > _FULL * limit else warning
        yield finding(
            f"{used / limit:.0%} of maxmemory are used: beyond it, writes are refused",
            "give it more, or end sessions",
            redis_cli("CONFIG", "SET", "maxmemory", str(2 * limit)), redis_cli("MEMORY", "STATS"),
        )  # fmt: skip
    if sound:
        yield ok(f"nothing is evicted; {used / 2**20:.0f} MB used" + (f" of {limit / 2**20:.0f}" if limit else ""))


def encoding(look: Look) -> Iterator[Finding]:
    """Whether records are kept in Redis's compact encoding."""
    name = "hash-max-listpack-value" if look.version >= (7, 0) else "hash-max-ziplist-value"
    value = int(look.config(name).get(name, _LONG_VALUE))
    if value >= _LONG_VALUE:
        yield ok(f"records with values of up to {value} bytes are kept compact")
        return
    yield info(
        f"a record with a value of more than {value} bytes takes nearly twice the memory that it needs",
        "raise the bound, here and in redis.conf; reads are no slower",
        redis_cli("CONFIG", "SET", name, str(_LONG_VALUE)), redis_cli("CONFIG", "REWRITE"),
    )  # fmt: skip


def notifications(look: Look) -> Iterator[Finding]:
    """Whether Redis tells of expiries and evictions."""
    flags = look.config(NOTIFICATIONS).get(NOTIFICATIONS, "")
    missing = missing_flags(flags)
    if not missing:
        yield ok(f"Redis tells of expiries and evictions ({NOTIFICATIONS} {flags})")
        return
    yield warning(
        f"Redis does not tell of expiries and evictions: {NOTIFICATIONS} is '{flags}', without {missing}",
        "set it, here and in redis.conf; a listener does so within 3 s where it may",
        redis_cli("CONFIG", "SET", NOTIFICATIONS, flags + missing), redis_cli("CONFIG", "REWRITE"),
        fixable=True,
    )  # fmt: skip


def fix_notifications(look: Look) -> str:
    """Have Redis tell of them, too."""
    flags = look.config(NOTIFICATIONS).get(NOTIFICATIONS, "")
    wanted = flags + missing_flags(flags)
    look.ask(("CONFIG", "SET", NOTIFICATIONS, wanted))
    return f"set {NOTIFICATIONS} to {wanted}, until Redis is restarted: set it in redis.conf, too"


def _wall_s() -> float:
    return time.time()


def clock(look: Look) -> Iterator[Finding]:
    """Redis's clock against this machine's and the archive's, and against its own past."""
    before_s = _wall_s()
    (reply,) = look.ask(("TIME",))
    here_s = (before_s + _wall_s()) / 2
    redis_s = now_ms(reply) / 1000
    # At once: whoever waits for the archive first sees events of writers that went on meanwhile.
    ahead_s = _last_event_s(look) - redis_s
    found = list(_differences(look, redis_s - here_s))
    if ahead_s > _CLOCKS_S:
        found.append(
            f"Redis's clock went back: its last event is {ahead_s:.0f} s ahead of it, and deadlines are late by as much"
        )
    if found:
        mend = "keep the clocks of all machines right, with NTP"
        yield warning("; ".join(found), mend, "timedatectl status", redis_cli("TIME"))
    else:
        yield ok(f"the clocks agree within {_CLOCKS_S:g} s")


def _differences(look: Look, redis_s: float) -> Iterator[str]:
    """Of clocks; `redis_s`: by how much Redis's is ahead of ours."""
    if abs(redis_s) > _CLOCKS_S:
        yield f"Redis's clock is {abs(redis_s):.1f} s {'ahead of' if redis_s > 0 else 'behind'} this machine's"
    if look.settings.archive_url is None:
        return
    try:
        from sojourn.doctor.archive import clock_ahead_s

        archive_s = clock_ahead_s(look.settings)
    except ImportError:
        return
    if archive_s is not None and abs(archive_s - redis_s) > _CLOCKS_S:
        told_s = archive_s - redis_s
        yield f"PostgreSQL's clock is {abs(told_s):.1f} s {'ahead of' if told_s > 0 else 'behind'} Redis's"


def _last_event_s(look: Look) -> float:
    partitions = look.homes.partitions
    found = look.ask(*(("XREVRANGE", each.events, "+", "-", "COUNT", 1) for each in partitions))
    return max((int(entries[0][0].partition("-")[0]) / 1000 for entries in found if entries), default=0.0)


def scripts(look: Look) -> Iterator[Finding]:
    """Whether this server takes every script. Loading one is harmless: Redis keeps it in memory until its restart."""
    known = [script(Path(each).stem) for each in sorted(lua_folder().glob("*.lua"))]
    (there,) = look.ask(("SCRIPT", "EXISTS", *(each.sha for each in known)))
    missing = [each for each, loaded in zip(known, there, strict=True) if not loaded]

    def parse(replies: list[object]) -> list[str]:
        refused = []
        for each, reply in zip(missing, replies, strict=True):
            if isinstance(reply, ResponseError) and "compiling" in str(reply).lower():
                refused.append(f"{each.name}: {str(reply).splitlines()[0][:200]}")
            else:
                raise_for(reply, "-", "-")
        return refused

    loads = tuple(("SCRIPT", "LOAD", each.source) for each in missing)
    refused = look.run(Operation(loads, parse)) if loads else []
    if refused:
        yield error(
            f"Redis refuses {len(refused)} of {len(known)} scripts: {'; '.join(refused[:3])}",
            "install a Redis of at least 6.2, and Sojourn anew", "pip install --force-reinstall sojourn",
        )  # fmt: skip
        return
    loaded = f"; {len(missing)} of them were loaded just now" if missing else ""
    yield ok(f"Redis takes all {len(known)} scripts{loaded}")


# None of them changes anything: there is no configuration of that name.
_LOOKS: Final = (
    ("INFO",), ("CONFIG", "GET", "save"), ("CONFIG", "SET", "sojourn-none", ""), ("SCRIPT", "EXISTS", "0" * 40),
    ("ACL", "GETUSER", "default"), ("SCAN", "0", "COUNT", 1), ("SMEMBERS", TENANTS),
)  # fmt: skip


def login(look: Look) -> Iterator[Finding]:
    """What this login may do, and whether anybody may log in."""
    name = str(look.ask(("ACL", "WHOAMI"))[0]) if _may(look, ("ACL", "WHOAMI")) else "this login"
    refused = [" ".join(map(str, each[:2])) for each in _LOOKS if not _may(look, each)]
    if refused:
        yield info(
            f"'{name}' may not use {', '.join(refused)}: what they would tell is not known",
            "run doctor as a user who may, such as the one that workers use",
            redis_cli("ACL", "WHOAMI"),
        )
        return
    default = look.ask(("ACL", "GETUSER", "default"))[0] or []
    flags = dict(zip(default[::2], default[1::2], strict=False)).get("flags", [])
    open_to_all = "nopass" in flags and "on" in flags and look.config("protected-mode").get("protected-mode") == "no"
    if open_to_all:
        yield warning(
            "whoever reaches Redis may do anything: the user default has no password, and protected-mode is off",
            "give it a password, here and in redis.conf, and put it into SOJOURN_REDIS_URL",
            redis_cli("CONFIG", "SET", "requirepass", "PASSWORD"), redis_cli("CONFIG", "SET", "protected-mode", "yes"),
        )  # fmt: skip
    else:
        yield ok(f"'{name}' may do what workers have to")


def _may(look: Look, command: tuple[str | int, ...]) -> bool:
    try:
        look.ask(command)
    except NotAllowed:
        return False
    except Exception as error:  # noqa: BLE001 - refused for another reason: it may be tried
        return "NOPERM" not in str(error)
    return True
