"""Going through sessions and what lists them: some by chance, or all, in constant memory.

From the lists to the records, and from the records to the lists; see the scripts ``check_*.lua`` for what must agree.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from sojourn.doctor.look import Look
from sojourn.errors import SojournError
from sojourn.keys import PartitionKeys, TenantKeys, is_id, parse_member, parse_tenant_key
from sojourn.models import Status
from sojourn.operations.core import Operation
from sojourn.operations.drift import check_entries, check_keys, check_sessions, check_total
from sojourn.operations.strays import comb_flow, miss_session

__all__ = ["AT_ONCE", "Drift", "Walk"]

AT_ONCE: Final = 20
"""Sessions, keys or entries of an index that one script looks at, unless it is late before."""
_SUMS: Final = 3
"""How often the places of a tenant are added up at most, where they change meanwhile."""
T = TypeVar("T")
R = TypeVar("R")
_SCAN: Final = 1_000
_SAMPLE: Final = 2_000
"""Sessions, or entries of lists, that are looked at by default, of each sort of list."""
_SCANS: Final = 8
_SCAN_SAMPLE: Final = 100
_KEPT: Final = 3
_PARTITION_SETS: Final = ("deadlines", "dirty", "removals")


@dataclass
class Drift:
    """What a walk found."""

    seen: int = 0
    """Sessions that were looked at; some of them more than once."""
    counts: Counter[str] = field(default_factory=Counter)
    """How often something was wrong, by the word for it."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Some of what it was wrong with."""

    def note(self, word: str, what: str) -> None:
        """Something is wrong with something."""
        self.counts[word] += 1
        some = self.examples.setdefault(word, [])
        if len(some) < _KEPT and what not in some:
            some.append(what)


