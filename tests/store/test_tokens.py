"""Tokens: issued, verified, renewed, revoked; and nothing of them where it must not be."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter as Tally
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from redis.exceptions import ResponseError
from tests.census import strays
from tests.drivers import StoreOpener, snapshot
from tests.proxy import Proxy
from tests.store.examples import JobSession, RangeSession, keys_of
from tests.waiting import eventually

from sojourn import (
    InvalidField,
    InvalidId,
    InvalidTtl,
    Session,
    SessionCorrupt,
    SessionEnded,
    SessionNotFound,
    SessionStore,
    Settings,
    SettingsError,
    StoreError,
    StoreFull,
    StoreUnavailable,
    TokenInvalid,
    WrongKind,
    load_settings,
)
from sojourn.operations.strays import miss_flow
from sojourn.operations.tokens import verify
from sojourn.tokens.form import make_token, parse_token, token_hash
from sojourn_worker.redis_link import RedisLink

UNKNOWN_ID = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
Jobs = SessionStore[JobSession]


def reason(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Return why a token was refused."""
    with pytest.raises(TokenInvalid) as caught:
        call(*args, **kwargs)
    assert "sjt_" not in str(caught.value)
    return caught.value.reason


def token_keys(raw: Any) -> list[str]:
    """Return all keys that have to do with tokens."""
    return sorted(key for key in raw.scan_iter(count=1000) if ":token" in key or ":families:" in key)


def held(raw: Any) -> int:
    """Return how many tokens Redis knows of."""
    hashes = [key for key in token_keys(raw) if raw.type(key) == "hash"]
    return sum(len(name) == 64 for key in hashes for name in raw.hkeys(key))


def told(jobs: Jobs, kind: str) -> list[Any]:
    """Return the events of a type."""
    return [each for each in jobs.peek_events(start="oldest").events if each.type == kind]


def test_issue_and_verify(jobs: Jobs) -> None:
    """An access token opens its session as it is now, again and again; a refresh token does not."""
    made = jobs.create(owner="ada")
    pair = jobs.tokens.issue(made.id)
    assert jobs.tokens.verify(pair.access) == made
    changed = jobs.update(made.id, note="x")
    for _ in range(3):
        assert jobs.tokens.verify(pair.access) == changed
    assert pair.refresh is not None
    assert reason(jobs.tokens.verify, str(pair.refresh)) == "kind"
    assert reason(jobs.tokens.refresh, pair.access) == "kind"
    assert reason(jobs.tokens.verify, make_token(keys_of(jobs).partition.number, made.id)) == "unknown"
    assert jobs.get(made.id).version == changed.version


def test_lifetimes_are_those_that_were_asked_for(open_store: StoreOpener, raw: Any) -> None:
    """By default those of the settings; renewed pairs keep to those of the first; nothing passes max_lifetime."""
    jobs = open_store(JobSession, token_access_ttl=60, token_refresh_ttl=None)
    made = jobs.create(ttl=None)
    now = made.created_at.timestamp()
    alone = jobs.tokens.issue(made.id)
    assert (alone.refresh, alone.refresh_expires_at) == (None, None)
    assert 60 <= alone.access_expires_at.timestamp() - now < 65
    pair = jobs.tokens.issue(made.id, access_ttl=timedelta(seconds=30), refresh_ttl=300)
    for _ in range(2):
        assert pair.refresh_expires_at is not None
        assert 30 <= pair.access_expires_at.timestamp() - now < 35
        assert 300 <= pair.refresh_expires_at.timestamp() - now < 305
        pair = jobs.tokens.refresh(str(pair.refresh))
    capped = jobs.create(ttl=10, max_lifetime=20)
    pair = jobs.tokens.issue(capped.id, refresh_ttl=300)
    assert pair.access_expires_at == pair.refresh_expires_at == capped.expires_at
    assert all(0 < raw.pttl(key) <= 20_000 for key in token_keys(raw) if capped.id in key)
    jobs.touch(capped.id)
    assert pair.refresh is not None
    renewed = jobs.tokens.refresh(pair.refresh)
    assert renewed.refresh_expires_at == jobs.get(capped.id).expires_at


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), "1", True, timedelta(days=9999)])
def test_bad_lifetimes(jobs: Jobs, raw: Any, ttl: Any) -> None:
    """No such lifetimes, here or in the settings; nothing is written."""
    made = jobs.create()
    before = snapshot(raw)
    for names in ({"access_ttl": ttl}, {"refresh_ttl": ttl}, {"access_ttl": None}):
        with pytest.raises(InvalidTtl) as caught:
            jobs.tokens.issue(made.id, **names)
        assert ("pass None" in str(caught.value)) <= ("refresh_ttl" in names)
        assert "no expiry" not in str(caught.value)
    assert snapshot(raw) == before
    with pytest.raises(SettingsError):
        load_settings(token_access_ttl=-1)


