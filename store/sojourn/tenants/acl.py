"""A Redis user that is confined to one tenant: to its keys, and to the commands that the client library needs."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

from sojourn.errors import InvalidInput, InvalidName, StoreError
from sojourn.keys import FIRST_ISOLATED, META, PartitionKeys, TenantKeys, check_tenant, partition_note
from sojourn.operations.admin import administered
from sojourn.redis_urls import url_options
from sojourn.scripts import lua_folder, script
from sojourn.settings import Settings
from sojourn.tenants.grants import command, grants, seen_grants
from sojourn.tenants.isolate import isolate
from sojourn.tenants.link import Link

__all__ = ["Confinement", "client_commands", "confine", "confinement", "drop_user", "new_password"]

_USER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,127}")
_CALL: Final = re.compile(r"redis\.p?call\(\s*'([A-Z]+)'(?:,\s*'([A-Z]+)')?")
_CONTAINERS: Final = frozenset({"XINFO", "XGROUP", "OBJECT", "MEMORY", "CLIENT", "CONFIG", "SCRIPT", "FUNCTION", "ACL"})
_FOR_WORKERS: Final = frozenset(
    {
        "acknowledge_batch", "bury_event", "check_entries", "check_keys", "check_sessions", "check_total",
        "claim_due", "claim_session", "comb_strays", "drop_consumers", "erase_tenant", "isolate_tenant", "mark_dirty",
        "miss_session", "move_sessions", "note_sweep", "rehydrate_session", "revive_event", "settle_sessions",
        "tell_client", "tell_erased", "tell_event", "trim_events",
    }
)  # fmt: skip
"""The scripts that no client runs; all others are the clients'."""
_PLAIN: Final = (
    "CLIENT|SETINFO", "CLIENT|SETNAME", "DEL", "EVAL", "EVALSHA", "EXISTS", "GET", "HGET", "HGETALL", "HMGET", "LLEN",
    "LRANGE", "MEMORY|USAGE", "PEXPIRE", "PING", "PTTL", "RPUSH", "SISMEMBER", "SMEMBERS", "TIME", "TYPE", "XACK",
    "XAUTOCLAIM", "XCLAIM", "XGROUP|CREATE", "XGROUP|DESTROY", "XINFO|STREAM", "XRANGE", "XREAD", "XREADGROUP",
    "XREVRANGE", "ZRANGE", "ZSCAN", "ZSCORE",
)  # fmt: skip
"""What clients send as plain commands; a test runs their whole suite with no more than this."""
_FOR_CACHES: Final = "CLIENT|TRACKING"
"""What a near cache sends as well."""
_SHORTEST: Final = 16
_SETINFO_SINCE: Final = (7, 2)
_READ_ONLY_SINCE: Final = (7, 0)


@dataclass(frozen=True)
class Confinement:
    """A Redis user, and what it may do."""

    tenant: str
    user: str
    partition: int | None
    """The tenant's own; None where it has none yet, and so nothing can confine a user to it."""
    rule: tuple[str, ...]
    """What ``ACL SETUSER`` takes behind the user's name."""
    weakened: tuple[str, ...] = ()
    """What this version of Redis cannot keep from the user."""
    applied: bool = False
    persisted: str | None = None
    """Where Redis keeps its users over a restart: ``aclfile`` or ``config``; None: nowhere."""

    @property
    def command(self) -> str:
        """The command that sets the user."""
        return " ".join(("ACL SETUSER", self.user, *self.rule))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**vars(self), "rule": list(self.rule), "weakened": list(self.weakened), "command": self.command}


def new_password() -> str:
    """A password of 256 random bits."""
    return secrets.token_urlsafe(32)


def client_commands(version: tuple[int, ...], database: int = 0, *, caches: bool = False) -> tuple[str, ...]:
    """The commands that the client library uses, as an ACL names them.

    Args:
        version: of Redis, as numbers.
        database: that the client selects.
        caches: with what near caches need.

    Example:
        >>> "hgetall" in client_commands((7, 0)), "keys" in client_commands((7, 0))
        (True, False)
    """
    found = {each.lower() for each in _PLAIN}
    if (7, 0) <= version < _SETINFO_SINCE:
        found.discard("client|setinfo")  # a name that it does not know is an error; the client does without
    if database:
        found.add("select")
    if caches:
        found.add(_FOR_CACHES.lower())
    for path in lua_folder().glob("*.lua"):
        if path.stem not in _FOR_WORKERS:
            for name, second in _CALL.findall(script(path.stem).source):
                found.add(f"{name}|{second}".lower() if name in _CONTAINERS and second else name.lower())
    return tuple(sorted(found))


def _rule(
    tenant: str, number: int | None, version: tuple[int, ...], database: int, digest: str, *, caches: bool
) -> tuple[str, ...]:
    prefix = PartitionKeys(FIRST_ISOLATED if number is None else number).prefix
    if number is None:  # which one it is to be, nobody knows before it has it
        prefix = prefix.replace(str(FIRST_ISOLATED), "<partition>")
    read_only = "%R~" if version >= _READ_ONLY_SINCE else "~"
    return (
        "reset", "on", "resetchannels", "-@all", f"~{prefix}*", f"{read_only}{META}",
        f"{read_only}{partition_note(tenant)}",
        *(f"+{each}" for each in client_commands(version, database, caches=caches)), f"#{digest}",
    )  # fmt: skip


