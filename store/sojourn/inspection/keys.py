"""The keys of a session, one after the other: which there should be, which there are, and what is in them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sojourn.codec import Models
from sojourn.inspection.asking import Answer, Ask, ask_all, hash_, item_of
from sojourn.inspection.commands import RedisCli
from sojourn.inspection.judging import Facts
from sojourn.inspection.model import Item
from sojourn.keys import TenantKeys
from sojourn.models import Status
from sojourn.operations.core import Operation, pairs, raise_for
from sojourn.operations.record import now_ms
from sojourn.operations.tokens import family_named
from sojourn.quotas import TenantLimits
from sojourn.sealing import key_of

__all__ = ["Found", "key_flow"]

Steps = Generator[Operation[Any], Any, Any]
_RATES: Final = ("creates", "owner_creates", "operations", "owner_operations")
_SEALED: Final = "(sealed)"


@dataclass
class Found:
    """What was found so far."""

    facts: Facts
    items: list[Item] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """What this login may not read."""
    damage: str = ""
    """Why the record cannot be read at all."""


def key_flow(
    keys: TenantKeys, session_id: str, models: Models, cli: RedisCli, archived: Mapping[str, str]
) -> Generator[Operation[Any], Any, Found]:
    """Read all keys that the session has, or may have left behind; in three round trips.

    `archived`: its record as the archive holds it, which names logs and indexes where Redis has no record any more.
    """
    look = _Look(keys, session_id)
    answers, clock = yield from look.first()
    record = answers["record"]
    stored = record.value if isinstance(record.value, dict) else {}
    found = Found(Facts(stored, clock), damage=record.problem)
    tell = _Tell(found, cli)
    tell.record(record, answers["memory"])
    known = stored or dict(archived)
    kinds = answers["kinds"].value or []
    limits = answers["limits"].value or {}
    codec = models.codec(known.get("kind", ""))
    names = dict.fromkeys((*Facts(known, clock).logs, *codec.logs))
    second = yield ask_all([*look.logs(names), *look.indexes(known, kinds), *look.limits(known, limits)])
    tell.marks(answers)
    by_part: dict[str, list[Answer]] = {}
    for each in second:
        by_part.setdefault(each.ask.part, []).append(each)
    tell.indexes(by_part.get("indexes", ()), look.expected(stored))
    tell.logs(by_part.get("logs", ()))
    tell.tokens(answers["token"], answers["tokens"], answers["families"])
    tell.limits(answers, by_part.get("limits", ()), limits)
    return found


class _Look:
    """What to ask for."""

    def __init__(self, keys: TenantKeys, session_id: str) -> None:
        self._keys = keys
        self._id = session_id

    def first(self) -> Generator[Operation[Any], Any, tuple[dict[str, Answer], int]]:
        """What needs nothing but the id to be asked for."""
        keys, own, member = self._keys, self._id, self._keys.member(self._id)
        partition = keys.partition
        asks = {
            "record": Ask("record", "record", ("HGETALL", keys.session(own)), True, hash_),
            "memory": Ask("record", "memory", ("MEMORY", "USAGE", keys.session(own))),
            "lease": Ask("marks", "lease", ("EXISTS", keys.lease(own)), has_ttl=True),
            "deadline": Ask("marks", "deadline", ("ZSCORE", partition.deadlines, member)),
            "dirty": Ask("marks", "waits for the archive", ("ZSCORE", partition.dirty, member)),
            "removal": Ask("marks", "removal", ("ZSCORE", partition.removals, member)),
            "lost": Ask("marks", "record found gone", ("SISMEMBER", partition.lost, member)),
            "removed": Ask("marks", "removed while the archive fills Redis", ("ZSCORE", partition.removed, member)),
            "token": Ask("tokens", "tokens", ("HGETALL", keys.token(own)), True, hash_),
            "tokens": Ask("tokens", "list of tokens", ("ZRANGE", keys.tokens(own), 0, -1, "WITHSCORES"), True, pairs),
            "families": Ask("tokens", "families", ("ZRANGE", keys.families(own), 0, -1, "WITHSCORES"), True, pairs),
            "kinds": Ask("indexes", "kinds", ("SMEMBERS", keys.kinds)),
            "limits": Ask("limits", "limits of the tenant", ("HGETALL", keys.limits), False, hash_),
            "place": Ask("limits", "place", ("HGET", keys.places, own)),
            "live": Ask("limits", "last use", ("ZSCORE", keys.live, own)),
        }
        operation = ask_all(list(asks.values()))
        both = Operation((*operation.commands, ("TIME",)), lambda replies: replies)
        replies = yield both
        raise_for(replies[-1], own, keys.tenant)
        found = operation.parse(replies[:-1])
        return dict(zip(asks, found, strict=True)), now_ms(replies[-1])

    def logs(self, names: Iterable[str]) -> list[Ask]:
        """How many entries each log has."""
        return [Ask("logs", name, ("LLEN", self._keys.log(self._id, name)), has_ttl=True) for name in names]

    def expected(self, record: Mapping[str, str]) -> dict[str, str]:
        """The index keys in which the session should be, with what they are."""
        if not record.get("kind") or not record.get("status"):
            return {}
        keys = self._keys
        status = {keys.status_index(record["kind"], record["status"]): f"status {record['status']}"}
        return status | {keys.index(name, value): f"{name} {value}" for name, value in Facts(record, 0).indexes()}

    def indexes(self, record: Mapping[str, str], kinds: Sequence[str]) -> list[Ask]:
        """Its place in each index: where it should be, and in the indexes of every other status."""
        wanted = self.expected(record)
        others = {
            self._keys.status_index(kind, status): f"status {status}"
            + ("" if kind == record.get("kind") else f" of {kind}")
            for kind in sorted({*kinds, record.get("kind", "")} - {""})
            for status in map(str, Status)
        }
        return [Ask("indexes", what, ("ZSCORE", key, self._id)) for key, what in {**others, **wanted}.items()]

    def limits(self, record: Mapping[str, str], limits: Mapping[str, str]) -> list[Ask]:
        """Its owner's place, and the buckets of rates that its calls take from."""
        owner, asks = record.get("owner", ""), []
        if owner:
            asks.append(Ask("limits", "last use, of its owner's", ("ZSCORE", self._keys.live_of(owner), self._id)))
        for name in _RATES:
            if name in limits and (owner or not name.startswith("owner_")):
                key = self._keys.rate(name, owner if name.startswith("owner_") else "")
                asks.append(Ask("limits", f"rate {name}: full again at", ("GET", key), has_ttl=True))
        told = sorted(set(TenantLimits.model_fields) & set(limits))
        what = "refused by {} within the last minute"
        asks += [Ask("limits", what.format(name), ("EXISTS", self._keys.told(name)), has_ttl=True) for name in told]
        return asks