def test_a_token_ends_at_its_time(jobs: Jobs, raw: Any, redis_url: str) -> None:
    """After its lifetime it is unknown, and nothing of it is left; a refresh token outlives its access token."""
    made = jobs.create(ttl=500)
    pair = jobs.tokens.issue(made.id, access_ttl=0.2, refresh_ttl=0.6)
    jobs.tokens.verify(pair.access)
    eventually(lambda: jobs.tokens.list(made.id)[0].access_expires_at is None)
    assert reason(jobs.tokens.verify, pair.access) == "unknown"
    assert jobs.tokens.list(made.id)[0].access_expires_at is None
    renewed = jobs.tokens.refresh(str(pair.refresh))
    jobs.tokens.verify(renewed.access)
    eventually(lambda: token_keys(raw) == [])
    assert reason(jobs.tokens.refresh, str(renewed.refresh)) == "unknown"
    assert reason(jobs.tokens.refresh, str(pair.refresh)) == "unknown"
    assert jobs.tokens.list(made.id) == []
    assert strays(redis_url) == []


ENDINGS: dict[str, Callable[[Jobs, str], Any]] = {
    "complete": lambda jobs, id_: jobs.complete(id_),
    "terminate": lambda jobs, id_: jobs.terminate(id_),
    "delete": lambda jobs, id_: jobs.delete(id_),
    "rotate": lambda jobs, id_: jobs.rotate_id(id_),
}


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_tokens_end_with_their_session(jobs: Jobs, raw: Any, redis_url: str, ending: str) -> None:
    """However it ends; what another session has stays, and nothing of its own does."""
    made, other = jobs.create(owner="ada"), jobs.create(owner="ada")
    kept = jobs.tokens.issue(other.id)
    pairs = [jobs.tokens.issue(made.id) for _ in range(3)]
    pairs.append(jobs.tokens.refresh(str(pairs[0].refresh)))
    jobs.tokens.verify(pairs[1].access)
    ENDINGS[ending](jobs, made.id)
    for pair in pairs:
        assert reason(jobs.tokens.verify, pair.access) == "unknown"
        assert reason(jobs.tokens.refresh, str(pair.refresh)) == "unknown"
    assert jobs.tokens.verify(kept.access) == other
    assert held(raw) == 2
    assert strays(redis_url) == []
    with pytest.raises((SessionEnded, SessionNotFound)):
        jobs.tokens.issue(made.id)
    assert jobs.tokens.revoke_session(made.id) == 0


def test_expiry_ends_tokens_before_anybody_noticed(jobs: Jobs, raw: Any, redis_url: str) -> None:
    """Past the deadline a token opens nothing; the claim then takes what is left of it."""
    made = jobs.create(ttl=0.3)
    pair = jobs.tokens.issue(made.id)
    jobs.tokens.verify(pair.access)
    assert pair.access_expires_at == made.expires_at
    eventually(lambda: jobs.get_many([made.id]) == [None])
    assert token_keys(raw)
    assert reason(jobs.tokens.verify, pair.access) == "unknown"
    assert reason(jobs.tokens.refresh, str(pair.refresh)) == "unknown"
    with pytest.raises(SessionNotFound):
        jobs.tokens.issue(made.id)
    jobs.create()  # claims on the way
    assert token_keys(raw) == []
    assert strays(redis_url) == []