def _weakened(tenant: str, version: tuple[int, ...], database: int, *, caches: bool) -> tuple[str, ...]:
    told = []
    if caches:
        told.append(
            "Redis confines no user who may track keys to his own: this one can learn the names of all keys that are "
            "written, and so other tenants' ids and owners, and values of their indexed fields, though no record"
        )
    if version < _READ_ONLY_SINCE:
        told.append(
            f"Redis before 7.0 knows no read-only keys: this user can also write {META} and {partition_note(tenant)}, "
            "and so keep other clients from working, though not read or change what they store"
        )
    if database:
        told.append(
            "Redis confines no user to a database: this one may select others of the same server; keep other "
            "deployments elsewhere, or use database 0"
        )
    return tuple(told)


def _check_user(tenant: str, user: str | None) -> str:
    name = f"sojourn-{tenant}" if user is None else user
    if not _USER.fullmatch(name) or name == "default":
        raise InvalidName(f"a confined user's name matches {_USER.pattern} and is not 'default'")
    return name


def confinement(
    settings: Settings, tenant: str, *, user: str | None = None, digest: str = "", caches: bool = False
) -> Confinement:
    """The rule that confines a Redis user to a tenant.

    Args:
        settings: where Redis is.
        tenant: the tenant.
        user: the user's name; by default ``sojourn-<tenant>``.
        digest: the SHA-256 of its password, in hexadecimal digits; without one: what the user has, or a place to
            fill in.
        caches: whether the user's stores may have near caches, for which he sees the names of others' keys.

    Raises:
        InvalidName: not a tenant's or user's name.
        StoreUnavailable: Redis did not answer in time.

    Example:
        >>> confinement(load_settings(), "acme").user  # doctest: +SKIP
        'sojourn-acme'
    """
    name = _check_user(check_tenant(tenant), user)
    with Link(settings) as link:
        link.open()
        return _planned(link, tenant, name, digest, caches=caches)


def _planned(link: Link, tenant: str, user: str, digest: str, *, caches: bool) -> Confinement:
    version, database = _version(link), _database(link.settings)
    number = link.homes.isolated.get(tenant)
    rule = _rule(tenant, number, version, database, digest or "<SHA-256 of its password>", caches=caches)
    return Confinement(tenant, user, number, rule, _weakened(tenant, version, database, caches=caches))


def confine(
    settings: Settings, tenant: str, *, user: str | None = None, password: str, actor: str = "", rewrite: bool = False,
    caches: bool = False,
) -> Confinement:  # fmt: skip
    """Give a tenant a partition of its own if it has none, and set a Redis user that is confined to it.

    Args:
        settings: where Redis is.
        tenant: the tenant.
        user: the user's name; by default ``sojourn-<tenant>``.
        password: its password; Redis is told the SHA-256 only.
        actor: who does it, for the event.
        rewrite: have Redis write the user into its configuration file, where it has no file for users.
        caches: whether the user's stores may have near caches, for which he sees the names of others' keys.

    Raises:
        InvalidName: not a tenant's or user's name.
        InvalidInput: the password is too short, or there is a user of that name who is not confined to this tenant.
        StoreError: Redis refused to set the user.
        SojournError: what `isolate` raises.

    Example:
        >>> confine(load_settings(), "acme", password=new_password()).applied  # doctest: +SKIP
        True
    """
    name = _check_user(check_tenant(tenant), user)
    if len(password) < _SHORTEST:
        raise InvalidInput(f"a password has at least {_SHORTEST} characters")
    digest = hashlib.sha256(password.encode()).hexdigest()
    with Link(settings, actor) as link:
        link.open()
        # Before the tenant is moved, which cannot be undone.
        if command(link, "ACL", "GETUSER", name) and (name, tenant) not in {
            (each.user, each.tenant) for each in grants(link)
        }:
            raise InvalidInput(f"there is a Redis user '{name}' who is not of tenant '{tenant}': choose another name")
    number = isolate(settings, tenant, actor=actor).partition
    with Link(settings, actor) as link:
        link.open()
        keys = TenantKeys(tenant, PartitionKeys(number))
        planned = _planned(link, tenant, name, digest, caches=caches)
        command(link, "ACL", "SETUSER", name, *planned.rule)
        persisted = _persist(link, rewrite=rewrite)
        link.run(administered(link.context(keys), "tenant.confine", user=name, persisted=persisted))
    return Confinement(tenant, name, number, planned.rule, planned.weakened, applied=True, persisted=persisted)


def drop_user(link: Link, tenant: str, *, dry_run: bool = False) -> tuple[str, ...] | None:
    """Remove all Redis users that are confined to a tenant; their names, or None where this login may not see them."""
    seen = seen_grants(link)
    if seen is None:
        return None
    names = tuple(each.user for each in seen if each.tenant == tenant)
    if names and not dry_run:
        command(link, "ACL", "DELUSER", *names)
        _persist(link, rewrite=False)
    return names


def _persist(link: Link, *, rewrite: bool) -> str | None:
    try:
        told = command(link, "CONFIG", "GET", "aclfile")
        if len(told) > 1 and told[1]:
            command(link, "ACL", "SAVE")
            return "aclfile"
        if rewrite:
            command(link, "CONFIG", "REWRITE")
            return "config"
    except StoreError:
        if rewrite:
            raise
    return None


def _version(link: Link) -> tuple[int, ...]:
    (told,) = link.ask(("INFO", "server"))
    found = re.search(r"redis_version:(\d+)\.(\d+)", str(told))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _database(settings: Settings) -> int:
    return int(url_options(settings.redis_url).get("db") or 0)
