"""A session that was given another id: its old id ends in the archive, and its history goes on under the new one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis
from tests.census import strays
from tests.store.archive.helpers import keys_of, note

from sojourn import DocumentationSession, SessionNotFound, SessionStore, Settings, TokenInvalid, VersionNotFound
from sojourn.archive import archive_once, rehydrate

Store = SessionStore[DocumentationSession]
Query = Callable[..., list[tuple[Any, ...]]]


def rotated(store: Store, settings: Settings, *, archived: bool) -> tuple[str, str]:
    """Make a session with a log, archived so far or not, and rotate it; return both ids."""
    made = store.create(workspace_id="w", module_name="m", owner="ada", ttl=600)
    store.append(made.id, DocumentationSession.notes, note("a"), note("b"))
    if archived:
        archive_once(settings)
    return made.id, store.rotate_id(made.id).id


@pytest.mark.parametrize("archived", [False, True])
def test_the_archive_holds_one_live_session(
    store: Store, settings: Settings, raw: redis.Redis, query: Query, archived: bool
) -> None:
    """The old id's row is ended; the new one's is live, with all entries of its log."""
    old, new = rotated(store, settings, archived=archived)
    store.append(new, DocumentationSession.notes, note("c"))
    archive_once(settings)
    rows = {str(id_): rest for id_, *rest in query("SELECT id, status, end_reason, version FROM sojourn.sessions")}
    assert rows == {old: ["deleted", "rotated", 3], new: ["pending", None, 4]}
    counts: dict[str, int] = dict(query("SELECT session_id::text, count(*) FROM sojourn.session_entries GROUP BY 1"))
    assert counts == {new: 3} | ({old: 2} if archived else {})
    assert not raw.exists(keys_of().session(old))
    assert strays(settings.redis_url) == []
    assert archive_once(settings).entries == 0


@pytest.mark.parametrize("archived", [False, True])
def test_rehydrate_brings_the_new_id_only(store: Store, settings: Settings, raw: redis.Redis, archived: bool) -> None:
    """After a disaster the old id is as gone as before it."""
    old, new = rotated(store, settings, archived=archived)
    before = store.get(new)
    archive_once(settings)
    raw.flushall()
    assert rehydrate(settings).loaded == 1
    assert rehydrate(settings, ids=[old]).ended == 1
    assert store.get(new) == before
    assert [each.file_path for each in store.entries(new, DocumentationSession.notes)] == ["a", "b"]
    with pytest.raises(SessionNotFound):
        store.get(old)
    assert strays(settings.redis_url) == []


@pytest.mark.parametrize("told", [False, True])
def test_restore_does_not_revive_the_old_id(store: Store, settings: Settings, raw: redis.Redis, told: bool) -> None:
    """Neither from the archive's word, nor while the archive does not know of the rotation."""
    old, new = rotated(store, settings, archived=True)
    if told:
        archive_once(settings)
    with pytest.raises(SessionNotFound):
        store.restore(old)
    with pytest.raises(SessionNotFound):
        store.restore(old, version=1)
    assert store.get(new).is_live
    assert store.count() == 1


def test_history(store: Store, settings: Settings) -> None:
    """Either id tells what was so under it; the new one's goes back to the rotation, and restores to that."""
    old, new = rotated(store, settings, archived=True)
    at_rotation = store.get(new)
    store.update(new, owner="grace")
    archive_once(settings)
    assert [each.type for each in store.archive.history(old)] == ["created", "updated", "rotated"]
    assert [each.type for each in store.archive.history(new)] == ["rotated", "updated"]
    assert store.archive.restore(old, version=1).owner == "ada"
    assert store.archive.restore(old, version=2).status == "pending"
    assert store.archive.restore(new, version=3) == at_rotation
    with pytest.raises(VersionNotFound):
        store.archive.restore(new, version=2)
    restored = store.restore(new, version=3)
    assert (restored.id, restored.owner, restored.version) == (new, "ada", 5)


def test_an_older_copy_of_redis(store: Store, settings: Settings, raw: redis.Redis) -> None:
    """Where Redis comes back from before the rotation, the archive's word ends the old id, with its tokens."""
    made = store.create(workspace_id="w", module_name="m", owner="ada", ttl=600)
    pair = store.tokens.issue(made.id)
    with redis.Redis.from_url(settings.redis_url) as undecoded:
        copy: dict[Any, Any] = {key: undecoded.dump(key) for key in undecoded.scan_iter()}
    new = store.rotate_id(made.id)
    archive_once(settings)
    raw.flushall()
    for key, value in copy.items():
        raw.restore(key, 600_000, value)
    assert store.tokens.verify(pair.access) == made
    report = rehydrate(settings, ids=[made.id, new.id])
    assert (report.removed, report.loaded) == (1, 1)
    with pytest.raises(TokenInvalid):
        store.tokens.verify(pair.access)
    assert store.get(new.id) == new
    assert strays(settings.redis_url) == []


def test_a_restored_session_has_no_tokens(store: Store, settings: Settings) -> None:
    """Those that it had were issued to another state of it, or to one that ended."""
    made = store.create(workspace_id="w", module_name="m", ttl=600)
    archive_once(settings)
    for end in (False, True):
        pair = store.tokens.issue(made.id)
        if end:
            store.complete(made.id)
        store.restore(made.id, version=1)
        with pytest.raises(TokenInvalid):
            store.tokens.verify(pair.access)
        assert store.tokens.list(made.id) == []
    assert strays(settings.redis_url) == []
