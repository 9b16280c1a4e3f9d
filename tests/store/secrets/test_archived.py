"""Secrets in the archive: sealed there as well, and readable on every way back."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from tests.store.secrets.conftest import MakeSettings
from tests.store.secrets.examples import FIRST, SECOND, VaultSession, revealed

from sojourn import SecretUnreadable, SessionStore
from sojourn.archive import Archive, archive_once, rehydrate

Vault = SessionStore[VaultSession]
Query = Callable[..., list[tuple[Any, ...]]]


def changed_twice(vault: Vault) -> VaultSession:
    """Return a session with two updates behind it."""
    session = vault.create(password="one", blob=b"\x00", credentials={"a": "b"})
    vault.update(session.id, password="two")
    return vault.update(session.id, password="three", credentials=None)


def test_archived_records_are_sealed(archived_vault: Vault, settings_with: MakeSettings, query: Query) -> None:
    """Record, changes and what was before; and the archive reads them."""
    session = changed_twice(archived_vault)
    archive_once(settings_with(FIRST))
    ((data,),) = query("SELECT data FROM sojourn.sessions")
    assert data["password"].startswith("sealed:1:first:")
    assert "credentials" not in data
    told = query("SELECT changes, before FROM sojourn.session_events WHERE type = 'updated' ORDER BY version")
    assert all(changes["password"].startswith("sealed:1:first:") for changes, _ in told)
    assert all(before["password"].startswith("sealed:1:first:") for _, before in told)
    archive = Archive(settings_with(FIRST))
    assert revealed(archive.get(session.id)) == ("three", b"\x00", None)
    assert revealed(archive.list().sessions[0]) == ("three", b"\x00", None)
    blind = Archive(settings_with(SECOND))
    for found in (blind.get(session.id), blind.list().sessions[0], blind.restore(session.id, version=2)):
        assert isinstance(found, VaultSession)
        assert isinstance(found.password, SecretStr)
        with pytest.raises(SecretUnreadable):
            found.password.get_secret_value()


def test_history_leads_back_to_earlier_secrets(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Each version with the value that it had; restored ones live on, by one who can open them and one who cannot."""
    session = changed_twice(archived_vault)
    archive_once(settings_with(FIRST))
    archive = Archive(settings_with(FIRST))
    found = [revealed(archive.restore(session.id, version=each)) for each in (1, 2, 3)]
    assert found == [("one", b"\x00", {"a": "b"}), ("two", b"\x00", {"a": "b"}), ("three", b"\x00", None)]
    assert revealed(archived_vault.restore(session.id, version=2)) == found[1]
    archived_vault.complete(session.id)
    archive_once(settings_with(FIRST))
    with SessionStore(settings=settings_with(SECOND), model=VaultSession) as blind:
        assert isinstance(blind.restore(session.id, version=1).password, SecretStr)
    assert revealed(archived_vault.get(session.id)) == found[0]


def test_rehydrated_secrets(archived_vault: Vault, settings_with: MakeSettings, client: Any) -> None:
    """A lost Redis is filled with the same texts, even by one without keys."""
    session = changed_twice(archived_vault)
    archive_once(settings_with(FIRST))
    client.flushdb()
    assert rehydrate(settings_with()).loaded == 1
    with SessionStore(settings=settings_with(FIRST), model=VaultSession) as store:
        assert revealed(store.get(session.id)) == ("three", b"\x00", None)


def test_exports_stay_sealed(archived_vault: Vault, settings_with: MakeSettings, query: Query, tmp_path: Any) -> None:
    """What is exported holds no value in clear, and is read as before once it was imported."""
    from sojourn.archive.transfer import export_rows, import_rows

    session = archived_vault.create(password="hunter2-planted")
    archived_vault.update(session.id, password="hunter2-planted-too")
    archive_once(settings_with(FIRST))
    paths = {each: tmp_path / f"{each}.jsonl" for each in ("sessions", "events")}
    for table, path in paths.items():
        export_rows(settings_with(FIRST), path, table=table)
        assert "hunter2" not in path.read_text()
        assert "sealed:1:first:" in path.read_text()
    query("DELETE FROM sojourn.sessions")
    query("DELETE FROM sojourn.session_events")
    for path in paths.values():
        import_rows(settings_with(FIRST), path)
    archive = Archive(settings_with(FIRST))
    assert revealed(archive.get(session.id))[0] == "hunter2-planted-too"
    assert revealed(archive.restore(session.id, version=1))[0] == "hunter2-planted"


def test_unknown_models_show_sealed_text(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Where the model is not known, its fields are text: for a secret, the sealed one."""
    session = archived_vault.create(password="hunter2")
    with SessionStore(settings=settings_with(FIRST, models=())) as store:
        found: Any = store.get(session.id)
        assert found.password.startswith("sealed:1:first:")
        assert "hunter2" not in io.StringIO(found.model_dump_json()).read()
