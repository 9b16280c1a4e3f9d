"""The keys themselves: of a deployment, of a partition, and of a tenant in it."""

from __future__ import annotations

import binascii
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from sojourn.keys.names import check_tenant

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
    "PartitionKeys",
    "TenantKeys",
    "is_partition",
    "partition_for",
    "partition_note",
    "queue_counts",
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