def test_tokens_of_a_session_that_is_over_are_not_listed(jobs: Jobs) -> None:
    """Past its deadline, before anybody noticed, or deleted, it is as if it had never been."""
    made, gone = jobs.create(ttl=0.05), jobs.create()
    for each in (made, gone):
        jobs.tokens.issue(each.id)
    jobs.delete(gone.id)
    eventually(lambda: jobs.get_many([made.id]) == [None])
    for each in (made, gone):
        with pytest.raises(SessionNotFound):
            jobs.tokens.list(each.id)


@pytest.mark.beyond_one_tenant
def test_tokens_of_a_lost_record_go(jobs: Jobs, raw: Any, redis_url: str) -> None:
    """A hash that vanished opens nothing, and its tokens go when that is noticed."""
    made = jobs.create(ttl=None)
    pair = jobs.tokens.issue(made.id)
    raw.delete(keys_of(jobs).session(made.id))
    assert reason(jobs.tokens.verify, pair.access) == "unknown"
    assert reason(jobs.tokens.refresh, str(pair.refresh)) == "unknown"
    assert strays(redis_url) != []
    link = RedisLink(jobs.settings)
    try:
        assert link.drive(miss_flow(jobs.settings.partitions, 100)) == 1
    finally:
        link.close()
    assert token_keys(raw) == []


def test_refresh_replaces_the_pair(jobs: Jobs, raw: Any) -> None:
    """The new pair is valid, the old one is over, and the version of the session is what it was."""
    made = jobs.create()
    first = jobs.tokens.issue(made.id)
    jobs.tokens.verify(first.access)
    second = jobs.tokens.refresh(str(first.refresh))
    assert len({first.access, first.refresh, second.access, second.refresh}) == 4
    assert reason(jobs.tokens.verify, first.access) == "unknown"
    third = jobs.tokens.refresh(str(second.refresh))
    assert jobs.tokens.verify(third.access).version == 1
    (family,) = jobs.tokens.list(made.id)
    assert (family.used, family.bound) == (2, False)
    assert family.issued_at <= family.renewed_at < family.access_expires_at < family.refresh_expires_at  # type: ignore[operator]
    assert [each.changes for each in told(jobs, "token_refreshed")] == [{"family": family.id}] * 2


@pytest.mark.parametrize("fingerprint", [None, "other"])
def test_reuse_revokes_the_family(jobs: Jobs, raw: Any, redis_url: str, fingerprint: str | None) -> None:
    """Whoever presents a used refresh token, from wherever: all tokens of its family end, others stay."""
    made = jobs.create()
    first = jobs.tokens.issue(made.id, fingerprint="own")
    other = jobs.tokens.issue(made.id)
    second = jobs.tokens.refresh(str(first.refresh), fingerprint="own")
    third = jobs.tokens.refresh(str(second.refresh), fingerprint="own")
    assert reason(jobs.tokens.refresh, str(first.refresh), fingerprint=fingerprint) == "reused"
    assert reason(jobs.tokens.verify, third.access, fingerprint="own") == "unknown"
    assert reason(jobs.tokens.refresh, str(third.refresh), fingerprint="own") == "unknown"
    assert reason(jobs.tokens.refresh, str(first.refresh), fingerprint="own") == "unknown"
    assert jobs.tokens.verify(other.access) == made
    (event,) = told(jobs, "token_reused")
    assert (event.session_id, event.kind, event.version) == (made.id, "job", 1)
    assert event.changes["revoked"] == 2
    assert held(raw) == 2
    assert strays(redis_url) == []


def test_fingerprints(jobs: Jobs, raw: Any) -> None:
    """A bound token works with its fingerprint alone, on renewal too; a wrong one uses nothing up."""
    made = jobs.create()
    pair = jobs.tokens.issue(made.id, fingerprint="10.0.0.1")
    for _ in range(2):
        assert jobs.tokens.verify(pair.access, fingerprint="10.0.0.1") == made
        assert reason(jobs.tokens.verify, pair.access) == "fingerprint"
        assert reason(jobs.tokens.verify, pair.access, fingerprint="10.0.0.2") == "fingerprint"
        assert reason(jobs.tokens.refresh, str(pair.refresh)) == "fingerprint"
        assert reason(jobs.tokens.refresh, str(pair.refresh), fingerprint="10.0.0.2") == "fingerprint"
        pair = jobs.tokens.refresh(str(pair.refresh), fingerprint="10.0.0.1")
    assert jobs.tokens.list(made.id)[0].bound
    free = jobs.tokens.refresh(str(jobs.tokens.issue(made.id).refresh), fingerprint="x")
    assert jobs.tokens.verify(free.access) == jobs.tokens.verify(free.access, fingerprint="y") == made
    # Nobody who reads Redis can try out fingerprints, of which there are few.
    guesses = {hashlib.sha256(f"{each}".encode()).hexdigest() for each in ("10.0.0.1", " 10.0.0.1")}
    stored = {value for key in token_keys(raw) if raw.type(key) == "hash" for value in raw.hvals(key)}
    assert not guesses & stored
    assert "10.0.0.1" not in str(stored)