class _Tell:
    """What the answers mean."""

    def __init__(self, found: Found, cli: RedisCli) -> None:
        self._found = found
        self._facts = found.facts
        self._cli = cli

    def _add(self, answer: Answer, drift: str = "", value: Any = None) -> None:
        if answer.refused:
            self._found.refused.append(f"{answer.ask.what} ({answer.ask.key}): this login may not read it")
        elif answer.is_there or drift:
            self._found.items.append(item_of(answer, self._cli, drift=drift, value=value))

    def record(self, answer: Answer, memory: Answer) -> None:
        """The hash."""
        if answer.is_there and not answer.problem:
            stored = answer.value
            shown = {name: _SEALED if key_of(text) else text for name, text in stored.items()}
            self._add(answer, self._facts.of_record(answer.ttl_ms), shown)
            self._add(memory)
        else:
            self._add(answer)

    def marks(self, answers: Mapping[str, Answer]) -> None:
        """The lease, and the entries in the partition's sorted sets."""
        facts = self._facts
        lease = answers["lease"]
        self._add(lease, facts.of_lease(there=lease.is_there, ttl_ms=lease.ttl_ms))
        self._add(answers["deadline"], facts.of_deadline(answers["deadline"].value))
        self._add(answers["dirty"], "" if facts.exists or not answers["dirty"].is_there else facts.of_stray())
        self._add(answers["removal"], facts.of_removal(answers["removal"].value))
        gone = "its record was found gone, and a worker will comb the indexes for it"
        self._add(answers["lost"], gone if answers["lost"].is_there else "")
        self._add(answers["removed"])

    def indexes(self, answers: Iterable[Answer], expected: Mapping[str, str]) -> None:
        """Entries that should be there, and those that should not."""
        for each in answers:
            if each.ask.key in expected:
                self._add(each, self._facts.of_entry(each.value))
            elif each.is_there:
                self._add(each, self._facts.of_stray())

    def logs(self, answers: Iterable[Answer]) -> None:
        """Logs that the record names, and those that it does not."""
        for each in answers:
            drift = ""
            if each.ask.what in self._facts.logs:
                if not each.is_there:
                    drift = "is gone, though the record names it"
                elif each.ttl_ms is None and (self._facts.deadline_ms is not None or not self._facts.is_live):
                    drift = "has no TTL"
            elif each.is_there:
                drift = self._facts.of_stray()
            self._add(each, drift)

    def tokens(self, known: Answer, listing: Answer, families: Answer) -> None:
        """What is known of the tokens, the list of those in force, and that of their families."""
        now = self._facts.now_ms
        in_force = {
            name
            for name, text in (known.value or {}).items()
            if family_named(text, now) and not text.startswith("used ")
        }
        listed = {name for name, score in (listing.value or {}).items() if float(score) > now}
        drifts = [
            "lacks some that are listed" if listed - in_force else "",
            "lacks some" if in_force - listed else "",
            "",
        ]
        for each, drift in zip((known, listing, families), drifts, strict=True):
            if each.is_there and not each.problem:
                drift = drift or ("" if self._facts.is_live else self._facts.of_stray())
                drift = drift or ("has no TTL" if each.ttl_ms is None else "")
            self._add(each, drift)

    def limits(self, first: Mapping[str, Answer], answers: Iterable[Answer], limits: Mapping[str, str]) -> None:
        """What the session takes of what its tenant may have."""
        counted, place = "places" in limits, first["place"]
        if limits:
            self._add(first["limits"])
        for each in (place, first["live"]):
            self._add(each, self._facts.of_place(there=each.is_there, counted=counted))
        for each in answers:
            if each.ask.what.startswith("last use"):
                self._add(each, self._facts.of_place(there=each.is_there, counted=counted))
            elif each.is_there:
                self._add(each)
