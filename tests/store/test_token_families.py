"""Many tokens of one session: which go where there is no room, and what is left of a family that ended."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.census import strays
from tests.drivers import StoreOpener
from tests.store.examples import JobSession, keys_of
from tests.store.test_tokens import held, reason, token_keys
from tests.waiting import eventually

from sojourn import SessionStore

Jobs = SessionStore[JobSession]
LIMIT = 24


@dataclass
class Family:
    """What a family should be."""

    access: str
    refresh: str | None
    over: Any
    used: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many tokens of it are remembered."""
        return 1 + (self.refresh is not None) + len(self.used)


class Expected:
    """The families that a session should have, by name."""

    def __init__(self, jobs: Jobs, session_id: str) -> None:
        self.jobs = jobs
        self.id = session_id
        self.families: dict[str, Family] = {}

    def issue(self, access_ttl: int, refresh_ttl: int | None) -> None:
        """Issue a pair; the largest others go while there are too many."""
        pair = self.jobs.tokens.issue(self.id, access_ttl=access_ttl, refresh_ttl=refresh_ttl)
        family = Family(
            pair.access, pair.refresh, max(pair.access_expires_at, pair.refresh_expires_at or pair.access_expires_at)
        )
        (name,) = {each.id for each in self.jobs.tokens.list(self.id)} - self.families.keys()
        self.families[name] = family
        self._make_room(name)

    def refresh(self, name: str) -> None:
        """Renew the pair of a family."""
        family = self.families[name]
        token = str(family.refresh)
        if self._total() + 1 > LIMIT and self._largest() == name:
            assert reason(self.jobs.tokens.refresh, token) == "limit"
            del self.families[name]
            return
        pair = self.jobs.tokens.refresh(token)
        assert reason(self.jobs.tokens.verify, family.access) == "unknown"
        family.used.append(token)
        family.access, family.refresh, family.over = pair.access, pair.refresh, pair.refresh_expires_at
        self._make_room(name)

    def _total(self) -> int:
        return sum(each.size for each in self.families.values())

    def _largest(self, keep: str = "") -> str:
        others = {name: each for name, each in self.families.items() if name != keep}
        return min(others, key=lambda name: (-others[name].size, others[name].over, name))

    def _make_room(self, keep: str) -> None:
        while self._total() > LIMIT:
            del self.families[self._largest(keep)]

    def check(self) -> None:
        """Hold it against what there is."""
        found = {each.id: each.used for each in self.jobs.tokens.list(self.id)}
        assert found == {name: len(each.used) for name, each in self.families.items()}
        for each in self.families.values():
            assert self.jobs.tokens.verify(each.access).id == self.id


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_goes(open_store: StoreOpener, raw: Any, redis_url: str, seed: int) -> None:
    """Whatever is issued, renewed, used twice and revoked, in whatever order: it is as a plain model says."""
    chance = random.Random(seed)
    jobs = open_store(JobSession, limits={"tokens": LIMIT})
    expected = Expected(jobs, jobs.create().id)
    for _ in range(120):
        renewable = [name for name, each in expected.families.items() if each.refresh is not None]
        action = chance.random()
        if not renewable or action < 0.35:
            expected.issue(chance.randrange(100, 200), chance.choice([None, chance.randrange(200, 400)]))
        elif action < 0.85:
            expected.refresh(chance.choice(renewable))
        elif action < 0.93 and any(expected.families[name].used for name in renewable):
            name = chance.choice([name for name in renewable if expected.families[name].used])
            assert reason(jobs.tokens.refresh, chance.choice(expected.families.pop(name).used)) == "reused"
        else:
            name = chance.choice(list(expected.families))
            family = expected.families.pop(name)
            presented = chance.choice([family.access, *family.used])
            assert jobs.tokens.revoke(presented) == 1 + (family.refresh is not None)
        expected.check()
    assert held(raw) <= LIMIT
    assert strays(redis_url) == []
    assert jobs.tokens.revoke_session(expected.id) == sum(
        each.size - len(each.used) for each in expected.families.values()
    )
    assert token_keys(raw) == []


