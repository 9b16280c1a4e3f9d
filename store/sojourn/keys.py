"""The only module that spells a Redis key (its Lua twin is ``lua/include/keys.lua``; a test holds them together).

============================================================  ======  ==========================================
key                                                           type    holds
============================================================  ======  ==========================================
``sojourn:meta``                                              hash    ``layout``, ``partitions``
``sojourn:tenants``                                           set     tenants that ever created a session
``sojourn:isolated``                                          hash    tenants' own partitions; ``/last``: the top one
``sojourn:partition:<tenant>``                                string  its own partition, for a client confined to it
``sojourn:tenants:changed``                                   set     tenants of which the archive wants a new copy
``sojourn:tenants:copied``                                    set     ``<run>/<tenant>``: those of which a run makes one
``sojourn:archive``                                           hash    how the last archive run ended; rows and runs
``sojourn:/noted:<prefix>``                                   hash    what a deployment's workers did, and when last
``sojourn:rehydrating``                                       string  how far filling Redis from the archive came
``sojourn:checked``                                           string  the server's run that was held against the archive
``sojourn:clients``                                           zset    what processes say of their settings, by when
``sojourn:{NN}:<tenant>:session:<id>``                        hash    the record
``sojourn:{NN}:<tenant>:lease:<id>``                          string  ``0``; its expiry is the trigger
``sojourn:{NN}:<tenant>:log:<id>:<name>``                     list    append-only entries, JSON
``sojourn:{NN}:<tenant>:token:<id>``                          hash    a session's tokens by the hashes of their texts
``sojourn:{NN}:<tenant>:tokens:<id>``                         zset    hashes of those in force by when each is over
``sojourn:{NN}:<tenant>:families:<id>``                       zset    their families by the number of their tokens
``sojourn:{NN}:<tenant>:kinds``                               set     kinds that the tenant has used
``sojourn:{NN}:<tenant>:limits``                              hash    the tenant's limits by name; ``moved``, ``closed``
``sojourn:{NN}:<tenant>:live``                                zset    of a tenant with limits: live ids by last use
``sojourn:{NN}:<tenant>:live:<owner>``                        zset    the same for one owner
``sojourn:{NN}:<tenant>:places``                              hash    their bytes and owners by id; ``/bytes``: the sum
``sojourn:{NN}:<tenant>:rate:<rate>[:<owner>]``               string  when that bucket will be full again
``sojourn:{NN}:<tenant>:told:<limit>``                        string  there for a minute after a refusal was told
``sojourn:{NN}:<tenant>:stats``                               hash    counts of its sessions; see ``counts.py``
``sojourn:{NN}:<tenant>:calls``                               hash    calls of its clients that tell them, likewise
``sojourn:{NN}:<tenant>:index:status:<kind>:<status>``        zset    ids by creation time
``sojourn:{NN}:<tenant>:index:<field>:<value>``               zset    ids by creation time
``sojourn:{NN}:deadlines``                                    zset    ``<tenant>/<id>`` by deadline
``sojourn:{NN}:dirty``                                        zset    ``<tenant>/<id>`` by first unarchived change
``sojourn:{NN}:removals``                                     zset    ``<tenant>/<id>`` by the time to remove it
``sojourn:{NN}:operations``                                   zset    ids of recent writes, by time
``sojourn:{NN}:events``                                       stream  the outbox
``sojourn:{NN}:lost``                                         set     ``<tenant>/<id>`` of records that vanished
``sojourn:{NN}:counts``                                       hash    how often something went wrong, by what
``sojourn:{NN}:/ledger:<hook>``                               zset    events a hook is done with, by time
``sojourn:{NN}:/running:<hook>:<event>``                      string  the job in which the hook has the event in hand
``sojourn:{NN}:/tries:<hook>:<event>``                        string  how often the hook failed on the event
``sojourn:{NN}:/batches``                                     hash    how many batches the archive took, the last when
``sojourn:{NN}:/sweeps``                                      hash    how many sweeps claimed, or failed, the last when
``sojourn:{NN}:/guard``                                       string  there while sessions come back from the archive
``sojourn:{NN}:/removed``                                     zset    ``<tenant>/<id>`` that went meanwhile, by time
``sojourn:{NN}:/staged:<token>:<log>``                        list    entries on their way back from the archive
``sojourn:{NN}:/dead:<hook>``                                 stream  events that the hook was given up on
============================================================  ======  ==========================================

The slash keeps hooks' keys apart from those of a tenant called ``ledger``, for no tenant's name contains one.
``NN`` is the partition: a Redis hash tag, so all keys that one script touches live on one cluster node. Those below 100
are shared by tenants; from 100 on, each is of one tenant alone, which a Redis ACL can then confine to it. All times
are milliseconds since the epoch.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from sojourn.errors import InvalidId, InvalidName
from sojourn.tokens.form import masked_tokens

__all__ = [
    "ARCHIVE",
    "CHANGED_TENANTS",
    "CHECKED",
    "CLIENTS",
    "COPIED_TENANTS",
    "FIRST_ISOLATED",
    "ISOLATED",
    "LAST_ISOLATED",
    "LAYOUT",
    "META",
    "REHYDRATING",
    "TENANTS",
    "Homes",
    "PartitionKeys",
    "TenantKeys",
    "check_id",
    "check_kind",
    "check_tenant",
    "is_id",
    "is_partition",
    "is_tenant",
    "parse_event_id",
    "parse_key",
    "parse_member",
    "parse_tenant_key",
    "partition_for",
    "partition_note",
    "queue_counts",
    "session_pattern",
    "worker_notes",
]

LAYOUT: Final = 1
"""The version of this key schema. A client of another one gets `LayoutMismatch`."""
META: Final = "sojourn:meta"
TENANTS: Final = "sojourn:tenants"
CHANGED_TENANTS: Final = "sojourn:tenants:changed"
COPIED_TENANTS: Final = "sojourn:tenants:copied"
ISOLATED: Final = "sojourn:isolated"
LAST_ISOLATED: Final = "/last"
"""The field of it with the highest number that was ever given out: none is used twice. No tenant is called so."""
FIRST_ISOLATED: Final = 100
"""The first partition that is of one tenant alone."""
_MOST: Final = 999_999
ARCHIVE: Final = "sojourn:archive"
REHYDRATING: Final = "sojourn:rehydrating"
CHECKED: Final = "sojourn:checked"
CLIENTS: Final = "sojourn:clients"

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_EVENT_ID = re.compile(r"([0-9]{1,6})-([0-9]{1,20}-[0-9]{1,20})")
_OF_SESSION = re.compile(
    rf"sojourn:\{{([0-9]{{2}}|[1-9][0-9]{{2,5}})\}}:({_TENANT.pattern}):(lease|session):({_ID.pattern})"
)
_OF_TENANT = re.compile(
    rf"sojourn:\{{([0-9]{{2}}|[1-9][0-9]{{2,5}})\}}:({_TENANT.pattern}):([a-z]+)(?::(.*))?", re.DOTALL
)


def check_tenant(tenant: str) -> str:
    """Return `tenant` if it may be one: a letter or digit, then up to 63 letters, digits, ``_``, ``.`` or ``-``.

    Raises:
        InvalidName: it may not.
    """
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise InvalidName(f"tenant {_shown(tenant)} does not match {_TENANT.pattern}")
    return str.__str__(tenant)  # what a subclass of str, such as an enum, writes into a key may be other text


def is_tenant(name: str) -> bool:
    """Whether a text may be a tenant's name.

    Example:
        >>> is_tenant("acme"), is_tenant("a:b")
        (True, False)
    """
    return _TENANT.fullmatch(name) is not None


def check_kind(kind: str) -> str:
    """Return `kind` if it may be one: a lower-case letter, then up to 63 lower-case letters, digits or ``_``.

    Raises:
        InvalidName: it may not.
    """
    if not isinstance(kind, str) or not _KIND.fullmatch(kind):
        raise InvalidName(f"kind {_shown(kind)} does not match {_KIND.pattern}")
    return str.__str__(kind)


def is_id(text: str) -> bool:
    """Whether a text is a session id.

    Example:
        >>> is_id("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"), is_id("x")
        (True, False)
    """
    return _ID.fullmatch(text) is not None


def check_id(session_id: str) -> str:
    """Return `session_id` if it is one.

    Raises:
        InvalidId: it is not a UUID of version 4 in its canonical lower-case form.
    """
    if type(session_id) is str and _ID.fullmatch(session_id):
        return session_id
    if not isinstance(session_id, str) or not _ID.fullmatch(session_id):
        shown = _shown(session_id)
        if "sjt_" in shown:
            raise InvalidId("this is a token, or part of one, and no session id: tokens.verify() finds its session")
        raise InvalidId(f"{shown} is not a session id (a random UUID in lower case)")
    return str.__str__(session_id)


def _shown(value: object) -> str:
    """Text as it is, but for its length; of anything else the type: showing it may fail, or never end."""
    if not isinstance(value, str):
        return f"<{type(value).__name__:.80}>"
    text = masked_tokens(repr(str.__str__(value)[:80]))
    return text if len(text) <= 80 else text[:77] + "..."


def partition_for(tenant: str, session_id: str, partitions: int) -> int:
    """The partition of a session.

    Today it depends on the tenant alone; the id is taken so that one very large tenant can later be spread.

    Example:
        >>> partition_for("acme", "", 64)
        40
    """
    del session_id
    return binascii.crc_hqx(tenant.encode(), 0) % partitions


def is_partition(number: int, shared: int) -> bool:
    """Whether there can be a partition of that number where `shared` are shared by tenants.

    Example:
        >>> is_partition(7, 8), is_partition(8, 8), is_partition(100, 8)
        (True, False, True)
    """
    return 0 <= number < shared or FIRST_ISOLATED <= number <= _MOST


def partition_note(tenant: str) -> str:
    """The string that tells which partition is a tenant's own.

    Example:
        >>> partition_note("acme")
        'sojourn:partition:acme'
    """
    return f"sojourn:partition:{tenant}"


def queue_counts(queue_prefix: str) -> str:
    """The hash in the queues' Redis that counts what went wrong with a deployment's jobs, by what.

    Example:
        >>> queue_counts("sojourn")
        'sojourn:counts'
    """
    return f"{queue_prefix}:counts"


def worker_notes(queue_prefix: str) -> str:
    """The hash in the sessions' Redis where a deployment's workers count what they do.

    Example:
        >>> worker_notes("sojourn")
        'sojourn:/noted:sojourn'
    """
    return f"sojourn:/noted:{queue_prefix}"


@dataclass(frozen=True)
class PartitionKeys:
    """The keys of one partition.

    Example:
        >>> PartitionKeys(7).events
        'sojourn:{07}:events'
    """

    number: int

    @property
    def is_isolated(self) -> bool:
        """Whether it is of one tenant alone."""
        return self.number >= FIRST_ISOLATED

    @cached_property
    def prefix(self) -> str:
        """What every key of the partition begins with."""
        return f"sojourn:{{{self.number:02d}}}:"

    @cached_property
    def deadlines(self) -> str:
        """Live sessions by deadline."""
        return self.prefix + "deadlines"

    @cached_property
    def dirty(self) -> str:
        """Sessions that the archive does not hold at their last state."""
        return self.prefix + "dirty"

    @cached_property
    def removals(self) -> str:
        """Ended sessions by the time at which they go."""
        return self.prefix + "removals"

    @cached_property
    def lost(self) -> str:
        """Sessions whose record vanished, and whose index entries are still to be combed out."""
        return self.prefix + "lost"

    @cached_property
    def counts(self) -> str:
        """How often something went wrong, by what."""
        return self.prefix + "counts"

    @cached_property
    def operations(self) -> str:
        """Ids of recent writes."""
        return self.prefix + "operations"

    @cached_property
    def events(self) -> str:
        """The outbox stream."""
        return self.prefix + "events"

    def ledger(self, hook: str) -> str:
        """The events that a hook is done with."""
        return f"{self.prefix}/ledger:{hook}"

    def running(self, hook: str, event_id: str) -> str:
        """The job in which a hook has an event in hand."""
        return f"{self.prefix}/running:{hook}:{event_id}"

    def dead(self, hook: str) -> str:
        """The events that a hook was given up on."""
        return f"{self.prefix}/dead:{hook}"

    @cached_property
    def guard(self) -> str:
        """While it is there, sessions that are removed are noted: some may be on their way back from the archive."""
        return self.prefix + "/guard"

    @cached_property
    def removed(self) -> str:
        """The sessions that were removed meanwhile."""
        return self.prefix + "/removed"

    @cached_property
    def batches(self) -> str:
        """How many batches the archive has taken, and when it took the last."""
        return self.prefix + "/batches"

    @cached_property
    def sweeps(self) -> str:
        """How the sweeps of the partition went."""
        return self.prefix + "/sweeps"

    def staged(self, token: str, log: str) -> str:
        """Entries of a log on their way back from the archive; `token` is of those who bring them."""
        return f"{self.prefix}/staged:{token}:{log}"

    def tries(self, hook: str, event_id: str) -> str:
        """How often a hook has failed on an event."""
        return f"{self.prefix}/tries:{hook}:{event_id}"


@dataclass(frozen=True)
class TenantKeys:
    """The keys of one tenant's sessions.

    Example:
        >>> TenantKeys.of("acme", 64).session("ID")
        'sojourn:{40}:acme:session:ID'
    """

    tenant: str
    partition: PartitionKeys

    @classmethod
    def of(cls, tenant: str, partitions: int) -> TenantKeys:
        """The keys of `tenant`.

        Raises:
            InvalidName: not a tenant's name.
        """
        tenant = check_tenant(tenant)
        return cls(tenant, PartitionKeys(partition_for(tenant, "", partitions)))

    @cached_property
    def prefix(self) -> str:
        """What every key of the tenant's alone begins with."""
        return f"{self.partition.prefix}{self.tenant}:"

    @cached_property
    def sessions(self) -> str:
        """What the keys of all records begin with."""
        return self.prefix + "session:"

    @cached_property
    def kinds(self) -> str:
        """The kinds that the tenant has used."""
        return self.prefix + "kinds"

    @cached_property
    def limits(self) -> str:
        """The tenant's limits; and whether it was moved away from here, or is being deleted."""
        return self.prefix + "limits"

    @cached_property
    def live(self) -> str:
        """Live sessions by their last use, of a tenant with limits on them."""
        return self.prefix + "live"

    def live_of(self, owner: str) -> str:
        """The same for one owner."""
        return f"{self.live}:{owner}"

    @cached_property
    def places(self) -> str:
        """How many bytes they take, and whose they are."""
        return self.prefix + "places"

    def rate(self, name: str, owner: str = "") -> str:
        """A bucket of tokens."""
        return f"{self.prefix}rate:{name}" + (f":{owner}" if owner else "")

    def told(self, limit: str) -> str:
        """There for a while after a refusal was told."""
        return f"{self.prefix}told:{limit}"

    @cached_property
    def stats(self) -> str:
        """How many sessions were created, ended and claimed, and how long they took."""
        return self.prefix + "stats"

    @cached_property
    def calls(self) -> str:
        """How many calls clients made, with what result, and how long these took."""
        return self.prefix + "calls"

    def session(self, session_id: str) -> str:
        """The record."""
        return self.sessions + session_id

    def lease(self, session_id: str) -> str:
        """The key whose expiry tells that the session's deadline has passed."""
        return f"{self.prefix}lease:{session_id}"

    def log(self, session_id: str, name: str) -> str:
        """One of the session's append-only logs."""
        return f"{self.prefix}log:{session_id}:{name}"

    def token(self, session_id: str) -> str:
        """What is known of the session's tokens, by the hashes of their texts, and of each family, by its name."""
        return f"{self.prefix}token:{session_id}"

    def tokens(self, session_id: str) -> str:
        """The hashes of its access and refresh tokens, by when each is over."""
        return f"{self.prefix}tokens:{session_id}"

    def families(self, session_id: str) -> str:
        """The families, as ``<when its last token is over>:<name>``, by how many tokens are remembered of each."""
        return f"{self.prefix}families:{session_id}"

    def index(self, field: str, value: str) -> str:
        """The sessions with that value in an indexed field."""
        return f"{self.prefix}index:{field}:{value}"

    def status_index(self, kind: str, status: str) -> str:
        """The sessions of a kind in a status."""
        return self.index("status", f"{kind}:{status}")

    def member(self, session_id: str) -> str:
        """How the partition's sorted sets name the session."""
        return f"{self.tenant}/{session_id}"