class Walk:
    """One walk.

    Args:
        look: at the deployment.
        mends: whether what disagrees with its record is mended.
    """

    def __init__(self, look: Look, *, mends: bool = False) -> None:
        self._look = look
        self._mends = mends
        self._context = look.context
        self.drift = Drift()

    # The two ways to go

    def sample(self) -> Drift:
        """Look at some sessions: a stretch of each list from a random place on, and keys by chance."""
        look = self._look
        sets = [getattr(each, name) for each in look.homes.partitions for name in _PARTITION_SETS]
        for partition, members in self._stretches(sets):
            self._members(partition, members)
        indexes = self._status_indexes()
        for index, members in self._stretches(list(indexes)):
            self._entries(indexes[index], index, members)
        for _ in range(_SCANS):
            # Any number is a place to begin; the walk is not to come to an end, so nothing is missed by that.
            ((_, found),) = look.ask(("SCAN", random.getrandbits(48), "MATCH", "sojourn:{*", "COUNT", _SCAN_SAMPLE))
            self._keys(found, whole=False)
        return self.drift

    def everything(self) -> Drift:
        """Look at all there is: every key, and every entry of every list."""
        look = self._look
        (total,) = look.ask(("DBSIZE",))
        done, cursor = 0, "0"
        while True:
            ((cursor, found),) = look.ask(("SCAN", cursor, "MATCH", "sojourn:{*", "COUNT", _SCAN))
            self._keys(found, whole=True)
            done += _SCAN
            if look.progress is not None:
                look.progress(min(done, total), total)
            if cursor == "0":
                break
        for partition in look.homes.partitions:
            for name in _PARTITION_SETS:
                for members in self._scanned("ZSCAN", getattr(partition, name)):
                    self._members(partition.prefix + name, members)
        if self._mends:
            self._comb()
        return self.drift

    def _comb(self) -> None:
        """What is gone without its field values is looked for in all indexes."""
        flow, result = comb_flow(self._look.homes.partitions), None
        while True:
            try:
                result = self._look.run(flow.send(result))
            except StopIteration:
                return

    # Reading lists

    def _places(self) -> Iterator[TenantKeys]:
        for tenant in self._look.tenants:
            try:
                yield from self._look.homes.places(tenant)
            except SojournError:  # no tenant of ours is called so
                continue

    def _status_indexes(self) -> dict[str, TenantKeys]:
        places = list(self._places())
        kinds = self._look.ask(*(("SMEMBERS", each.kinds) for each in places))
        return {
            keys.status_index(kind, status): keys
            for keys, known in zip(places, kinds, strict=True)
            for kind in known or ()
            if kind.isascii()
            for status in Status
        }

    def _stretches(self, keys: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
        """Of each sorted set so many members, from a random place on, that all together are not too many."""
        sizes = dict(zip(keys, self._look.ask(*(("ZCARD", each) for each in keys)), strict=True))
        there = [each for each in keys if sizes[each]]
        each_gets = max(5, _SAMPLE // max(1, len(there)))
        chosen = random.sample(there, min(len(there), _SAMPLE // 5))
        first = [random.randrange(max(1, sizes[each] - each_gets + 1)) for each in chosen]  # noqa: S311
        found = self._look.ask(
            *(("ZRANGE", key, start, start + each_gets - 1) for key, start in zip(chosen, first, strict=True))
        )
        for key, members in zip(chosen, found, strict=True):
            yield key, list(members or ())

    def _scanned(self, command: str, key: str) -> Iterator[list[str]]:
        for found in self._fields(key, command):
            yield found[::2]

    def _fields(self, key: str, command: str = "HSCAN") -> Iterator[list[str]]:
        cursor = "0"
        while True:
            (reply,) = self._look.ask((command, key.encode(errors="surrogateescape"), cursor, "COUNT", _SCAN))
            if reply is None:  # of another type
                return
            cursor, found = reply
            yield list(found)
            if cursor == "0":
                return

    # Holding what was read against the records

    def _keys(self, found: Iterable[str], *, whole: bool) -> None:
        """Look at keys, whatever they are."""
        sessions: dict[TenantKeys, list[str]] = {}
        others: dict[TenantKeys, list[tuple[str, str]]] = {}
        for key in found:
            parsed = parse_tenant_key(key)
            keys = None if parsed is None else self._look.homes.within(parsed[1], parsed[0])
            if parsed is None or keys is None:
                continue
            _, _, what, name = parsed
            if what == "session" and is_id(name):
                sessions.setdefault(keys, []).append(name)
            elif what in ("lease", "log", "token", "tokens", "families"):
                others.setdefault(keys, []).append((what, name))
            elif what in ("index", "live"):
                for members in self._scanned("ZSCAN", key) if whole else [m for _, m in self._stretches([key])]:
                    self._entries(keys, key, members)
            elif what == "places" and whole:
                for members in self._scanned("HSCAN", key):
                    self._sessions({keys: self._without_record(keys, [each for each in members if is_id(each)])})
                self._total(keys)
        self._sessions(sessions)
        for keys, named in others.items():
            step = partial(check_keys, keys, mends=self._mends)
            for (what, name), outcome in self._asked(step, named):
                if outcome != "fine":
                    self.drift.note("stray", f"{keys.prefix}{what}:{name}")

    def _total(self, keys: TenantKeys) -> None:
        """The sum of the places' bytes."""
        outcome = self._look.run(check_total(keys, mends=self._mends))
        for _ in range(_SUMS if outcome == "many" else 0):
            (told,) = self._look.ask(("HGET", keys.places, "/bytes"))
            places = self._bytes_of_places(keys)
            summed = int(told) if str(told).lstrip("-").isdecimal() else 0, sum(places.values())
            if summed[0] != summed[1] and self._bytes_of_places(keys) != places:
                outcome = "moved"  # one that went and one that came may take as much, and both have been counted
                continue
            outcome = self._look.run(check_total(keys, mends=self._mends, summed=summed))
            if outcome != "moved":
                break
        if outcome == "wrong":
            self.drift.note("place", f"{keys.places} /bytes")

    def _bytes_of_places(self, keys: TenantKeys) -> dict[str, int]:
        """The bytes of each place, by its session's id."""
        found: dict[str, int] = {}
        for flat in self._fields(keys.places):
            for name, held in zip(flat[::2], flat[1::2], strict=True):
                bytes_ = held.partition("/")[0]
                found[name] = int(bytes_) if is_id(name) and bytes_.isdecimal() else 0
        return found

    def _members(self, key: str, members: Iterable[str]) -> None:
        """Members of a partition's sorted set: ``<tenant>/<id>``."""
        number = int(key.partition("{")[2].partition("}")[0])
        sessions: dict[TenantKeys, list[str]] = {}
        for member in members:
            try:
                tenant, session_id = parse_member(member)
            except SojournError:
                self._odd_member(key, member)
                continue
            sessions.setdefault(TenantKeys(tenant, PartitionKeys(number)), []).append(session_id)
        if self._look.full:  # those that are there are looked at where their keys are
            sessions = {keys: self._without_record(keys, ids) for keys, ids in sessions.items()}
        self._sessions(sessions)

    def _without_record(self, keys: TenantKeys, ids: Sequence[str]) -> list[str]:
        there = self._look.ask(*(("EXISTS", keys.session(each)) for each in ids))
        return [each for each, exists in zip(ids, there, strict=True) if not exists]

    def _odd_member(self, key: str, member: str) -> None:
        """No session can be called so: nobody waits for it."""
        self.drift.note("stray", f"{key} {member[:80]!r}")
        if self._mends:
            self._look.ask(("ZREM", key, member.encode(errors="surrogateescape")))

    def _entries(self, keys: TenantKeys, index: str, members: Iterable[str]) -> None:
        """Entries of an index, or of a set of live sessions: ids."""
        ids = [each for each in members if is_id(each)]
        outcomes = list(self._asked(partial(check_entries, keys, index, mends=False), ids))
        gone = [each for each, outcome in outcomes if outcome == "gone"]
        stray = [each for each, outcome in outcomes if outcome == "stray"]
        self.drift.seen += len(ids)
        for session_id in stray:
            self.drift.note("place" if index.startswith(keys.live) else "index", f"{index} {session_id}")
        self._gone(keys, gone)
        if self._mends and (gone or stray):
            list(self._asked(partial(check_entries, keys, index, mends=True), gone + stray))
        if index.startswith(keys.prefix + "index:status:") and not self._look.full:
            self._sessions({keys: ids})  # a walk over everything comes to them in any case

    def _sessions(self, sessions: dict[TenantKeys, list[str]]) -> None:
        """Sessions, whether or not they are there; empties the mapping."""
        wanted = {keys: list(dict.fromkeys(ids)) for keys, ids in sessions.items()}
        sessions.clear()
        if self._mends:
            self._miss(wanted.items())
        for keys, ids in wanted.items():
            self.drift.seen += len(ids)
            for session_id, words in self._asked(partial(check_sessions, self._context, keys, mends=self._mends), ids):
                for word in words:
                    self.drift.note(word, keys.session(session_id))

    def _asked(self, step: Callable[[Sequence[T]], Operation[list[R]]], items: Sequence[T]) -> Iterator[tuple[T, R]]:
        """What each step answers for its items; those that a script has no time for are sent once more."""
        parts = [items[start : start + AT_ONCE] for start in range(0, len(items), AT_ONCE)]
        while parts:
            found = self._look.run_many([step(some) for some in parts])
            for some, outcomes in zip(parts, found, strict=True):
                yield from zip(some, outcomes, strict=False)
            parts = [some[len(own) :] for some, own in zip(parts, found, strict=True) if len(own) < len(some)]

    def _miss(self, asked: Iterable[tuple[TenantKeys, Sequence[str]]]) -> None:
        """Have those told as lost whose records are gone, before their traces are."""
        for keys, ids in asked:
            self._gone(keys, self._without_record(keys, ids))

    def _gone(self, keys: TenantKeys, ids: Sequence[str]) -> None:
        """Ids without a record: told as lost where they were not removed properly, once."""
        told = self._look.run_many([miss_session(keys, each) for each in ids]) if self._mends else ["lost"] * len(ids)
        for session_id, outcome in zip(ids, told, strict=True):
            if outcome in ("lost", "cleaned"):
                self.drift.note("gone", keys.session(session_id))