@pytest.mark.parametrize("fingerprint", ["", "x" * 1025, "\ud800", 5, b"x"])
def test_bad_fingerprints(jobs: Jobs, raw: Any, fingerprint: Any) -> None:
    """They are refused before anything is sent."""
    made = jobs.create()
    pair = jobs.tokens.issue(made.id)
    before = snapshot(raw)
    for call in (
        lambda: jobs.tokens.issue(made.id, fingerprint=fingerprint),
        lambda: jobs.tokens.verify(pair.access, fingerprint=fingerprint),
        lambda: jobs.tokens.refresh(str(pair.refresh), fingerprint=fingerprint),
    ):
        with pytest.raises(InvalidField, match="fingerprint"):
            call()
    assert snapshot(raw) == before


@pytest.mark.parametrize("sliding", [False, True])
@pytest.mark.beyond_one_tenant
def test_what_is_refused_costs_no_round_trip(open_store: StoreOpener, raw: Any, sliding: bool) -> None:
    """What is no token, or is of another partition, never gets to Redis; every other costs one round trip."""
    jobs = open_store(JobSession, sliding=sliding)
    other = jobs.for_tenant("other")
    made = jobs.create()
    pair, foreign = jobs.tokens.issue(made.id), other.tokens.issue(other.create().id)
    assert keys_of(other).partition != keys_of(jobs).partition
    own = make_token(keys_of(jobs).partition.number, made.id)
    reason(jobs.tokens.verify, own)
    jobs.tokens.refresh(str(jobs.tokens.issue(made.id).refresh))

    def reads() -> int:
        return int(raw.info("stats")["total_reads_processed"])

    before = reads()
    for text in ("", "x", None, 5, b"x", pair.access[:-1], foreign.access):
        assert reason(jobs.tokens.verify, text) in ("malformed", "unknown")
        assert reason(jobs.tokens.refresh, text) in ("malformed", "unknown")
    assert reads() - before == 1  # the question itself
    for _ in range(2):
        before = reads()
        jobs.tokens.verify(pair.access)
        assert reads() - before == 2
    before = reads()
    assert reason(jobs.tokens.verify, own) == "unknown"
    assert reads() - before == 2
    before = reads()
    jobs.tokens.refresh(str(pair.refresh))
    assert reads() - before == 2


def test_the_same_work_whether_it_exists(jobs: Jobs, raw: Any, redis_url: str) -> None:
    """A token that exists, one that does not, a wrong fingerprint, a refresh token, a session that is not there."""
    made = jobs.create()
    with SessionStore(redis_url, model=JobSession) as elsewhere:
        pair = elsewhere.tokens.issue(made.id, fingerprint="x")
    unknown, nowhere = (make_token(keys_of(jobs).partition.number, each) for each in (made.id, UNKNOWN_ID))
    reason(jobs.tokens.verify, unknown)

    def commands(token: str, fingerprint: str) -> dict[str, int]:
        raw.config_resetstat()
        with suppress(TokenInvalid):
            jobs.tokens.verify(token, fingerprint=fingerprint)
        stats = raw.info("commandstats")
        return {
            name: stats[name]["calls"]
            for name in stats
            if name not in ("cmdstat_info", "cmdstat_config", "cmdstat_config|resetstat")
        }

    found = [
        commands(unknown, "x"),
        commands(nowhere, "x"),
        commands(pair.access, "y"),
        commands(str(pair.refresh), "x"),
        commands(pair.access, "x"),
    ]
    assert found == [{"cmdstat_hget": 1, "cmdstat_hgetall": 1, "cmdstat_time": 1}] * 5


