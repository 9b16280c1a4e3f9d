"""PostgreSQL killed, frozen, full or of another version, while workers archive."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import redis
from tests.faults.deployment import Deployment, backlog, deployed, rows, session_keys
from tests.faults.report import Report
from tests.waiting import eventually
from tests.worker.processes import Processes

from sojourn import SessionStore
from sojourn.archive import init, migrate
from sojourn.embedded import PostgresServer
from sojourn.events import ARCHIVE_GROUP
from sojourn.settings import Settings

_DISK_FULL = """
CREATE FUNCTION sojourn.full_disk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON sojourn.sessions FOR EACH STATEMENT EXECUTE FUNCTION sojourn.full_disk()
"""

_REFUSED_AT_COMMIT = """
CREATE FUNCTION sojourn.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
CREATE CONSTRAINT TRIGGER refuse AFTER INSERT OR UPDATE ON sojourn.sessions DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION sojourn.refuse()
"""


class _Archiving:
    """Workers that archive what a store changes. No listener: the outboxes stay whole, to be compared with."""

    def __init__(self, settings: Settings, client: redis.Redis, processes: Processes) -> None:
        self.settings = settings
        self.client = client
        self.url = str(settings.archive_url)
        self._store = SessionStore(settings=settings)
        self._ids: list[str] = []
        self.deployment = Deployment(processes, settings, ("jobs:archive", "schedule"))
        self.change()
        self.drained()

    def change(self) -> None:
        """Make sessions, and change all that there are."""
        self._ids += [each.id for each in self._store.create_many([{"owner": "ada"}] * 100)]
        self._store.update_many({each: {"metadata": {"count": len(self._ids)}} for each in self._ids})

    def end(self, count: int) -> None:
        """End some of the sessions; Redis may let go of them once the archive has them."""
        for each in self._ids[:count]:
            self._store.complete(each)

    def dirty(self) -> set[str]:
        """The sessions of which the archive does not hold the last state, as far as Redis knows."""
        found: set[str] = set()
        for each in self.settings.all_partitions:
            members: Any = self.client.zrange(each.dirty, 0, -1)
            found.update(members)
        return found

    def unacknowledged(self) -> set[str]:
        """The events that the archive has not confirmed."""
        found: set[str] = set()
        for partition in self.settings.all_partitions:
            groups: Any = self.client.xinfo_groups(partition.events)
            (last,) = [each["last-delivered-id"] for each in groups if each["name"] == ARCHIVE_GROUP]
            pending: Any = self.client.xpending_range(partition.events, ARCHIVE_GROUP, "-", "+", 10_000)
            unread: Any = self.client.xrange(partition.events, min=f"({last}")
            ids = [*(each["message_id"] for each in pending), *(entry for entry, _ in unread)]
            found.update(f"{partition.number:02d}-{each}" for each in ids)
        return found

    def drained(self) -> float:
        """Wait until the archive has all there is; how long that took, in seconds."""
        began = time.monotonic()
        dirty = [each.dirty for each in self.settings.all_partitions]
        eventually(lambda: not any(self.client.zcard(each) for each in dirty), deadline_s=60, what="the archive")
        waits = "sojourn-archive in"
        eventually(lambda: not any(each.startswith(waits) for each in backlog(self.client, self.settings)))
        return time.monotonic() - began

    def complained(self, text: str) -> None:
        """Wait until the worker has logged a text once more; at the level debug it does so for each run."""
        worker = self.deployment.roles["jobs:archive"]
        before = worker.log.count(text)
        eventually(lambda: worker.log.count(text) > before, deadline_s=60, what=f"{text!r} in the log")

    def account(self) -> tuple[int, int]:
        """Hold the archive against Redis: how much is missing or old, and how much is there twice."""
        held = {
            str(session_id): version
            for session_id, version in rows(self.settings, "SELECT id, version FROM sojourn.sessions")
        }
        lost = 0
        for key in session_keys(self.client):
            lost += held.get(key.rpartition(":")[2]) != int(str(self.client.hget(key, "version")))
        told: list[str] = []
        for partition in self.settings.all_partitions:
            entries: Any = self.client.xrange(partition.events)
            told += [f"{partition.number:02d}-{entry_id}" for entry_id, _ in entries]
        archived = [each for (each,) in rows(self.settings, "SELECT id FROM sojourn.session_events")]
        assert set(archived) <= set(told)
        return lost + len(set(told) - set(archived)), len(archived) - len(set(archived))

    def close(self) -> None:
        """Close the store."""
        self._store.close()


@pytest.fixture
def archiving(any_redis_url: str, own_postgres: PostgresServer, processes: Processes) -> Iterator[_Archiving]:
    """Give workers at work on a PostgreSQL to be broken."""
    init(own_postgres.url)
    settings = deployed(
        any_redis_url, own_postgres.url, archive_timeout=1, archive_batch=50, events_cap=100_000, retention=0,
        log_level="debug",
    )  # fmt: skip
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        made = _Archiving(settings, client, processes)
        yield made
        made.close()


@pytest.mark.long
def test_killed_in_mid_batch(archiving: _Archiving, own_postgres: PostgresServer, report: Report) -> None:
    """PostgreSQL is killed three times between a batch's inserts and its commit: the next run does it, once."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%INSERT INTO sojourn.%'"
    longest_s = 0.0
    for _ in range(3):
        holder = psycopg.connect(archiving.url)
        holder.execute("LOCK TABLE sojourn.session_events IN ACCESS EXCLUSIVE MODE")
        archiving.change()
        eventually(lambda: rows(archiving.settings, waits), what="a batch in the middle")
        own_postgres.kill()
        holder.close()
        archiving.complained("is not available")
        own_postgres.restart()
        longest_s = max(longest_s, archiving.drained())
    lost, duplicated = archiving.account()
    report.row(
        "PostgreSQL killed in mid-batch", injected=3, lost=lost, duplicated=duplicated, recovery_s=longest_s, within_s=5
    )