def test_what_is_over_makes_room_first(open_store: StoreOpener, raw: Any, redis_url: str) -> None:
    """Where some tokens are over, no family goes that is not; and those that are over are not counted as usable."""
    jobs = open_store(JobSession, limits={"tokens": 8})
    made = jobs.create()
    large = jobs.tokens.issue(made.id)
    large = jobs.tokens.refresh(str(jobs.tokens.refresh(str(large.refresh)).refresh))
    short = [jobs.tokens.issue(made.id, access_ttl=0.05, refresh_ttl=None) for _ in range(3)]
    eventually(lambda: len(jobs.tokens.list(made.id)) == 1)
    pairs = [jobs.tokens.issue(made.id) for _ in range(2)]
    assert jobs.tokens.verify(large.access) == made
    assert [jobs.tokens.verify(each.access) for each in pairs] == [made, made]
    assert {reason(jobs.tokens.verify, each.access) for each in short} == {"unknown"}
    assert held(raw) == 8
    assert [each.type for each in jobs.peek_events(start="oldest").events].count("token_revoked") == 0
    assert strays(redis_url) == []
    jobs.tokens.issue(made.id, access_ttl=0.05, refresh_ttl=None)
    eventually(lambda: len(jobs.tokens.list(made.id)) == 2)
    assert jobs.tokens.revoke_session(made.id) == 4


def test_used_tokens_that_are_over_are_forgotten(open_store: StoreOpener, raw: Any) -> None:
    """A family that is renewed for long remembers those alone whose time is not over."""
    jobs = open_store(JobSession)
    made = jobs.create()
    pair = jobs.tokens.issue(made.id, refresh_ttl=0.4)
    first = pair
    for _ in range(5):
        pair = jobs.tokens.refresh(str(pair.refresh))
    eventually(lambda: reason(jobs.tokens.refresh, str(first.refresh)) == "unknown")
    later = jobs.tokens.issue(made.id, refresh_ttl=30)
    second = jobs.tokens.refresh(str(later.refresh))
    assert held(raw) == 3
    assert reason(jobs.tokens.refresh, str(later.refresh)) == "reused"
    assert reason(jobs.tokens.verify, second.access) == "unknown"


def test_a_large_family_ends_at_once(open_store: StoreOpener, raw: Any, redis_url: str) -> None:
    """Nothing of it can be used any more, though what is remembered of it goes by and by; and that goes first."""
    jobs = open_store(JobSession, limits={"tokens": 270})
    made = jobs.create()
    first = pair = jobs.tokens.issue(made.id)
    used = [str(pair.refresh)]
    for _ in range(250):
        pair = jobs.tokens.refresh(used[-1])
        used.append(str(pair.refresh))
    kept = jobs.tokens.issue(made.id)
    assert jobs.tokens.revoke(first.refresh or "") == 2
    assert held(raw) == 150 + 2
    assert [each.used for each in jobs.tokens.list(made.id)] == [0]
    assert reason(jobs.tokens.verify, pair.access) == "unknown"
    assert {reason(jobs.tokens.refresh, each) for each in used} == {"unknown"}
    assert jobs.tokens.revoke(used[-2]) == 0
    assert strays(redis_url) == []
    others = [jobs.tokens.issue(made.id) for _ in range(80)]
    assert {jobs.tokens.verify(each.access).id for each in (kept, *others)} == {made.id}
    assert strays(redis_url) == []
    jobs.complete(made.id)
    assert token_keys(raw) == []


def test_a_broken_chain_is_no_harm(open_store: StoreOpener, raw: Any) -> None:
    """Where other hands took a used token out, the family can still be renewed and revoked."""
    jobs = open_store(JobSession)
    made = jobs.create()
    pair = jobs.tokens.issue(made.id)
    used = [pair := jobs.tokens.refresh(str(pair.refresh)) for _ in range(4)]
    key = keys_of(jobs).token(made.id)
    taken = next(name for name, text in raw.hgetall(key).items() if text.startswith("used "))
    raw.hdel(key, taken)
    assert jobs.tokens.verify(jobs.tokens.refresh(str(used[-1].refresh)).access) == made
    assert jobs.tokens.revoke_session(made.id) == 2
    assert token_keys(raw) == []
