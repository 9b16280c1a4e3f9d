"""``secrets``: keys are made and moved to, and what is left is told."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from tests.store.cli.conftest import Run, Start
from tests.store.secrets.examples import FIRST, SECOND, VaultSession

from sojourn import SessionStore, Settings
from sojourn.archive import archive_once, init


@pytest.fixture
def vault(any_redis_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have an archive, a model with secrets and a key; give a store that seals with it."""
    init(postgres_url)
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", FIRST)
    monkeypatch.setenv("SOJOURN_MODELS", '["tests.store.secrets.examples:VaultSession"]')
    settings = Settings(redis_url=any_redis_url, archive_url=postgres_url)
    with SessionStore(settings=settings, model=VaultSession) as store:
        yield store


def test_keygen(run: Run, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """It prints one key and nothing else, whatever the settings are; appended to a file, that becomes the newest."""
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", "malformed")
    keys = [run("secrets", "keygen") for _ in range(2)]
    assert all(each.err == "" and each.out.count("\n") == 1 for each in keys)
    assert len(base64.b64decode(keys[0].out.partition(":")[2])) == 32
    monkeypatch.delenv("SOJOURN_SECRET_KEYS")
    with Path("keys").open("w") as file:
        for _ in range(2):
            start("secrets", "keygen", stdout=file).communicate()
    monkeypatch.setenv("SOJOURN_SECRET_KEYS_FILE", "keys")
    newest = Path("keys").read_text().splitlines()[1].partition(":")[0]
    assert run("secrets", "status", "--json").json["newest"] == newest


def test_rotation(run: Run, vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """From one key to the next: seen before, moved, seen after, and then the old key can go."""
    session = vault.create(password="pa", credentials={"a": "b"})
    vault.update(session.id, password="pb")
    archive_once(vault.settings)
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", f"{FIRST} {SECOND}")
    found = run("secrets", "status", "--json").json
    assert found["keys"] == {"first": {"live": 2, "archived": 2, "events": 2, "outbox": 2}}
    assert (found["newest"], found["complete"]) == ("second", False)
    assert run("secrets", "reseal", "--dry-run", "--json").json["keys"] == found["keys"]
    moved = run("secrets", "reseal")
    rows = [line.split() for line in moved.out.splitlines()]
    assert rows == [
        ["KEY", "REDIS", "ARCHIVE", "EVENTS", "OUTBOX"], ["first", "0", "0", "0", "2"],
        ["second", "(newest)", "2", "2", "2", "0"],
    ]  # fmt: skip
    assert "moved to key second: 2 in Redis, 2 archived, 2 in events" in moved.err
    assert "run 'sojourn secrets reseal' again" in moved.err
    assert run("secrets", "reseal", "--json").json["complete"] is True
    events = run("events", "--json", "--from", "oldest").json_lines
    told = [each for each in events if each["type"] == "administered"]
    assert [each["changes"] for each in told] == [{"action": "secrets.reseal", "key": "second"}]
    assert told[0]["actor"]
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", SECOND)
    assert run("secrets", "status").code == 0


def test_what_cannot_be_opened(run: Run, vault: Any, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and the exit code tells; the rest is moved."""
    one, two = vault.create(password="pa"), vault.create(password="pb")
    key = vault._context.keys.session(two.id)
    client.hset(key, "password", client.hget(key, "password")[:-4] + "AAAA")
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", f"{FIRST} {SECOND}")
    found = run("secrets", "reseal", code=5)
    assert f"field 'password' of session {two.id} of tenant 'default', key first (live)" in found.err
    assert one.id not in found.err
    assert run("secrets", "reseal", "--json", code=5).json["unopened"] == 1
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", SECOND)
    assert run("secrets", "status", code=5).out.splitlines()[1].split() == ["first", "1", "0", "0", "0"]


def test_one_tenant(run: Run, vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --tenant only its own."""
    vault.create(password="pa")
    vault.for_tenant("acme").create(password="pb")
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", f"{FIRST} {SECOND}")
    assert run("secrets", "reseal", "--tenant", "acme", "--json").json["moved"]["live"] == 1
    assert run("secrets", "status", "--json").json["keys"]["first"]["live"] == 1


def test_without_keys(run: Run, vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be moved; it can be counted."""
    assert "nothing is sealed" in run("secrets", "status").err
    vault.create(password="pa")
    monkeypatch.delenv("SOJOURN_SECRET_KEYS")
    assert "secret_keys" in run("secrets", "reseal", code=2).err
    assert "no keyring" in run("secrets", "status").err


def test_what_get_list_and_history_show(run: Run, vault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Masks; and where a secret cannot be opened, the rest of the session all the same."""
    session = vault.create(password="hunter2", note="n")
    vault.update(session.id, password="hunter3")
    assert ["password", "**********"] in [line.split() for line in run("get", session.id).out.splitlines()]
    assert run("get", session.id, "--json").json["password"] == "**********"
    assert "password=(sealed)->(sealed)" in run("history", session.id).out
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", SECOND)
    shown = run("get", session.id).out
    assert "(cannot be opened)" in shown
    assert "**********" not in shown
    assert run("get", session.id, "--json").json["note"] == "n"
    assert run("list", "--json").json["sessions"][0]["password"] == "**********"
    assert run("update", session.id, "--set", "note=m", "--json").json["note"] == "m"
    monkeypatch.setenv("SOJOURN_MODELS", "[]")
    assert run("get", session.id, "--json").json["password"].startswith("sealed:1:first:")


def test_values_of_secrets(run: Run, vault: Any, tmp_path: Path) -> None:
    """They come from stdin or a file, never on the command line; what is text there is text, whatever it looks like."""
    session = vault.create()
    for typed in ("42", "true", "[1]", "a b", "@x", "-"):
        run("update", session.id, "--set", "password=-", stdin=typed + "\n")
        assert vault.get(session.id).password.get_secret_value() == typed
    file = tmp_path / "secret"
    file.write_bytes(b'\xef\xbb\xbf{"a": "b"}\r\n')
    run("update", session.id, "--set", f"credentials=@{file}")
    assert vault.get(session.id).credentials.get_secret_value() == {"a": "b"}
    for refused in ("password=hunter2", 'credentials={"a": "hunter2"}', "credentials=@/nowhere"):
        failed = run("update", session.id, "--set", refused, code=2).err
        assert "hunter2" not in failed
    assert "password=@FILE" in run("create", "--kind", "vault", "--set", "password=hunter2", code=2).err