@dataclass(frozen=True)
class Homes:
    """Where the tenants' keys are: most share partitions, and some have one of their own.

    Example:
        >>> homes = Homes(64, {"acme": 100})
        >>> homes.of("acme").partition.number, homes.of("other").partition.number
        (100, 33)
    """

    shared: int
    """How many partitions are shared."""
    isolated: Mapping[str, int] = field(default_factory=dict)
    """The partitions of tenants that have their own."""

    def of(self, tenant: str) -> TenantKeys:
        """The tenant's keys.

        Raises:
            InvalidName: not a tenant's name.
        """
        number = self.isolated.get(tenant)
        if number is None:
            return TenantKeys.of(tenant, self.shared)
        return TenantKeys(check_tenant(tenant), PartitionKeys(number))

    def places(self, tenant: str) -> tuple[TenantKeys, ...]:
        """Where keys of the tenant may be: at home, and where it was before it got a partition of its own.

        Raises:
            InvalidName: not a tenant's name.
        """
        home, before = self.of(tenant), TenantKeys.of(tenant, self.shared)
        return (home,) if home == before else (home, before)

    def within(self, tenant: str, number: int) -> TenantKeys | None:
        """The tenant's keys in that partition; None where it cannot have any."""
        if number >= FIRST_ISOLATED:  # it may have been given out a moment ago
            return TenantKeys(tenant, PartitionKeys(number))
        keys = TenantKeys.of(tenant, self.shared)
        return keys if keys.partition.number == number else None

    def has(self, tenant: str, number: int) -> bool:
        """Whether what is told in that partition may be about the tenant.

        In one that is of one tenant alone, whoever is confined to it can write what he likes: all that is told there is
        about that tenant. Those that are shared are written by who serves all.

        Example:
            >>> homes = Homes(64, {"acme": 100})
            >>> homes.has("acme", 100), homes.has("other", 100), homes.has("other", 56)
            (True, False, True)
        """
        return number < FIRST_ISOLATED or self.isolated.get(tenant) == number

    @cached_property
    def partitions(self) -> tuple[PartitionKeys, ...]:
        """Every partition's keys."""
        return tuple(PartitionKeys(number) for number in (*range(self.shared), *sorted(set(self.isolated.values()))))


