"""All checks, in the order in which they are made."""

from __future__ import annotations

from typing import Final

from sojourn.doctor import archive, events, jobs, layout, records, server
from sojourn.doctor.finding import Check
from sojourn.doctor.settings import settings

__all__ = ["CHECKS"]

_DRIFT: Final = "goes through all sessions, and has what disagrees agree with the records, each in one script"

CHECKS: Final[tuple[Check, ...]] = (
    Check(
        "settings", settings, "settings that contradict one another", "each is allowed, but together they lose data or "
        "time", "error", needs="nothing",
    ),
    Check(
        "version", server.version, "the version of Redis", "the scripts need 6.2; some versions have holes that matter "
        "here", "error", needs="server",
    ),
    Check(
        "login", server.login, "what this login may do, and whether anybody may log in",
        "what doctor may not look at is not known to be well", "warning", needs="server",
    ),
    Check(
        "persistence", server.persistence, "the append-only file and snapshots, and whether writing them goes well",
        "what is not on disk is gone with Redis; what the archive has not, for good", "error", needs="server",
    ),
    Check(
        "memory", server.memory, "maxmemory, its policy, and what was evicted", "an evicted session is lost without a "
        "word; a full Redis takes no new ones", "error", needs="server",
    ),
    Check(
        "encoding", server.encoding, "whether records are kept in Redis's compact encoding",
        "memory is what sessions cost", "info", needs="server",
    ),
    Check(
        "notifications", server.notifications, "whether Redis tells of expiries and evictions",
        "evictions are noticed late, and expiries by the sweeper alone", "warning", needs="server",
        fix=server.fix_notifications, fixes="adds the flags E, x and e to those that are set, until Redis restarts",
    ),
    Check(
        "scripts", server.scripts, "whether Redis takes every script; those that it does not know yet are loaded",
        "every write is a script", "error", needs="server",
    ),
    Check(
        "layout", layout.layout, "whether this Redis is laid out as the settings say", "clients with other partitions "
        "do not find the sessions", "error", needs="server",
    ),
    Check(
        "clock", server.clock, "Redis's clock against this machine's, the archive's, and its own past",
        "deadlines go by Redis's clock; RQ and people by those of machines", "warning",
    ),
    Check(
        "partitions", layout.partitions, "whether all are told the same partitions of tenants that have their own",
        "clients that are told another do not find their sessions", "error",
    ),
    Check(
        "keys", layout.keys, "shared keys of another type than they should be", "other hands wrote them; calls that "
        "need them fail, and what they should hold is not looked at here", "error",
    ),
    Check(
        "ttls", records.ttls, "records and logs without the TTL that they should have",
        "without one they stay in Redis for ever once nothing lists them; too short a one loses them", "warning",
        fix=records.fix_drift, fixes=_DRIFT,
    ),
    Check(
        "indexes", records.indexes, "entries of indexes against the records, both ways",
        "lists and counts tell what is not so", "warning", fix=records.fix_drift, fixes=_DRIFT,
    ),
    Check(
        "deadlines", records.deadlines, "deadlines, leases and times of removal against the records, both ways",
        "a session that is not among the deadlines never expires", "error", fix=records.fix_drift, fixes=_DRIFT,
    ),
    Check(
        "places", records.places, "what tenants' limits count against the records, both ways",
        "a tenant is refused what it may have, or may have more", "warning", fix=records.fix_drift, fixes=_DRIFT,
    ),
    Check(
        "tokens", records.tokens, "lists of tokens against the tokens and their sessions",
        "a limit counts tokens that are not there, or one outlives its session's end", "warning",
        fix=records.fix_drift, fixes=_DRIFT,
    ),
    Check(
        "strays", records.strays, "leases, logs, tokens and entries that belong to no session",
        "they take memory for ever", "warning", fix=records.fix_drift, fixes=_DRIFT,
    ),
    Check(
        "missing", records.missing, "sessions that are listed and have no record", "they were evicted, or deleted by "
        "other hands, and nobody was told", "warning", fix=records.fix_drift,
        fixes="tells them as lost, takes them off all lists, and " + _DRIFT,
    ),
    Check(
        "damaged", records.damaged, "records that cannot be read", "they never expire, and are not archived", "warning",
    ),
    Check(
        "overdue", records.overdue, "sessions that are past their deadline and not claimed",
        "their hooks do not run, and in the end their records go", "error",
        fix=records.fix_overdue, fixes="claims them as a worker would, after a look whether the archive is ahead",
    ),
    Check(
        "outbox", events.outbox, "events that are kept for groups which have not read them",
        "nothing that a group has not read is dropped, so Redis fills up until it refuses writes", "error",
    ),
    Check(
        "groups", events.groups, "how far each group is behind", "what it does is done late", "warning",
    ),
    Check(
        "consumers", events.consumers, "consumers that are gone", "what they have in hand waits for another one",
        "warning", fix=events.fix_consumers, fixes="forgets those that hold nothing, which the script looks at itself",
    ),
    Check(
        "dead-letters", jobs.dead_letters, "events that hooks were given up on",
        "the hook never ran to its end on these events", "warning",
    ),
    Check(
        "lost", jobs.lost, "records that vanished, as counted since this Redis was laid out",
        "what they held since they were last archived is lost", "warning",
    ),
    Check(
        "restored", jobs.restored, "how often Redis was behind the archive", "Redis was restored from an older copy: "
        "what was written since, and not archived, is gone", "warning",
    ),
    Check(
        "jobs", jobs.jobs, "jobs that nobody takes, and jobs that no worker may run", "no hook runs; or somebody else "
        "writes to the queues", "error",
    ),
    Check(
        "workers", jobs.workers, "whether each role of workers is there, one for each queue, and each at one queue",
        "without one of them nothing expires in time, no hook runs, or nothing is archived", "error",
    ),
    Check(
        "agreement", jobs.agreement, "whether the settings of all processes agree, which workers tell in Redis, and "
        "stores that are set to", "what one writes the other removes too early, looks for elsewhere, or cannot read",
        "error",
    ),
    Check(
        "archive", archive.archive, "whether PostgreSQL answers, with the tables of this version",
        "nothing is archived meanwhile; it waits in Redis", "error", needs="archive",
    ),
    Check(
        "dirty", archive.dirty, "for how long changes wait for the archive",
        "what is not archived is lost if Redis is", "error",
    ),
    Check(
        "runs", archive.runs, "how the last archive run ended", "what waits is archived later, or never", "warning",
        needs="archive",
    ),
    Check(
        "connections", archive.connections, "connections left in PostgreSQL, transactions that last, dead rows",
        "an archive run that gets no connection waits; tables that are not cleaned grow", "error", needs="archive",
    ),
    Check(
        "audit", archive.audit, "whether each tenant's audit trail ends as noted", "somebody changed it", "error",
        needs="archive",
    ),
)  # fmt: skip
"""Every check; the reference in the documentation is held against it."""
