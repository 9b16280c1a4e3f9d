"""Deleting a tenant: everything of it in Redis and in the archive, but for the audit trail."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from sojourn.keys import (
    CHANGED_TENANTS,
    COPIED_TENANTS,
    ISOLATED,
    TENANTS,
    PartitionKeys,
    TenantKeys,
    check_tenant,
    partition_note,
)
from sojourn.models import Status
from sojourn.operations.core import Operation, pairs
from sojourn.operations.tenancy import CLOSED, ERASED, MOVED, TOLD, erase, tell_erased
from sojourn.settings import Settings
from sojourn.tenants.acl import drop_user
from sojourn.tenants.isolate import groups_of
from sojourn.tenants.link import AT_ONCE, Link, escaped, stretches, unknown_tenant

__all__ = ["DeleteReport", "delete"]

Progress = Callable[[int, int], None]
_LONGEST_COUNT: Final = 16
_WITH_SESSIONS: Final = ("session", "lease", "index", "token", "tokens", "families")
Entry = tuple[str, dict[str, str]]
_TABLES: Final = "tables"
_UNSEEN: Final = 0
"""Noted in the place of how many users went."""


@dataclass
class DeleteReport:
    """What was removed of a tenant; by a dry run: what would be.

    Example:
        >>> DeleteReport("acme", sessions=3).to_json()["sessions"]
        3
    """

    tenant: str
    sessions: int = 0
    logs: int = 0
    """Lists of entries."""
    indexes: int = 0
    """Keys of indexes that were left when all sessions were gone."""
    tokens: int = 0
    keys: int = 0
    """Other keys."""
    members: int = 0
    """Entries in what the tenants of a partition share: those of sessions that had vanished before."""
    events: int = 0
    """Entries of the outbox."""
    groups: int = 0
    """Its own consumer groups."""
    dead_letters: int = 0
    user: bool | None = False
    """Whether there was a Redis user for it; None: this login may not see users, and the tenant may have one still."""
    archive: dict[str, int] = field(default_factory=dict)
    """Rows by table."""
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return dict(vars(self))


_COUNTS: Final = ("sessions", "logs", "indexes", "tokens", "keys", "members", "events", "groups", "dead_letters")


def delete(
    settings: Settings, tenant: str, *, actor: str = "", dry_run: bool = False, progress: Progress | None = None
) -> DeleteReport:
    """Remove all that there is of a tenant, from Redis and from the archive; the audit trail stays.

    From the first moment on nothing can be created for it any more. Cut short, the next call goes on, and reports what
    both have removed. Afterwards the name is free again.

    Args:
        settings: where Redis and, if there is one, the archive are.
        tenant: the tenant.
        actor: who does it, for the event that tells of it.
        dry_run: remove nothing, but tell what would go.
        progress: is told how many sessions were removed, and how many there are in all.

    Raises:
        InvalidInput: there is no such tenant.
        StoreUnavailable, ArchiveUnavailable: one of the two did not answer in time; do it again.
        ArchiveSchemaMismatch: the archive's tables are not those of this version.
        LayoutMismatch: Redis is laid out with other settings.

    Example:
        >>> delete(load_settings(), "acme").sessions  # doctest: +SKIP
        1204
    """
    check_tenant(tenant)
    with Link(settings, actor) as link:
        link.open()
        return _Deletion(link, tenant, progress or (lambda done, total: None), dry_run=dry_run).run()


class _Deletion:
    def __init__(self, link: Link, tenant: str, tell: Progress, *, dry_run: bool) -> None:
        self._link = link
        self._tell = tell
        self._dry_run = dry_run
        self._shared = TenantKeys.of(tenant, link.settings.partitions)
        self._home = link.homes.of(tenant)
        self._found: dict[str, int] = dict.fromkeys(_COUNTS, 0)
        """What a dry run found."""

    def run(self) -> DeleteReport:
        """Do it."""
        self._find_home()
        if not self._is_known():
            raise unknown_tenant(self._shared.tenant)
        (told,) = self._link.ask(("HGET", self._shared.limits, TOLD))
        if told is not None and not self._dry_run:  # all is gone but for what the last steps remove
            return self._forget(str(told))
        places = [self._shared] if self._home == self._shared else [self._home, self._shared]
        if not self._dry_run:
            self._archived()  # before anything goes: whether the archive is there
            self._close(places)
        for keys in places:
            self._erase_sessions(keys)
        for keys in places:
            self._erase_rest(keys)
        if self._dry_run:
            names = drop_user(self._link, self._shared.tenant, dry_run=True)
            has_user = None if names is None and self._may_have_user else bool(names)
            return self._told(self._found, user=has_user, archive=self._archived())
        return self._finish(places)

    def _find_home(self) -> None:
        """A call that was cut short may have taken the tenant out of the register, but not the mark of its home."""
        (moved,) = self._link.ask(("HGET", self._shared.limits, MOVED))
        if moved is not None and str(moved).isdecimal():
            self._home = TenantKeys(self._shared.tenant, PartitionKeys(int(moved)))

    def _is_known(self) -> bool:
        tenant = self._shared.tenant
        there = ("EXISTS", self._shared.limits, self._home.limits, self._home.kinds)
        return tenant in self._link.registered() or bool(self._link.ask(there)[0])

    def _close(self, places: list[TenantKeys]) -> None:
        """Its own login goes first: with it one could go on writing into the tenant's partition."""
        names = drop_user(self._link, self._shared.tenant)
        if names:
            self._link.ask(("HSET", self._shared.limits, ERASED + "user", 1))
        elif names is None and self._may_have_user:
            self._link.ask(("HSETNX", self._shared.limits, ERASED + "user", _UNSEEN))
        if self._home != self._shared:
            self._drop_odd()
        for keys in places:
            self._link.ask(("HSETNX", keys.limits, CLOSED, datetime.now(UTC).isoformat(timespec="seconds")))

    @property
    def _may_have_user(self) -> bool:
        """Nobody can be confined to a tenant that shares its partition."""
        return self._home != self._shared

    def _drop_odd(self) -> None:
        """What is not of the type that the steps read it as: whoever had the login could write that."""
        partition, home = self._home.partition, self._home
        types = {
            home.limits: "hash", home.kinds: "set", partition.lost: "set", partition.events: "stream",
            partition.deadlines: "zset", partition.dirty: "zset", partition.removals: "zset", partition.removed: "zset",
        }  # fmt: skip
        for streams in self._link.scan("SCAN", None, escaped(partition.prefix) + "/dead:*"):
            types.update(dict.fromkeys(streams, "stream"))
        for streams in self._link.scan("SCAN", None, escaped(home.prefix + "index:") + "*"):
            types.update(dict.fromkeys(streams, "zset"))
        found = self._link.ask(*(("TYPE", each) for each in types))
        odd = [key for (key, type_), told in zip(types.items(), found, strict=True) if told not in (type_, "none")]
        if odd:
            self._link.ask(("UNLINK", *odd))
        (limits,) = self._link.ask(("HGETALL", home.limits))
        wrong = [name for name, text in pairs(limits).items() if name.startswith(ERASED) and not _is_count(text)]
        if wrong:
            self._link.ask(("HDEL", home.limits, *wrong))

    def _erase(self, keys: TenantKeys, what: str, items: list[str], place: str = "", name: str = "") -> int:
        if not items:
            return 0
        if self._dry_run:
            self._found[name or "sessions"] += len(items)
            return len(items)
        return self._link.run_all(items, lambda some: erase(keys, what, some, place=place, name=name))

    def _erase_sessions(self, keys: TenantKeys) -> None:
        indexes = self._indexes(keys)
        total = sum(self._link.ask(*(("ZCARD", each) for each in indexes))) if indexes else 0
        done = 0
        self._tell(done, total)
        for index in () if self._dry_run else indexes:
            before: list[str] = []
            while (found := self._link.ask(("ZRANGE", index, 0, AT_ONCE - 1))[0]) and found != before:
                done += self._erase(keys, "session", list(found))
                self._tell(done, max(total, done))
                before = found
        start = keys.prefix + "session:"
        for names in self._link.scan("SCAN", None, escaped(start) + "*"):
            for some in stretches(name.removeprefix(start) for name in names):
                done += self._erase(keys, "session", some)
                self._tell(done, max(total, done))

    def _indexes(self, keys: TenantKeys) -> list[str]:
        (kinds,) = self._link.ask(("SMEMBERS", keys.kinds))
        return [keys.status_index(kind, status) for kind in kinds if kind.isascii() for status in Status]

    def _erase_rest(self, keys: TenantKeys) -> None:
        """What is left in the partition: all of it, where it is the tenant's alone."""
        partition = keys.partition
        for names in self._link.scan("SCAN", None, escaped(keys.prefix) + "*"):
            for kind, some in self._by_kind(keys, names).items():
                for each in stretches(some):
                    self._erase(keys, "key", each, name=kind)
        pattern = escaped(keys.tenant) + "/*"
        if not self._dry_run:
            for key in (partition.deadlines, partition.dirty, partition.removals, partition.removed):
                self._erase_members(keys, "member", key, pattern)
            self._erase_members(keys, "lost", partition.lost, pattern)
        for entries in self._entries(partition.events, lambda fields: fields.get("tenant") == keys.tenant):
            self._keep_audited(partition, entries)
            self._erase(keys, "event", [each for each, _ in entries], partition.events, "events")
        self._erase(keys, "group", groups_of(self._link, keys), partition.events, "groups")
        for streams in list(self._link.scan("SCAN", None, escaped(partition.prefix) + "/dead:*")):
            for stream in streams:
                for entries in self._entries(stream, lambda fields: _is_of(fields.get("event", ""), keys.tenant)):
                    self._erase(keys, "event", [each for each, _ in entries], stream, "dead_letters")

    def _keep_audited(self, partition: PartitionKeys, entries: list[Entry]) -> None:
        """What no archive run has taken yet is to be in the audit trail before it goes."""
        if self._dry_run or self._link.settings.archive_url is None:
            return
        from sojourn.tenants.archived import keep_audited

        keep_audited(self._link.settings, partition.number, entries)

    def _erase_members(self, keys: TenantKeys, what: str, key: str, pattern: str) -> None:
        command = "ZSCAN" if what == "member" else "SSCAN"
        for members in self._link.scan(command, key, pattern):
            for some in stretches(members):
                self._erase(keys, what, some, key, "members")

    def _by_kind(self, keys: TenantKeys, names: list[str]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in names:
            rest = name.removeprefix(keys.prefix)
            first = rest.partition(":")[0]
            if self._dry_run and first == "token":
                self._found["tokens"] += self._tokens(keys, rest.partition(":")[2])
            if rest == "limits" or (self._dry_run and first in _WITH_SESSIONS):
                continue  # of a dry run: those go with their sessions
            told = {"index": "indexes", "log": "logs"}.get(first, "keys")
            found.setdefault(told, []).append(name)
        return found

    def _tokens(self, keys: TenantKeys, session_id: str) -> int:
        """How many tokens a session has."""
        asks = (("HLEN", keys.token(session_id)), ("ZCARD", keys.families(session_id)))
        fields, families = self._link.run(Operation(asks, lambda replies: replies))
        return fields - families if isinstance(fields, int) and isinstance(families, int) else 0  # an error: no tokens

    def _entries(self, stream: str, is_ours: Callable[[dict[str, str]], bool]) -> Iterator[list[Entry]]:
        """A stream's entries that are the tenant's."""
        after = "-"
        while True:
            (found,) = self._link.ask(("XRANGE", stream, after, "+", "COUNT", AT_ONCE))
            ours = [each for each in ((entry, pairs(fields)) for entry, fields in found) if is_ours(each[1])]
            if ours:
                yield ours
            if len(found) < AT_ONCE:
                return
            after = f"({found[-1][0]}"

    def _finish(self, places: list[TenantKeys]) -> DeleteReport:
        link, tenant = self._link, self._shared.tenant
        link.ask(("DEL", partition_note(tenant)), ("HDEL", ISOLATED, tenant))
        archived = self._erase_archive()
        if self._home != self._shared:  # workers that knew of the partition may have put a group there again
            for names in link.scan("SCAN", None, escaped(self._home.partition.prefix) + "*"):
                left = [name for name in names if name != self._home.limits]
                if left:
                    link.ask(("UNLINK", *left))
        else:
            self._erase_rest(self._shared)
        report = self._report(places, archived)
        told = json.dumps({"action": "tenant.delete", **report.to_json()}, separators=(",", ":"))
        context = link.context(self._shared)
        return self._forget(link.run(tell_erased(context, self._shared.limits, self._shared.partition, told)))

    def _forget(self, told: str) -> DeleteReport:
        """The last that is left: the register and the mark."""
        link, tenant = self._link, self._shared.tenant
        if self._home != self._shared:
            link.ask(("UNLINK", self._home.limits))
        link.ask(*(("SREM", each, tenant) for each in (TENANTS, CHANGED_TENANTS)))
        for marks in link.scan("SSCAN", COPIED_TENANTS, "*/" + escaped(tenant)):  # of archive runs that were killed
            link.ask(("SREM", COPIED_TENANTS, *marks))
        link.ask(("UNLINK", self._shared.limits))
        known = json.loads(told)
        del known["action"]
        return DeleteReport(**known)

    def _report(self, places: list[TenantKeys], archived: dict[str, int]) -> DeleteReport:
        counts: dict[str, int] = {}
        for keys in places:
            (reply,) = self._link.ask(("HGETALL", keys.limits))
            for name, text in pairs(reply).items():
                if name.startswith(ERASED) and _is_count(text):
                    kind = name.removeprefix(ERASED)
                    counts[kind] = counts.get(kind, 0) + int(text)
        user = None if counts.get("user") == _UNSEEN else bool(counts.get("user"))
        return self._told(counts, user=user, archive=archived)

    def _told(self, counts: dict[str, int], *, user: bool | None, archive: dict[str, int]) -> DeleteReport:
        report = DeleteReport(self._shared.tenant, user=user, archive=archive, dry_run=self._dry_run)
        for name in _COUNTS:
            setattr(report, name, counts.get(name, 0))
        return report

    def _archived(self) -> dict[str, int]:
        if self._link.settings.archive_url is None:
            return {}
        from sojourn.tenants.archived import count_rows

        return count_rows(self._link.settings, self._shared.tenant)

    def _erase_archive(self) -> dict[str, int]:
        """How many rows went is settled before the first does, for a call that was cut short tells nothing."""
        if self._link.settings.archive_url is None:
            return {}
        from sojourn.tenants.archived import erase_rows, wait_for_runs

        limits, tenant, settings = self._shared.limits, self._shared.tenant, self._link.settings
        wait_for_runs(settings, {self._shared.partition.number, self._home.partition.number})
        self._link.ask(("HSETNX", limits, _TABLES, json.dumps(self._archived())))
        (known,) = self._link.ask(("HGET", limits, _TABLES))
        erase_rows(settings, tenant)
        found: dict[str, int] = json.loads(known)
        return found


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < _LONGEST_COUNT


def _is_of(text: str, tenant: str) -> bool:
    """Whether a dead letter's event is the tenant's."""
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("tenant") == tenant