def parse_member(member: str) -> tuple[str, str]:
    """Tenant and id from ``<tenant>/<id>``.

    Raises:
        InvalidName, InvalidId: it is not of that form.
    """
    tenant, _, session_id = member.partition("/")
    return check_tenant(tenant), check_id(session_id)


def parse_key(key: str) -> tuple[str, int, str, str] | None:
    """What it is, partition, tenant and id from the key of a lease or a session; None for any other key.

    Example:
        >>> parse_key("sojourn:{40}:acme:lease:6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")
        ('lease', 40, 'acme', '6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77')
    """
    match = _OF_SESSION.fullmatch(key)
    return (match[3], int(match[1]), match[2], match[4]) if match else None


def parse_tenant_key(key: str) -> tuple[int, str, str, str] | None:
    """Partition, tenant, what it is, and what it is called behind that; None for a key that is no tenant's.

    Example:
        >>> parse_tenant_key("sojourn:{40}:acme:index:owner:ada")
        (40, 'acme', 'index', 'owner:ada')
    """
    match = _OF_TENANT.fullmatch(key)
    return (int(match[1]), match[2], match[3], match[4] or "") if match else None


def session_pattern(tenant: str | None) -> str:
    """A pattern for SCAN that matches the keys of sessions, of a tenant or of all; hold what it finds to `parse_key`.

    Example:
        >>> session_pattern("acme")
        'sojourn:{*}:acme:session:*'
    """
    return f"sojourn:{{*}}:{'*' if tenant is None else check_tenant(tenant)}:session:*"


def parse_event_id(event_id: str) -> tuple[int, str]:
    """Partition and stream id from an event id, ``<partition>-<ms>-<sequence>``.

    Raises:
        InvalidId: it is not one.

    Example:
        >>> parse_event_id("40-1750000000000-0")
        (40, '1750000000000-0')
    """
    match = _EVENT_ID.fullmatch(event_id) if isinstance(event_id, str) else None
    if match is None:
        raise InvalidId(f"event id {_shown(event_id)} is not of the form <partition>-<ms>-<sequence>")
    return int(match[1]), match[2]
