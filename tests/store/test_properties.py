"""The store against a plain model of it, whatever is called in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.census import strays
from tests.drivers import KINDS, StoreOpener
from tests.store.examples import JobSession, keys_of
from tests.waiting import eventually

from sojourn import SessionEnded, SessionNotFound, SessionStore, VersionConflict

owners = st.sampled_from([None, "ada", "bob"])
tags = st.lists(st.sampled_from(["x", "y", "z"]), max_size=3, unique=True).map(tuple)
statuses = st.sampled_from(["pending", "in_progress"])


@dataclass
class Expected:
    """What a session should be."""

    owner: str | None
    tags: tuple[str, ...]
    status: str
    version: int = 1
    attempts: int = 0
    lines: list[str] = field(default_factory=list)
    infinite: bool = False

    @property
    def live(self) -> bool:
        """Whether it can be written to."""
        return self.status in ("pending", "in_progress")

    @property
    def gone(self) -> bool:
        """Whether nobody finds it."""
        return self.status in ("expired", "deleted")


class StoreMachine(RuleBasedStateMachine):
    """Calls the store, does the same to the model, and compares."""

    opener: StoreOpener
    raw: Any

    def __init__(self) -> None:
        super().__init__()
        self.raw.flushall()
        self.store: SessionStore[JobSession] = self.opener(JobSession)
        self.expected: dict[str, Expected] = {}

    ids = Bundle("ids")

    @rule(target=ids, owner=owners, tags=tags, status=statuses, infinite=st.booleans())
    def create_one(self, owner: str | None, tags: tuple[str, ...], status: str, infinite: bool) -> str:
        """Create, with or without an end."""
        return self.create(owner, tags, status, infinite)

    def create(self, owner: str | None, tags: tuple[str, ...], status: str, infinite: bool) -> str:
        """Do the same to the store and the model."""
        made = self.store.create(owner=owner, tags=tags, status=status, ttl=None if infinite else 300)
        self.expected[made.id] = Expected(owner, tags, status, infinite=infinite)
        return made.id

    @initialize(target=ids)
    def begin_with_some(self) -> MultipleResults[str]:
        """Begin with a few, so that there is something to call the rest on."""
        return multiple(*(self.create(None, (), "pending", infinite) for infinite in (False, True, False)))

    def several_live(self) -> bool:
        """Tell whether some would be left if one ended."""
        return sum(each.live for each in self.expected.values()) > 2

    def attempt(self, session_id: str, call: Any, *, version: int | None = None) -> Any:
        """Call what writes to a live session; return its result, or None where it was rightly refused."""
        expected = self.expected[session_id]
        try:
            result = call()
        except SessionNotFound:
            assert expected.gone
        except SessionEnded as error:
            assert (expected.gone, error.status) == (False, expected.status)  # noqa: PT017
        except VersionConflict as error:
            assert version not in (None, expected.version)
            assert error.current_version == expected.version  # noqa: PT017
        else:
            assert expected.live
            assert version in (None, expected.version)
            return result
        return None

    @rule(session_id=ids, owner=owners, tags=tags, behind=st.none() | st.integers(0, 2))
    def update(self, session_id: str, owner: str | None, tags: tuple[str, ...], behind: int | None) -> None:
        """Change fields, against the version, an older one, or none."""
        expected = self.expected[session_id]
        version = None if behind is None else max(1, expected.version - behind)
        if self.attempt(
            session_id, lambda: self.store.update(session_id, version=version, owner=owner, tags=tags), version=version
        ):  # fmt: skip
            expected.owner, expected.tags = owner, tags
            expected.version += 1

    @rule(session_id=ids)
    def begin(self, session_id: str) -> None:
        """Go on to in_progress."""
        expected = self.expected[session_id]
        if self.attempt(session_id, lambda: self.store.update(session_id, status="in_progress")):
            expected.status = "in_progress"
            expected.version += 1

    @rule(session_id=ids, amount=st.integers(-5, 5))
    def increment(self, session_id: str, amount: int) -> None:
        """Count."""
        expected = self.expected[session_id]
        found = self.attempt(session_id, lambda: self.store.increment(session_id, attempts=amount))
        if found:
            expected.attempts += amount
            expected.version += 1
            assert found == {"attempts": expected.attempts}

    @rule(session_id=ids, lines=st.lists(st.sampled_from("abc"), min_size=1, max_size=3))
    def append(self, session_id: str, lines: list[str]) -> None:
        """Write to the log."""
        expected = self.expected[session_id]
        found = self.attempt(session_id, lambda: self.store.append(session_id, JobSession.lines, *lines))
        if found:
            expected.lines += lines
            expected.version += 1
            assert found == len(expected.lines)

    @rule(session_id=ids)
    def touch(self, session_id: str) -> None:
        """Keep it alive."""
        expected = self.expected[session_id]
        found = self.attempt(session_id, lambda: (self.store.touch(session_id),))
        if found:
            assert (found[0] is None) == expected.infinite

    @rule(session_id=ids, infinite=st.booleans())
    def set_ttl(self, session_id: str, infinite: bool) -> None:
        """Give it another TTL, or none."""
        expected = self.expected[session_id]
        if self.attempt(session_id, lambda: self.store.set_ttl(session_id, None if infinite else 200)):
            expected.infinite = infinite
            expected.version += 1

    @precondition(several_live)
    @rule(session_id=ids)
    def expire(self, session_id: str) -> None:
        """Let it pass its deadline, by Redis's clock."""
        expected = self.expected[session_id]
        moved = self.attempt(session_id, lambda: self.store.set_ttl(session_id, 0.001))
        if moved:
            deadline_ms = int(moved.expires_at.timestamp() * 1000)
            eventually(lambda: self.raw.time()[0] * 1000 + self.raw.time()[1] // 1000 > deadline_ms)
            expected.status = "expired"

    @precondition(several_live)
    @rule(session_id=ids, how=st.sampled_from(["complete", "fail", "terminate"]))
    def end(self, session_id: str, how: str) -> None:
        """End it in one of three ways."""
        expected = self.expected[session_id]
        ended = self.attempt(session_id, lambda: getattr(self.store, how)(session_id))
        if ended:
            expected.status = str(ended.status)
            expected.version += 1

    @precondition(several_live)
    @rule(session_id=consumes(ids))
    def delete(self, session_id: str) -> None:
        """Delete it; it is not used again."""
        expected = self.expected[session_id]
        if expected.gone:
            with pytest.raises(SessionNotFound):
                self.store.delete(session_id)
        else:
            assert self.store.delete(session_id).version == expected.version + 1
            expected.status = "deleted"

    @rule(session_id=ids)
    def entries(self, session_id: str) -> None:
        """Read the log."""
        expected = self.expected[session_id]
        if expected.gone:
            with pytest.raises(SessionNotFound):
                self.store.entries(session_id, JobSession.lines)
        else:
            assert self.store.entries(session_id, JobSession.lines) == expected.lines

    @rule(owner=owners, tag=st.sampled_from([None, "x", "y"]), status=st.none() | statuses, limit=st.integers(1, 5))
    def list(self, owner: str | None, tag: str | None, status: str | None, limit: int) -> None:
        """Page through what matches, and count it."""
        wanted = {
            session_id
            for session_id, each in self.expected.items()
            if not each.gone and owner in (None, each.owner) and status in (None, each.status)
            and (tag is None or tag in each.tags)
        }  # fmt: skip
        found: list[Any] = []
        cursor = None
        while True:
            page = self.store.list(owner=owner, tag=tag, status=status, limit=limit, cursor=cursor)
            found += page.sessions
            cursor = page.cursor
            if cursor is None:
                break
        assert len(found) == len(wanted)
        assert {each.id for each in found} == wanted
        assert found == sorted(found, key=lambda each: (each.created_at, each.id), reverse=True)
        assert self.store.count(owner=owner, tag=tag, status=status) == len(wanted)

    @invariant()
    def every_session_is_as_expected(self) -> None:
        """Compare all of them, in one batch."""
        for (session_id, each), found in zip(
            self.expected.items(), self.store.get_many(self.expected), strict=True
        ):  # fmt: skip
            if each.gone:
                assert found is None
                continue
            assert found is not None
            told = (found.owner, found.tags, str(found.status), found.version, found.attempts)
            assert told == (each.owner, each.tags, each.status, each.version, each.attempts), session_id
            assert (found.expires_at is None) == each.infinite
            scored = self.raw.zscore(keys_of(self.store).partition.deadlines, keys_of(self.store).member(session_id))
            assert (scored is None) == (each.infinite or not each.live)

    def teardown(self) -> None:
        """Leave no stray behind either."""
        assert strays(self.opener.url) == []
        self.store.close()


@pytest.mark.no_cover  # many values
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_store_is_as_its_model(any_redis_url: str, kind: str) -> None:
    """Create, update, count, append, touch, expire, end, delete and list, in any order."""
    with (
        redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as raw,
        StoreOpener(kind, any_redis_url) as opener,
    ):
        machine = type("Machine", (StoreMachine,), {"opener": opener, "raw": raw})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=120, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
