"""Workers and what they work on: jobs, dead letters, what was lost, and whether everybody is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from sojourn.clients import STORE, Client, described
from sojourn.doctor.finding import Finding, error, info, ok, redis_cli, warning
from sojourn.doctor.look import Look

__all__ = ["agreement", "dead_letters", "jobs", "lost", "restored", "workers"]

_SHOWN: Final = 3
_LONGEST: Final = 64
_OTHERS: Final = {
    "queue": "queue_url (by digest; two names of one server differ, too)",
    "archive": "archive_url (by digest; two names of one server differ, too)",
    "grace_s": "grace, in seconds",
    "retention_s": "retention, in seconds",
    "events_cap": "events_cap",
    "hooks": "hooks (by digest)",
}
"""The settings in which the processes of one deployment must agree, and what they are called for people."""


def dead_letters(look: Look) -> Iterator[Finding]:
    """Events that hooks were given up on."""
    there = {hook: number for hook, number in look.metrics.dead_letters.items() if number}
    if not there:
        yield ok("there are none")
        return
    told = ", ".join(f"{number} of hook '{hook}'" for hook, number in sorted(there.items()))
    yield warning(
        told, "see why, mend the hook, and have it run again on them", "sojourn dead list", "sojourn dead replay --all"
    )


def lost(look: Look) -> Iterator[Finding]:
    """Records that vanished."""
    number = look.metrics.counts.get("lost", 0)
    if not number:
        yield ok("no record was ever found gone")
        return
    back = ("sojourn rehydrate",) if look.settings.archive_url else ()
    yield warning(
        f"{number} records were gone though nobody had removed them: evicted, or deleted by other hands",
        "let Redis evict nothing" + (", and bring back what the archive holds" if back else ""),
        redis_cli("CONFIG", "SET", "maxmemory-policy", "noeviction"), *back,
    )  # fmt: skip


def restored(look: Look) -> Iterator[Finding]:
    """How often Redis was behind the archive."""
    counts = look.metrics.counts
    partitions, sessions = counts.get("restored", 0), counts.get("stale", 0)
    if not (partitions or sessions):
        yield ok("Redis was never found behind the archive")
        return
    yield warning(
        f"{partitions} times a partition, {sessions} times a session was behind the archive, and brought up to it",
        "keep every write, here and in redis.conf; see docs/recovery.md",
        redis_cli("CONFIG", "SET", "appendonly", "yes"), redis_cli("CONFIG", "REWRITE"),
    )  # fmt: skip


def jobs(look: Look) -> Iterator[Finding]:
    """Jobs that nobody takes, and jobs that no worker may run."""
    metrics, settings = look.metrics, look.settings
    if metrics.queue is None:
        yield error(
            "the queues' Redis does not answer", "check queue_url, and start that Redis",
            "sojourn config", redis_cli("PING", queues=True),
        )  # fmt: skip
        return
    deserted = {name: n for name, n in metrics.waiting.items() if n and not metrics.workers.get(name)}
    refused = {name: metrics.queue.get(name, 0) for name in ("refused_jobs", "set_aside_jobs", "unreadable_jobs")}
    if deserted:
        yield warning(
            ", ".join(f"{n} jobs wait in {name} and no worker is there" for name, n in deserted.items()),
            "start one: nothing is done until it comes", "sojourn worker",
        )  # fmt: skip
    if any(refused.values()):
        yield warning(
            ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in refused.items() if number),
            "somebody else writes to the queues, by mistake or on purpose: see the workers' logs, and who may write to "
            f"the keys {settings.queue_prefix}* and rq:*",
            redis_cli("ACL", "LIST"),
        )
    if not (deserted or any(refused.values())):
        yield ok("no job was refused or set aside, and none waits for a worker that is not there")


def _ours(look: Look) -> list[Client]:
    return [each for each in look.clients if each.settings.get("queue_prefix") == look.settings.queue_prefix]


def workers(look: Look) -> Iterator[Finding]:
    """Whether each role is there, and each worker at one queue."""
    settings, metrics = look.settings, look.metrics
    there = Counter(each.role for each in _ours(look))
    for kind in (
        "hooks",
        "archive",
    ):  # the queue's own knowledge counts as well
        there[f"jobs:{kind}"] = max(there[f"jobs:{kind}"], metrics.workers.get(f"{settings.queue_prefix}-{kind}", 0))
    roles = sorted(role for role, number in there.items() if number and role != STORE)
    has_archive = settings.archive_url is not None
    if not roles and not (settings.hooks or has_archive):
        yield ok("no worker is there, and none is needed: there is no archive and no hook; creating claims what is due")
        return
    needed = ["listen", "dispatch", "jobs:hooks", *(["jobs:archive"] if has_archive else ()), "schedule"]
    missing = [role for role in needed if not there[role]]
    if missing:
        yield error(
            f"no worker has the role {', '.join(missing)}" + (f"; there are {', '.join(roles)}" if roles else ""),
            "start them", *(["sojourn worker"] if len(missing) == len(needed) else [
                f"sojourn worker --role {role.removeprefix('jobs:')}" for role in missing]),
        )  # fmt: skip
    greedy = {} if look.queues is None else look.queues.greedy
    if greedy:
        told = "; ".join(
            f"'{name[:_LONGEST]}' takes from {' and '.join(each[:_LONGEST] for each in queues[:_SHOWN])}"
            for name, queues in sorted(greedy.items())[:_SHOWN]
        )
        yield error(
            f"{len(greedy)} workers take jobs from several queues: {told}: one that dies as it takes a job loses it",
            "find them and end them, and start Sojourn's own: each of its processes takes from one queue",
            *(redis_cli("HMGET", f"rq:worker:{name}", "hostname", "pid", queues=settings.queue_url is not None)
              for name in sorted(greedy)[:_SHOWN]),
            "sojourn worker",
        )  # fmt: skip
    if not (missing or greedy):
        yield ok("there are " + ", ".join(f"{there[role]} {role}" for role in needed))


def agreement(look: Look) -> Iterator[Finding]:
    """Whether the processes of this deployment, and these settings, agree."""
    here = Client("doctor", "here", 0, described(look.settings))
    ours = [here, *_ours(look)]
    contradictions = [each for name, told in _OTHERS.items() if (each := _contradiction(name, told, ours))]
    sealing = _unreadable(ours)
    if contradictions:
        yield warning(
            "; ".join(contradictions), "give all of them the same settings, and start again those that have others",
            "sojourn config",
        )  # fmt: skip
    if sealing:
        yield error(
            sealing, "give every process all keys before one of them seals with a new one", "sojourn secrets status"
        )
    versions = sorted({str(each.settings.get("version")) for each in ours} - {"None", ""})
    if len(versions) > 1:
        yield info(f"the versions {', '.join(versions)} of Sojourn work here together", "bring all to one version")
    if not (contradictions or sealing or len(versions) > 1):
        yield ok(f"{len(ours) - 1} processes have told their settings, and they agree with these")


def _contradiction(name: str, told: str, ours: list[Client]) -> str:
    by_value: dict[str, list[Client]] = {}
    for each in ours:
        value: Any = each.settings.get(name)
        if value is None and (name == "archive" or each.role == "store"):
            continue  # a process needs no archive, unless it is one that archives
        if name == "hooks" and each.role not in ("doctor", "dispatch", "jobs:hooks"):
            continue
        by_value.setdefault(str(value), []).append(each)
    if name == "hooks" and len(by_value) > 1:  # a doctor who knows of none is no contradiction
        by_value = {value: some for value, some in by_value.items() if [each.role for each in some] != ["doctor"]}
    if len(by_value) < 2:
        return ""
    shown = (
        f"{value} ({', '.join(each.name if each.pid else 'these settings' for each in some[:_SHOWN])})"
        for value, some in by_value.items()
    )
    return f"{told}: {' against '.join(shown)}"


def _unreadable(ours: list[Client]) -> str:
    """Whose secrets somebody cannot open."""
    for one in ours:
        seals = one.settings.get("seals")
        for other in ours:
            opens = other.settings.get("opens")
            if seals is not None and opens and isinstance(opens, list) and seals not in opens:
                names = [each.name if each.pid else "these settings" for each in (one, other)]
                return f"{names[0]} seals secrets with the key '{seals}', which {names[1]} does not have"
    return ""
