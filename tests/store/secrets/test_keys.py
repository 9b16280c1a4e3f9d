"""Keys: how they are written, where they are read from, and that none is ever shown."""

from __future__ import annotations

import os
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.store.secrets.examples import FIRST, SECOND

from sojourn import Settings, SettingsError, load_settings
from sojourn.codec import Models
from sojourn.sealing import Keyring, new_key
from sojourn.settings import masked, origins
from sojourn_worker import config

MATERIAL = re.compile(r"[A-Za-z0-9+/]{43}=")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave nothing of the caller's settings."""
    for name in os.environ:
        if name.startswith("SOJOURN_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def ring(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """Return the ids of a settings' keys: the newest, and all."""
    assert settings.keyring is not None
    return settings.keyring.newest, settings.keyring.ids


def test_fresh_keys() -> None:
    """Each is another one, and the settings take it."""
    keys = {new_key() for _ in range(50)}
    assert len(keys) == 50
    assert len({each.partition(":")[0] for each in keys}) == 50
    assert len(ring(Settings(secret_keys=tuple(keys)))[1]) == 50


def test_no_keys() -> None:
    """Then there is no keyring."""
    assert Settings().keyring is None
    Path("empty").write_text("# none yet\n\n")
    assert Settings(secret_keys_file=Path("empty")).keyring is None


@pytest.mark.parametrize(
    "text",
    [f'["{FIRST}", "{SECOND}"]', f"{FIRST},{SECOND}", f"{FIRST} {SECOND}", f" {FIRST},\n {SECOND}\n"],
    ids=["json", "comma", "space", "lines"],
)
def test_from_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a JSON list, or separated by commas or white space."""
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", text)
    assert ring(load_settings()) == ("second", ("first", "second"))


def test_from_files() -> None:
    """From sojourn.yaml, and from a file of their own, which come after."""
    Path("sojourn.yaml").write_text(f"secret_keys: ['{FIRST}']\nsecret_keys_file: keys\n")
    Path("keys").write_text(f"# old ones first\n\n  {SECOND}  \n")
    assert ring(load_settings()) == ("second", ("first", "second"))
    with Path("keys").open("a") as file:
        file.write(new_key() + "\n")
    newest, ids = ring(load_settings())
    assert ids == ("first", "second", newest)


def test_a_key_told_twice() -> None:
    """The last place counts."""
    assert ring(Settings(secret_keys=(FIRST, SECOND, FIRST))) == ("first", ("first", "second"))


_SHORT = FIRST[:-5] + "="
BAD = [
    "nocolon", FIRST.partition(":")[2], "x:" + FIRST, _SHORT, FIRST + "A", FIRST.replace("first", ""),
    FIRST.replace("first", "f" * 33), FIRST.replace("first", "a b"), FIRST.replace(":", "::"),
    "first:" + "-" * 43 + "=",
]  # fmt: skip


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_malformed_keys(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are refused at once, with their place and without what is written there."""
    Path("keys").write_text(f"{SECOND}\n\n{text}\n")
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: Settings(secret_keys=(SECOND, text)), "key 2 of secret_keys"),
        (lambda: load_settings(secret_keys=(SECOND, text)), "key 2 of secret_keys"),
        (lambda: load_settings(secret_keys_file="keys"), "keys, line 3"),
    ]
    for call, place in calls:
        with pytest.raises(SettingsError, match=place) as caught:
            call()
        whole = "".join(traceback.format_exception(caught.value))
        assert text not in whole
        assert SECOND not in whole
        assert not MATERIAL.search(whole)
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", f'["{SECOND}", {{"x": "{FIRST}"}}]')
    with pytest.raises(SettingsError) as told:
        load_settings()
    assert not MATERIAL.search(str(told.value))


def test_two_keys_of_one_id() -> None:
    """Which one sealed could not be told."""
    other = SECOND.replace("second", "first")
    with pytest.raises(SettingsError, match="'first'") as caught:
        Settings(secret_keys=(FIRST, other))
    assert not MATERIAL.search(str(caught.value))


def test_unreadable_files(tmp_path: Path) -> None:
    """Missing, a folder, or no text."""
    Path("binary").write_bytes(b"\xff\xfe\x00")
    for path, told in (("missing", "No such file"), (str(tmp_path), "directory"), ("binary", "not text")):
        with pytest.raises(SettingsError, match=told):
            load_settings(secret_keys_file=path)


def test_other_errors_show_no_keys() -> None:
    """What pydantic says of a setting next to them does not show all that was given."""
    with pytest.raises(Exception, match="longer than max_lifetime") as caught:
        Settings(secret_keys=(FIRST,), ttl=100, max_lifetime=10)
    assert not MATERIAL.search("".join(traceback.format_exception(caught.value)))


def test_nothing_shows_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the settings, nor what is made from them, nor what `sojourn config` prints."""
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", f"{FIRST} {SECOND}")
    settings = load_settings()
    found = next(each for each in origins() if each.name == "secret_keys")
    shown = [
        repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json(), repr(settings.keyring),
        repr(settings.context(Models([]))), str(masked(found.value)), str(vars(settings)),
    ]  # fmt: skip
    assert not [each for each in shown if MATERIAL.search(each)]
    assert masked(found.value) == ("first:***", "second:***")
    assert found.where == "SOJOURN_SECRET_KEYS"


def test_keys_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And anew for settings that were changed."""
    Path("keys").write_text(FIRST)
    settings = load_settings(secret_keys_file="keys")
    made = settings.keyring
    Path("keys").unlink()
    assert settings.keyring is made
    assert settings.context(Models([])).keyring is made
    changed = settings.model_copy(update={"secret_keys": Settings(secret_keys=(SECOND,)).secret_keys,
                                          "secret_keys_file": None})  # fmt: skip
    assert ring(changed) == ("second", ("second",))


def test_settings_reach_worker_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the supervisor's pipe and the environment of hooks; and they can be pickled."""
    Path("keys").write_text(SECOND)
    settings = load_settings(secret_keys=(FIRST,), secret_keys_file="keys")
    for each in (config.from_line(config.to_line(settings)), pickle.loads(pickle.dumps(settings))):  # noqa: S301
        assert ring(each) == ("second", ("first", "second"))
    with monkeypatch.context() as patch:
        patch.setattr(config, "_used", None)
        patch.setattr(os, "environ", dict(os.environ))
        config.use(settings)
        assert ring(load_settings()) == ("second", ("first", "second"))


def test_keyrings_need_a_key() -> None:
    """An empty one could not seal."""
    with pytest.raises(SettingsError, match="keygen"):
        Keyring(())
