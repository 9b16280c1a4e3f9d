"""What is restored from the archive for one owner."""

from __future__ import annotations

import pytest
import redis
from tests.drivers import snapshot
from tests.store.archive.helpers import keys_of

from sojourn import DocumentationSession, SessionNotFound, SessionStore, Settings, WrongOwner
from sojourn.archive import archive_once

Store = SessionStore[DocumentationSession]


@pytest.mark.parametrize("gone", [False, True], ids=["held", "gone"])
def test_restore_is_for_its_owner(store: Store, settings: Settings, raw: redis.Redis, gone: bool) -> None:
    """Another owner's session is not restored, whether Redis holds it or not, nor a state in which it was another's."""
    made = store.create(workspace_id="w", module_name="m", owner="bob")
    store.update(made.id, module_name="n")
    store.update(made.id, owner="ada")
    store.update(made.id, module_name="o")
    archive_once(settings)
    if gone:
        raw.delete(keys_of().session(made.id))
    before = snapshot(raw)
    for owner, version in (("bob", 2), ("bob", None), ("ada", 2), ("eve", 4)):
        with pytest.raises(WrongOwner):
            store.owned_by(owner).restore(made.id, version=version)
    with pytest.raises(SessionNotFound):
        store.owned_by("ada").restore("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")
    assert snapshot(raw) == before
    assert store.owned_by("ada").restore(made.id, version=3).module_name == "n"


def test_restore_of_what_redis_knows_to_be_anothers_by_now(store: Store, settings: Settings) -> None:
    """The archive may lag behind."""
    made = store.create(workspace_id="w", module_name="m", owner="ada")
    archive_once(settings)
    store.update(made.id, owner="bob")
    with pytest.raises(WrongOwner):
        store.owned_by("ada").restore(made.id)
    assert store.get(made.id).owner == "bob"