def test_a_token_opens_the_session_it_was_issued_for(jobs: Jobs, raw: Any) -> None:
    """What it says of itself proves nothing: with another session's id in it, or known of that, it opens no other."""
    mine, other = jobs.create(), jobs.create()
    number = keys_of(jobs).partition.number
    pair = jobs.tokens.issue(mine.id)
    assert parse_token(pair.access).session_id == mine.id
    assert parse_token(str(jobs.tokens.refresh(str(pair.refresh)).refresh)).session_id == mine.id
    good, forged = jobs.tokens.issue(mine.id).access, make_token(number, other.id)
    assert reason(jobs.tokens.verify, forged) == reason(jobs.tokens.refresh, forged) == "unknown"
    assert jobs.tokens.revoke(forged) == 0
    own, elsewhere = (keys_of(jobs).token(each.id) for each in (mine, other))
    raw.hset(elsewhere, parse_token(good).hash, raw.hget(own, parse_token(good).hash))
    assert jobs.tokens.verify(good) == mine
    raw.hdel(own, parse_token(good).hash)
    assert reason(jobs.tokens.verify, good) == "unknown"


def test_a_server_that_cannot_answer_is_no_refusal(jobs: Jobs) -> None:
    """Where Redis refuses the question, a token is not said to be invalid."""
    operation = verify(jobs._context, JobSession, make_token(keys_of(jobs).partition.number, UNKNOWN_ID), None)
    with pytest.raises(StoreUnavailable):
        operation.parse([ResponseError("LOADING Redis is loading the dataset in memory")] * 3)
    with pytest.raises(StoreError, match="may not do that"):
        operation.parse([{}, ResponseError("NOPERM No permissions to access a key"), ["1", "1"]])


@pytest.mark.beyond_one_tenant
def test_tenants_are_kept_apart(open_store: StoreOpener, raw: Any) -> None:
    """A token of one tenant is nothing to another, in the same partition too, by whatever call."""
    jobs = open_store(JobSession, partitions=1)
    other = jobs.for_tenant("other")
    made = jobs.create(owner="ada")
    other.create(owner="ada")
    pair = jobs.tokens.issue(made.id)
    jobs.tokens.verify(pair.access)
    for _ in range(2):
        assert reason(other.tokens.verify, pair.access) == "unknown"
    assert reason(other.tokens.refresh, str(pair.refresh)) == "unknown"
    assert other.tokens.revoke(pair.access) == other.tokens.revoke_session(made.id) == 0
    assert other.tokens.revoke_owner("ada") == 0
    with pytest.raises(SessionNotFound):
        other.tokens.issue(made.id)
    with pytest.raises(SessionNotFound):
        other.tokens.list(made.id)
    assert jobs.tokens.verify(pair.access) == made
    assert jobs.tokens.verify(jobs.tokens.refresh(str(pair.refresh)).access) == made


