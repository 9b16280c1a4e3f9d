"""Claims wait until Redis was held against the archive: an older copy has older deadlines."""

from __future__ import annotations

from typing import Any

import redis
from tests.waiting import eventually
from tests.worker.processes import settings_for

from sojourn import SessionStore, Settings
from sojourn.archive import archive_once, init
from sojourn.keys import CHECKED
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.sweep import Sweeper


def _copied(client: Any) -> dict[bytes, bytes]:
    return {key: client.dump(key) for key in client.scan_iter() if b":lease:" not in key}


def _restored(client: Any, copy: dict[bytes, bytes]) -> None:
    client.flushall()
    for key, value in copy.items():
        client.restore(key, 0, value)
    client.set(CHECKED, "another run")


def _sweep(settings: Settings) -> int:
    link = RedisLink(settings)
    try:
        return Sweeper(settings, link).sweep().expired
    finally:
        link.close()


def test_nothing_expires_by_a_copys_deadlines(any_redis_url: str, postgres_url: str) -> None:
    """Sessions that were kept alive after the copy was made live on; one that was not expires."""
    init(postgres_url)
    settings = settings_for(any_redis_url, archive_url=postgres_url)
    with redis.Redis.from_url(any_redis_url) as client, SessionStore(settings=settings) as store:
        kept = [each.id for each in store.create_many([{}] * 10, ttl=1)]
        left = store.create(ttl=1).id
        archive_once(settings)
        copy = _copied(client)
        for each in kept[:5]:
            store.set_ttl(each, 600)
        with SessionStore(settings=settings.model_copy(update={"ttl": 600})) as longer:
            for each in kept[5:]:
                longer.set_ttl(each, 600)
                longer.touch(each)
        archive_once(settings)
        _restored(client, copy)
        eventually(lambda: _sweep(settings) == 1)
        assert [each is not None for each in store.get_many([*kept, left])] == [True] * 10 + [False]


def test_a_claim_by_mistake_is_taken_back(any_redis_url: str, postgres_url: str) -> None:
    """Where a client was quicker than all workers, the archive's later deadline wins all the same."""
    init(postgres_url)
    settings = settings_for(any_redis_url, archive_url=postgres_url)
    with redis.Redis.from_url(any_redis_url) as client, SessionStore(settings=settings) as store:
        session = store.create(ttl=1)
        archive_once(settings)
        copy = _copied(client)
        store.set_ttl(session.id, 600)
        archive_once(settings)
        _restored(client, copy)
        partition = settings.all_partitions
        eventually(
            lambda: (
                store.create() and not any(client.zscore(each.deadlines, f"default/{session.id}") for each in partition)
            )
        )
        archive_once(settings)
        assert store.get(session.id).version == 2


def test_without_its_archive_it_claims_all_the_same(any_redis_url: str, free_port: int) -> None:
    """An archive that is away does not keep sessions from expiring."""
    settings = settings_for(any_redis_url, archive_url=f"postgresql://127.0.0.1:{free_port}/none")
    with SessionStore(settings=settings) as store:
        store.create(ttl=0.01)
    eventually(lambda: _sweep(settings) == 1)
