"""Redis restarted, killed, and back with less than it had."""

from __future__ import annotations

import time

import psutil  # type: ignore[import-untyped]
import pytest
import redis
from tests.census import strays
from tests.conftest import OwnRedis
from tests.faults.deployment import Deployment, deployed, rows, unindexed
from tests.faults.hook_functions import calls, effects
from tests.faults.load import loaded, settle_account
from tests.faults.report import Report
from tests.store.examples import keys_of
from tests.waiting import eventually
from tests.worker.processes import Processes

from sojourn import SessionNotFound, SessionStore
from sojourn.archive import Archive, archive_once
from sojourn.settings import Settings

_AOF = {"appendonly": "yes", "appendfsync": "everysec"}


class _Watch:
    """Sees whether all roles are at work, by sessions that expire at once and go through all of them."""

    def __init__(self, settings: Settings, client: redis.Redis) -> None:
        self._settings = settings
        self._client = client
        self._ids: list[str] = []

    def recovered(self) -> float:
        """Wait until every role has done its part for a new session; how long that took, in seconds."""
        began = time.monotonic()
        with SessionStore(settings=self._settings) as store:
            self._ids.append(store.create(ttl=0.05).id)
        eventually(lambda: self._archived() and self._told(), deadline_s=60, what="archive and hook at work")
        return time.monotonic() - began

    def _archived(self) -> bool:
        query = "SELECT 1 FROM sojourn.sessions WHERE id = %s AND status = 'expired'"
        return bool(rows(self._settings, query, self._ids[-1]))

    def _told(self) -> bool:
        return any(each["session"] == self._ids[-1] for each in effects(self._client))

    def account(self) -> tuple[int, int]:
        """How many of the sessions were not told to the hook, and how many calls of it were too many."""
        told = {each["session"] for each in effects(self._client)}
        return len(set(self._ids) - told), sum(calls(self._client).values()) - len(told)


@pytest.mark.long
def test_redis_restarts_under_all_roles(
    own_redis: OwnRedis, archive_url: str, processes: Processes, report: Report
) -> None:
    """Redis restarts under load, then forgets its setting, scripts and subscribers: all roles and clients go on."""
    server = own_redis(_AOF)
    settings = deployed(server.url, archive_url, events_cap=100_000)
    deployment = Deployment(processes, settings)
    deployment.ready()
    client: redis.Redis = redis.Redis.from_url(server.url, decode_responses=True)
    watch = _Watch(settings, client)
    with loaded(settings, ("sync", "async")) as load:
        watch.recovered()
        away: list[float] = []
        for _ in range(2):
            server.stop()
            before = load.errors.total()
            eventually(lambda most=before: load.errors.total() > most + 3, what="clients that notice")  # type: ignore[misc]
            server.restart()
            away.append(watch.recovered())
        errors = load.errors.total()
        client.config_set("notify-keyspace-events", "")
        client.script_flush()
        client.client_kill_filter(_type="pubsub")
        began = time.monotonic()
        flags = "notify-keyspace-events"
        eventually(lambda: "x" in str(client.config_get(flags)[flags]))
        forgotten_s = max(time.monotonic() - began, watch.recovered())
        assert load.errors.total() == errors
    assert load.unexpected == []
    assert deployment.alive()
    lost, doubled, half = settle_account(client, settings, load, trimmed=True)
    untold, repeated = watch.account()
    assert half == 0
    assert strays(server.url) == []
    assert unindexed(client) == []
    client.close()
    report.row(
        "Redis restarted", injected=len(away), lost=lost + untold, duplicated=doubled + repeated,
        recovery_s=max(away), within_s=5, note="all roles at work again; clients saw StoreUnavailable and nothing else",
    )  # fmt: skip
    report.row(
        "notification setting, scripts and subscribers forgotten", injected=3, lost=lost + untold,
        duplicated=doubled + repeated, recovery_s=forgotten_s, within_s=5, note="clients saw no error",
    )  # fmt: skip


@pytest.mark.long
def test_redis_restarts_during_a_job(own_redis: OwnRedis, processes: Processes, report: Report) -> None:
    """Redis goes while a worker has a job in hand, which ends meanwhile: the job runs again within 5 s."""
    server = own_redis(_AOF)
    settings = deployed(server.url, hook="linger")
    deployment = Deployment(processes, settings, ("listen", "dispatch", "jobs:hooks"))
    deployment.ready()
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        with SessionStore(settings=settings) as store:
            store.create(ttl=0.05)
        eventually(lambda: client.get("holding"), what="a hook at work")
        server.stop()
        worker = psutil.Process(deployment.roles["jobs:hooks"].pid)
        eventually(lambda: not any(each.status() != psutil.STATUS_ZOMBIE for each in worker.children()))
        deployment.roles["jobs:hooks"].tells("outage begins", what="the queues' Redis")
        server.restart()
        began = time.monotonic()
        eventually(lambda: len(effects(client)) == 1, deadline_s=60)
        recovery_s = time.monotonic() - began
        assert deployment.alive()
        report.row(
            "Redis restarted during a job", injected=1, lost=1 - len(effects(client)),
            duplicated=sum(calls(client).values()) - 1, recovery_s=recovery_s, within_s=5,
        )  # fmt: skip