def test_models_are_kept_apart(open_store: StoreOpener) -> None:
    """A store of another model neither issues nor opens; one of all kinds does."""
    jobs, ranges, every = open_store(JobSession), open_store(RangeSession), open_store(Session)
    made = jobs.create()
    pair = jobs.tokens.issue(made.id)
    calls: list[Callable[[], Any]] = [
        lambda: ranges.tokens.issue(made.id), lambda: ranges.tokens.verify(pair.access),
        lambda: ranges.tokens.refresh(str(pair.refresh)), lambda: ranges.tokens.revoke(pair.access),
        lambda: ranges.tokens.revoke_session(made.id), lambda: ranges.tokens.list(made.id),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(WrongKind):
            call()
    assert every.tokens.verify(pair.access).id == made.id
    assert jobs.tokens.revoke(pair.access) == 2


@pytest.mark.parametrize("what", ["access", "refresh"])
def test_revoke_one(jobs: Jobs, raw: Any, redis_url: str, what: str) -> None:
    """Either of a pair ends both, once; other families stay."""
    made = jobs.create()
    pair, other = jobs.tokens.issue(made.id), jobs.tokens.issue(made.id)
    assert jobs.tokens.revoke(str(getattr(pair, what))) == 2
    assert jobs.tokens.revoke(str(getattr(pair, what))) == 0
    assert reason(jobs.tokens.verify, pair.access) == "unknown"
    assert reason(jobs.tokens.refresh, str(pair.refresh)) == "unknown"
    assert jobs.tokens.verify(other.access) == made
    assert reason(jobs.tokens.revoke, "nonsense") == "malformed"
    assert [each.changes["revoked"] for each in told(jobs, "token_revoked")] == [2]
    assert strays(redis_url) == []
    assert len(jobs.tokens.list(made.id)) == 1


def test_revoke_those_of_a_session_and_of_an_owner(jobs: Jobs, raw: Any) -> None:
    """All of them, and nobody else's; again is nothing."""
    mine = jobs.create_many([{"owner": "ada"}] * 5)
    theirs = jobs.create(owner="grace")
    kept = jobs.tokens.issue(theirs.id)
    pairs = [jobs.tokens.issue(each.id) for each in mine for _ in range(2)]
    assert jobs.tokens.revoke_session(mine[0].id) == 4
    assert jobs.tokens.revoke_session(mine[0].id) == 0
    assert jobs.tokens.revoke_owner("ada") == 16
    assert jobs.tokens.revoke_owner("ada") == jobs.tokens.revoke_owner("nobody") == 0
    for pair in pairs:
        assert reason(jobs.tokens.verify, pair.access) == "unknown"
    assert jobs.tokens.verify(kept.access) == theirs
    assert held(raw) == 2
    assert Tally(each.changes["reason"] for each in told(jobs, "token_revoked")) == {"session": 1, "owner": 4}
    assert jobs.tokens.verify(jobs.tokens.issue(mine[0].id).access).id == mine[0].id


def test_an_owner_with_many_sessions(jobs: Jobs, raw: Any) -> None:
    """More than a page of them, many made in the same millisecond, one of them damaged: all are gone through."""
    mine = jobs.create_many([{"owner": "ada"}] * 330)
    for each in mine:
        jobs.tokens.issue(each.id, refresh_ttl=None)
    raw.hset(keys_of(jobs).session(mine[7].id), "limit", "x")
    assert jobs.tokens.revoke_owner("ada") == 330
    assert token_keys(raw) == []


def test_the_number_of_tokens_is_bounded(open_store: StoreOpener, raw: Any, redis_url: str) -> None:
    """Past the limit the largest family goes, of several the one that ends first; one too large cannot be renewed."""
    jobs = open_store(JobSession, limits={"tokens": 6})
    made = jobs.create()
    pairs = [jobs.tokens.issue(made.id, access_ttl=90 + number, refresh_ttl=100 + number) for number in range(4)]
    assert reason(jobs.tokens.verify, pairs[0].access) == "unknown"
    for pair in pairs[1:]:
        assert jobs.tokens.verify(pair.access) == made
    assert jobs.tokens.revoke(pairs[1].access) == 2
    second = jobs.tokens.refresh(str(pairs[2].refresh))
    third = jobs.tokens.refresh(str(second.refresh))
    assert reason(jobs.tokens.refresh, str(third.refresh)) == "limit"
    assert reason(jobs.tokens.verify, third.access) == "unknown"
    assert jobs.tokens.verify(pairs[3].access) == made
    assert [each.changes["reason"] for each in told(jobs, "token_revoked")] == ["limit", "token", "limit"]
    assert held(raw) == 2
    assert strays(redis_url) == []


def test_sliding(open_store: StoreOpener, raw: Any) -> None:
    """Where sessions slide, a valid token moves the deadline, and no other presentation of one does."""
    jobs = open_store(JobSession, sliding=True, slide_gain=0, touch_events=True)
    made = jobs.create(ttl=500)
    pair = jobs.tokens.issue(made.id, fingerprint="x")
    for token, fingerprint in ((pair.access, "y"), (pair.access, None), (str(pair.refresh), "x")):
        before = snapshot(raw)
        reason(jobs.tokens.verify, token, fingerprint=fingerprint)
        assert snapshot(raw) == before
    eventually(lambda: jobs.tokens.verify(pair.access, fingerprint="x").expires_at > made.expires_at)
    assert told(jobs, "touched")
    jobs.complete(made.id)
    assert reason(jobs.tokens.verify, pair.access, fingerprint="x") == "unknown"


def test_damage_is_told(jobs: Jobs, raw: Any) -> None:
    """A damaged record, and what other hands made of a token's keys: typed errors, and nothing is changed."""
    made = jobs.create()
    pair = jobs.tokens.issue(made.id)
    for _ in range(2):
        raw.hset(keys_of(jobs).session(made.id), "version", "x")
        with pytest.raises(SessionCorrupt, match=made.id):
            jobs.tokens.verify(pair.access)
        with pytest.raises(SessionCorrupt):
            jobs.tokens.refresh(str(pair.refresh))
        raw.hset(keys_of(jobs).session(made.id), "version", "1")
        assert jobs.tokens.verify(pair.access) == made
    for key in token_keys(raw):
        raw.delete(key)
        raw.set(key, "x")
    before = snapshot(raw)
    assert reason(jobs.tokens.verify, pair.access) == "unknown"
    assert reason(jobs.tokens.refresh, str(pair.refresh)) == "unknown"
    with pytest.raises(SessionCorrupt):
        jobs.tokens.issue(made.id)
    assert {key for key, value in snapshot(raw).items() if before.get(key) != value} <= set(token_keys(raw))
    jobs.complete(made.id)
    assert not raw.exists(keys_of(jobs).tokens(made.id))


def test_a_full_server_issues_nothing(open_store: StoreOpener, raw: Any) -> None:
    """Out of memory, nothing is issued or used up; revoking goes through."""
    jobs = open_store(JobSession)
    made = jobs.create()
    pair = jobs.tokens.issue(made.id)
    jobs.tokens.refresh(str(jobs.tokens.issue(made.id).refresh))
    raw.config_set("maxmemory", 1)
    try:
        before = token_keys(raw)
        with pytest.raises(StoreFull):
            jobs.tokens.issue(made.id)
        with pytest.raises(StoreFull):
            jobs.tokens.refresh(str(pair.refresh))
        assert token_keys(raw) == before
        assert jobs.tokens.verify(pair.access) == made
        assert jobs.tokens.revoke_session(made.id) == 4
    finally:
        raw.config_set("maxmemory", 0)
    assert token_keys(raw) == []


def test_a_token_is_found_nowhere(jobs: Jobs, raw: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Redis holds no token, and no part of one; neither does an event, a message or a log line."""
    acting = jobs.acting(actor="ada", trace_id="t1")
    made = acting.create()
    pair = acting.tokens.issue(made.id, fingerprint="x")
    renewed = acting.tokens.refresh(str(pair.refresh), fingerprint="x")
    acting.tokens.verify(renewed.access, fingerprint="x")
    reason(lambda: acting.tokens.verify(renewed.access))
    for call in (jobs.get, jobs.delete, jobs.tokens.issue, jobs.tokens.list, jobs.tokens.revoke_session):
        with pytest.raises(InvalidId, match="is a token"):
            call(renewed.access)
    planted = [each.split("_")[2][32:44].encode() for each in (pair.access, str(pair.refresh), renewed.access)]
    dumped = b"".join(value for value, _ in snapshot(raw).values()) + " ".join(snapshot(raw)).encode()
    events = repr(jobs.peek_events(start="oldest").events)
    for each in planted:
        assert each not in dumped
        assert each.decode() not in events + caplog.text + repr(pair) + repr(jobs.tokens.list(made.id))
    assert all((each.actor, each.trace_id) == ("ada", "t1") for each in jobs.peek_events(start="oldest").events)
    hashes = [token_hash(each) for each in (pair.access, renewed.access)]
    assert not any(each in events for each in hashes)


# Races

RACERS = 12


def test_one_of_many_refreshes_wins(jobs: Jobs, redis_url: str) -> None:
    """A refresh token that many present at once is exchanged once; the next presentation revokes the family."""
    made = jobs.create()
    first = jobs.tokens.issue(made.id)
    barrier = threading.Barrier(RACERS)

    def present(_: int) -> str:
        with SessionStore(model=JobSession, settings=Settings(redis_url=redis_url)) as store:
            store.get(made.id)
            barrier.wait(30)
            try:
                store.tokens.refresh(str(first.refresh))
            except TokenInvalid as error:
                return error.reason
            return "won"

    with ThreadPoolExecutor(RACERS) as pool:
        outcomes = Tally(pool.map(present, range(RACERS)))
    assert outcomes == {"won": 1, "reused": 1, "unknown": RACERS - 2}
    assert jobs.tokens.list(made.id) == []
    assert len(told(jobs, "token_reused")) == 1
    assert strays(redis_url) == []


def test_nothing_is_left_of_races_with_the_end(jobs: Jobs, redis_url: str, raw: Any) -> None:
    """Tokens that are issued and renewed while their session ends go with it, whoever comes first."""
    for number in range(8):
        made = jobs.create()
        pair = jobs.tokens.issue(made.id)
        barrier = threading.Barrier(3)

        def work(what: int, made: Any = made, pair: Any = pair, barrier: Any = barrier, number: int = number) -> None:
            with SessionStore(model=JobSession, settings=Settings(redis_url=redis_url)) as store:
                store.count()
                barrier.wait(30)
                for _ in range(number + 1):
                    try:
                        if what == 0:
                            store.complete(made.id)
                        elif what == 1:
                            store.tokens.issue(made.id)
                        else:
                            pair = store.tokens.refresh(str(pair.refresh))
                    except (SessionEnded, TokenInvalid):
                        return

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(work, range(3)))
        assert token_keys(raw) == []
    assert strays(redis_url) == []


# Lost replies


@pytest.fixture
def far(open_store: StoreOpener, redis_url: str, proxy_to: Callable[[str], Proxy]) -> tuple[Jobs, Proxy]:
    """Give a store behind a proxy that gives up on a reply quickly and knows all scripts."""
    proxy = proxy_to(redis_url)
    store = open_store(JobSession, url=proxy.url, socket_timeout=0.15)
    made = store.create()
    store.tokens.revoke(store.tokens.refresh(str(store.tokens.issue(made.id).refresh)).access)
    store.tokens.revoke_session(made.id)
    return store, proxy


@pytest.mark.parametrize("lost", [1, 2])
def test_lost_replies(far: tuple[Jobs, Proxy], raw: Any, redis_url: str, lost: int) -> None:
    """What is sent again counts once: no second family, no reuse, and the first answer's meaning."""
    jobs, proxy = far
    made = jobs.create()
    before = len(jobs.peek_events(start="oldest").events)
    proxy.drop_replies(lost, to=b"EVALSHA")
    first = jobs.tokens.issue(made.id)
    proxy.drop_replies(lost, to=b"EVALSHA")
    second = jobs.tokens.refresh(str(first.refresh))
    assert jobs.tokens.verify(second.access) == made
    (family,) = jobs.tokens.list(made.id)
    assert family.used == 1
    assert second.access_expires_at <= family.access_expires_at  # type: ignore[operator]
    proxy.drop_replies(lost, to=b"EVALSHA")
    assert reason(jobs.tokens.refresh, str(first.refresh)) == "reused"
    third = jobs.tokens.issue(made.id)
    proxy.drop_replies(lost, to=b"EVALSHA")
    assert jobs.tokens.revoke(third.access) == 2
    jobs.tokens.issue(made.id)
    proxy.drop_replies(lost, to=b"EVALSHA")
    assert jobs.tokens.revoke_session(made.id) == 2
    assert [each.type for each in jobs.peek_events(start="oldest").events][before:] == [
        "token_issued", "token_refreshed", "token_reused", "token_issued", "token_revoked", "token_issued",
        "token_revoked",
    ]  # fmt: skip
    assert strays(redis_url) == []


def test_a_repeat_spares_what_came_between(far: tuple[Jobs, Proxy], redis_url: str) -> None:
    """A revocation that is sent again ends no token that was issued since."""
    jobs, proxy = far
    made = jobs.create()
    jobs.tokens.issue(made.id)
    proxy.drop_replies(1, to=b"EVALSHA")
    with ThreadPoolExecutor(1) as pool, SessionStore(redis_url) as near:
        outcome = pool.submit(jobs.tokens.revoke_session, made.id)
        eventually(lambda: proxy.dropped == 1)
        eventually(lambda: near.tokens.list(made.id) == [])
        later = near.tokens.issue(made.id)
        assert outcome.result() == 2
        assert near.tokens.verify(later.access).id == made.id
