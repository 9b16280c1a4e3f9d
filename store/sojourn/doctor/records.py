"""Sessions and what lists them: what disagrees with the records, and making it agree."""

from __future__ import annotations

from collections.abc import Iterator

from sojourn.doctor.finding import Finding, error, ok, redis_cli, warning
from sojourn.doctor.look import Look
from sojourn.operations.expiry import claim_due
from sojourn.operations.record import now_ms

__all__ = [
    "damaged",
    "deadlines",
    "fix_drift",
    "fix_overdue",
    "indexes",
    "missing",
    "overdue",
    "places",
    "strays",
    "tokens",
    "ttls",
]

_LATE_MS = 10_000
"""A sweeper claims within milliseconds; a create does, where no worker runs, two at a time."""
_CLAIMS = 100
_MEND = "have what disagrees put right from the records"
_FIX = "sojourn doctor --fix --full"


def _looked(look: Look) -> str:
    number = look.drift.seen
    return f"all {number} entries and sessions" if look.full else f"{number} entries and sessions, taken by chance,"


def _told(look: Look, words: dict[str, str]) -> str:
    """What was found by these words: how often, and some of it."""
    drift = look.drift
    parts = [
        f"{drift.counts[word]} {text}, such as {', '.join(drift.examples[word])}"
        for word, text in words.items()
        if drift.counts[word]
    ]
    return f"of {_looked(look)} {'; '.join(parts)}" if parts else ""


def ttls(look: Look) -> Iterator[Finding]:
    """Records and logs without a TTL whose sessions have a deadline, or have ended."""
    told = _told(look, {"ttl": "records have not the TTL that they should", "log": "logs have not"})
    yield (
        warning(told, _MEND, _FIX, fixable=True) if told else ok(f"{_looked(look)} have the TTL that they should")
    )  # fmt: skip


def indexes(look: Look) -> Iterator[Finding]:
    """Entries of indexes."""
    told = _told(look, {"index": "are in an index where they do not belong, or not in one where they do"})
    yield warning(told, _MEND, _FIX, fixable=True) if told else ok(f"{_looked(look)} are where they belong")


def deadlines(look: Look) -> Iterator[Finding]:
    """Deadlines, leases, and the times of removal."""
    told = _told(
        look,
        {
            "deadline": "are not among the deadlines as their records say",
            "lease": "have no lease as their records say",
            "removal": "are not in line to be removed as their records say",
        },
    )
    finding = error if look.drift.counts["deadline"] else warning
    yield finding(told, _MEND, _FIX, fixable=True) if told else ok(f"{_looked(look)} expire when their records say")


def places(look: Look) -> Iterator[Finding]:
    """What tenants' limits count."""
    told = _told(look, {"place": "count against their tenants' limits as they should not, or do not as they should"})
    yield warning(told, _MEND, _FIX, fixable=True) if told else ok(f"{_looked(look)} count as they should")


def tokens(look: Look) -> Iterator[Finding]:
    """Lists of tokens."""
    told = _told(look, {"token": "list tokens that are not theirs, or are over"})
    yield warning(told, _MEND, _FIX, fixable=True) if told else ok(f"{_looked(look)} list the tokens that they have")


def strays(look: Look) -> Iterator[Finding]:
    """What sessions left behind that are gone."""
    told = _told(look, {"stray": "keys and entries belong to no session"})
    yield warning(told, "have them removed", _FIX, fixable=True) if told else ok("nothing was left behind")


def missing(look: Look) -> Iterator[Finding]:
    """Sessions that something lists, and whose records are gone."""
    told = _told(look, {"gone": "have no record any more"})
    if not told:
        yield ok("every session that is listed has its record")
        return
    back = ("sojourn rehydrate",) if look.settings.archive_url else ()
    yield warning(
        told,
        "have them told as lost and taken off the lists" + (", then bring back what the archive holds" if back else ""),
        _FIX, *back, fixable=True,
    )  # fmt: skip


def damaged(look: Look) -> Iterator[Finding]:
    """Records and keys that cannot be read."""
    told = _told(look, {"damaged": "records are damaged", "odd": "belong to keys of another type"})
    counted = look.metrics.counts.get("damaged", 0)
    if told:
        some = look.drift.examples.get("damaged", look.drift.examples.get("odd", []))
        yield warning(
            told, "look at them, and put right what other hands wrote, or restore them from the archive",
            *(redis_cli("HGETALL", each) for each in some[:1]), "sojourn events --from oldest --json",
        )  # fmt: skip
    elif counted:
        yield warning(
            f"{counted} records were found damaged at their deadline",
            "find them in the events, and look at their keys", "sojourn events --from oldest --json",
        )  # fmt: skip
    else:
        yield ok("no record was found damaged")


def fix_drift(look: Look) -> str:
    """Go through all there is, and mend it."""
    from sojourn.doctor.walk import Walk

    counts = Walk(look, mends=True).everything().counts
    told = ", ".join(f"{number} {word}" for word, number in sorted(counts.items()))
    return f"put right: {told or 'nothing; it was so already'}"


def overdue(look: Look) -> Iterator[Finding]:
    """Sessions past their deadline that nobody has claimed."""
    partitions = look.homes.partitions
    (reply,) = look.ask(("TIME",))
    now = now_ms(reply)
    counted = look.ask(*(("ZCOUNT", each.deadlines, "-inf", now - _LATE_MS) for each in partitions))
    oldest = look.ask(*(("ZRANGE", each.deadlines, 0, 0, "WITHSCORES") for each in partitions))
    number = sum(filter(None, counted))
    if not number:
        yield ok(f"no session is past its deadline by more than {_LATE_MS // 1000} s")
        return
    late_s = (now - min(float(each[1]) for each in oldest if each)) / 1000
    grace_s = look.settings.grace.total_seconds()
    finding = error if late_s > grace_s / 2 else warning
    yield finding(
        f"{number} sessions are past their deadline by more than {_LATE_MS // 1000} s, one by {late_s:.0f} s: no "
        f"worker claims them; their records go {grace_s:.0f} s after their deadlines in any case",
        "have them claimed, and start a worker", "sojourn doctor --fix --check overdue", "sojourn worker",
        fixable=True,
    )  # fmt: skip


def fix_overdue(look: Look) -> str:
    """Claim them, as a worker would: after a look whether the archive holds later states."""
    if look.settings.archive_url is not None:
        from sojourn.archive.agree import bring_up_redis

        bring_up_redis(look.settings, look.execute)
    archived = look.settings.archive_url is not None
    expired = lost = 0
    for partition in look.homes.partitions:
        more = True
        while more:
            swept = look.run(claim_due(look.context, partition, _CLAIMS, archived=archived))
            expired, lost, more = expired + swept.expired, lost + swept.lost, swept.more
    return f"{expired} sessions expired" + (f", {lost} were lost or damaged" if lost else "")