def test_frozen(archiving: _Archiving, own_postgres: PostgresServer, report: Report) -> None:
    """PostgreSQL is stopped (SIGSTOP) while there is work: runs give up in time, and the next ones do it."""
    own_postgres.pause()
    archiving.change()
    archiving.complained("archive run failed")
    own_postgres.resume()
    recovery_s = archiving.drained()
    lost, duplicated = archiving.account()
    report.row(
        "PostgreSQL frozen", injected=1, lost=lost, duplicated=duplicated, recovery_s=recovery_s, within_s=5,
        note="each run gave up after its timeout",
    )  # fmt: skip


@pytest.mark.long
def test_disk_full(archiving: _Archiving, report: Report) -> None:
    """Every insert fails for want of space: nothing is taken for archived, and all is once there is space."""
    with psycopg.connect(archiving.url, autocommit=True) as connection:
        connection.execute(_DISK_FULL)
        archiving.change()
        for _ in range(4):  # by then the longest pause between two tries is reached
            archiving.complained("No space left on device")
        connection.execute("DROP FUNCTION sojourn.full_disk CASCADE")
    recovery_s = archiving.drained()
    lost, duplicated = archiving.account()
    report.row(
        "PostgreSQL's disk full (SQLSTATE 53100)", injected=1, lost=lost, duplicated=duplicated,
        recovery_s=recovery_s, within_s=5,
    )  # fmt: skip


def test_refused_at_the_commit(archiving: _Archiving, report: Report) -> None:
    """PostgreSQL takes every statement and refuses the commit: until it is through, Redis keeps all as it was."""
    before = set(rows(archiving.settings, "SELECT id, version FROM sojourn.sessions"))
    with psycopg.connect(archiving.url, autocommit=True) as connection:
        connection.execute(_REFUSED_AT_COMMIT)
        archiving.change()
        archiving.end(50)
        changed, kept = archiving.dirty(), set(session_keys(archiving.client))
        waiting = archiving.unacknowledged()
        assert (len(changed), len(waiting)) == (200, 350)
        for _ in range(2):
            archiving.complained("No space left on device")
        lost = len(changed - archiving.dirty()) + len(kept - set(session_keys(archiving.client)))
        lost += len(waiting - archiving.unacknowledged())
        assert set(rows(archiving.settings, "SELECT id, version FROM sojourn.sessions")) == before
        connection.execute("DROP FUNCTION sojourn.refuse CASCADE")
    recovery_s = archiving.drained()
    assert len(kept - set(session_keys(archiving.client))) == 50  # those that ended may go now, and do
    more_lost, duplicated = archiving.account()
    report.row(
        "PostgreSQL refuses at the commit", injected=1, lost=lost + more_lost, duplicated=duplicated,
        recovery_s=recovery_s, within_s=5, note="meanwhile nothing counted as archived, and nothing left Redis",
    )  # fmt: skip


def test_schema_behind_the_code(archiving: _Archiving, report: Report) -> None:
    """The tables are of an older version: runs say what to do, and go on once it is done."""
    migrate(archiving.url, "0001")
    archiving.change()
    archiving.complained("run 'sojourn archive init'")
    init(archiving.url)
    recovery_s = archiving.drained()
    lost, duplicated = archiving.account()
    report.row(
        "archive's schema behind the code", injected=1, lost=lost, duplicated=duplicated, recovery_s=recovery_s,
        within_s=5, note="the error says: run 'sojourn archive init'",
    )  # fmt: skip