def test_redis_killed_under_load(own_redis: OwnRedis, report: Report) -> None:
    """Redis is killed three times in the midst of writes, with an AOF: what was acknowledged is there, and whole."""
    # With everysec Redis puts off writing while the disk is slow, and a kill takes what it acknowledged meanwhile.
    server = own_redis(_AOF | {"appendfsync": "no"})
    settings = deployed(server.url, events_cap=1_000_000)
    longest_s = 0.0
    with loaded(settings, ("sync", "sync", "async")) as load:
        for _ in range(3):
            until = load.acknowledged + 1_000
            eventually(lambda least=until: load.acknowledged >= least, deadline_s=60)  # type: ignore[misc]
            server.kill()
            server.restart()
            began, before = time.monotonic(), load.acknowledged
            eventually(lambda least=before: load.acknowledged > least + 20)  # type: ignore[misc]
            longest_s = max(longest_s, time.monotonic() - began)
    assert load.unexpected == []
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        lost, doubled, half = settle_account(client, settings, load)
        assert half == 0
        assert strays(server.url) == []
        assert unindexed(client) == []
        report.row(
            "Redis killed under load (AOF, appendfsync no)", injected=3, lost=lost, duplicated=doubled,
            recovery_s=longest_s, within_s=5, note=f"{load.acknowledged:,} acknowledged writes, none applied by half",
        )  # fmt: skip


@pytest.mark.long
def test_redis_restored_from_an_older_copy(
    own_redis: OwnRedis, archive_url: str, processes: Processes, report: Report
) -> None:
    """Redis comes back as it was earlier, and goes on: archive and Redis converge, and of two states the newer wins."""
    server = own_redis({"appendonly": "yes", "appendfsync": "always"})
    settings = deployed(server.url, archive_url, archive_interval=0.5)
    file = server.directory / "appendonly.aof"
    with SessionStore(settings=settings) as store:
        made = [each.id for each in store.create_many([{"owner": "first"}] * 100, ttl=600)]
        archive_once(settings)
        copy = file.read_bytes()
        changed, ended, untouched = made[:50], made[50:70], made[70:]
        store.update_many({each: {"owner": "second"} for each in changed})
        for each in ended:
            store.complete(each)
        added = [each.id for each in store.create_many([{"owner": "second"}] * 30, ttl=600)]
        assert archive_once(settings).complete
        server.kill()
        file.write_bytes(copy)
        server.restart()
        # The clients find the older states, and write on.
        written = changed[:10] + ended[:5]
        for each in written:
            assert store.update(each, owner="third").version == 2
        began = time.monotonic()
        deployment = Deployment(processes, settings)
        client: redis.Redis = redis.Redis.from_url(server.url, decode_responses=True)
        partition = keys_of(store).partition
        eventually(
            lambda: client.hget(partition.counts, "restored"), deadline_s=60, what="the older copy to be noticed"
        )
        eventually(lambda: not client.zcard(partition.dirty), deadline_s=60, what="the archive")
        recovery_s = time.monotonic() - began
        wanted = dict.fromkeys(changed + added, "second") | dict.fromkeys(untouched, "first")
        wanted |= dict.fromkeys(written, "third")
        archive = Archive(settings)
        lost = sum(
            session is None or session.owner != wanted[session.id] or archive.get(session.id) != session
            for session in store.get_many(wanted)
        )
        for each in ended[5:]:
            lost += archive.get(each).status != "completed"
            with pytest.raises(SessionNotFound):
                store.update(each, owner="fourth")
        events = [each for (each,) in rows(settings, "SELECT id FROM sojourn.session_events")]
        assert strays(server.url) == []
        assert unindexed(client) == []
        assert any("Redis was behind the archive" in each.log for each in deployment.roles.values())  # whoever saw it
        client.close()
    report.row(
        "Redis restored from an older copy", injected=1, lost=lost, duplicated=len(events) - len(set(events)),
        recovery_s=recovery_s, note="counted and logged; the newer of two states stayed",
    )  # fmt: skip
