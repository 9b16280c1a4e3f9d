"""Settings: where they come from, and what is wrong with bad ones."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sojourn import Session, SessionStore, SettingsError, load_settings
from sojourn.settings import masked

ORDER: list[tuple[str, Any, str, Any, Any, Any]] = [
    # name, argument, environment and what that means, file and what that means
    ("tenant", "by-argument", "by-environment", "by-environment", "by-file", "by-file"),
    ("ttl", timedelta(seconds=5), "60", timedelta(seconds=60), 120, timedelta(seconds=120)),
    ("retries", 1, "3", 3, 4, 4),
    ("sliding", True, "true", True, True, True),
    ("socket_timeout", 0.5, "2.5", 2.5, 3, 3.0),
    ("redis_url", "redis://a/0", "redis://b/0", "redis://b/0", "redis://c/0", "redis://c/0"),
    ("models", ("a:A",), '["b:B"]', ("b:B",), ["c:C"], ("c:C",)),
]


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "argument", "variable", "by_variable", "in_file", "by_file"), ORDER)
def test_order(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, name: str, argument: Any, variable: str, by_variable: Any,
    in_file: Any, by_file: Any,
) -> None:  # fmt: skip
    """Argument over environment over file over default."""
    default = getattr(load_settings(), name)
    (nowhere / "sojourn.yaml").write_text(json.dumps({name: in_file}))
    assert getattr(load_settings(), name) == by_file != default
    monkeypatch.setenv(f"SOJOURN_{name.upper()}", variable)
    assert getattr(load_settings(), name) == by_variable
    assert getattr(load_settings(**{name: argument}), name) == argument
    assert getattr(load_settings(**{name: None}), name) == by_variable


@pytest.mark.parametrize(
    ("text", "ttl"),
    [("60", timedelta(minutes=1)), ("1.5", timedelta(seconds=1.5)), ("PT1M", timedelta(minutes=1)), ("null", None)],
)
def test_durations_in_the_environment(monkeypatch: pytest.MonkeyPatch, text: str, ttl: timedelta | None) -> None:
    """Seconds, as in the file; ISO 8601; and null for no expiry."""
    monkeypatch.setenv("SOJOURN_TTL", text)
    assert load_settings().ttl == ttl


@pytest.mark.parametrize("text", ["", "null", "None"])
@pytest.mark.parametrize("name", ["archive_url", "queue_url", "http_port", "log_format"])
def test_the_environment_can_say_that_there_is_none(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """Where the file names an archive, a variable can say that here is none, be it that it is empty."""
    values = {"archive_url": "postgresql://a", "queue_url": "redis://a", "http_port": 8000, "log_format": "json"}
    (nowhere / "sojourn.yaml").write_text(f"{name}: {values[name]}")
    assert getattr(load_settings(), name) == values[name]
    monkeypatch.setenv(f"SOJOURN_{name.upper()}", text)
    assert getattr(load_settings(), name) is None


def test_nested_settings_merge(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One limit from the environment leaves those of the file."""
    (nowhere / "sojourn.yaml").write_text("limits:\n  depth: 5\n  tags: 6\n")
    monkeypatch.setenv("SOJOURN_LIMITS__DEPTH", "7")
    limits = load_settings().limits
    assert (limits.depth, limits.tags, limits.batch) == (7, 6, 1000)


def test_named_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SOJOURN_CONFIG names the file; one that is not there is an error."""
    (nowhere / "other.yaml").write_text("tenant: other\n")
    monkeypatch.setenv("SOJOURN_CONFIG", str(nowhere / "other.yaml"))
    assert load_settings().tenant == "other"
    monkeypatch.setenv("SOJOURN_CONFIG", str(nowhere / "nothing.yaml"))
    with pytest.raises(SettingsError, match="not a file"):
        load_settings()


@pytest.mark.parametrize(
    "arguments",
    [
        {"ttl": 0}, {"ttl": -1}, {"ttl": "soon"}, {"ttl": timedelta(days=4000)}, {"grace": 0}, {"grace": -5},
        {"retention": -1}, {"ttl": 50, "max_lifetime": 10}, {"partitions": 0}, {"partitions": 101}, {"tenant": "a:b"},
        {"tenant": ""}, {"retries": -1}, {"retries": 11}, {"socket_timeout": 0}, {"max_connections": 0},
        {"slide_gain": 2}, {"limits": {"depth": 0}}, {"limits": {"nothing": 1}}, {"limits": {"batch": 10**6}},
        {"models": ["nope"]}, {"hooks": {"A": {"events": ["ended"], "function": "a:b"}}},
        {"hooks": {"a": {"events": [], "function": "a:b"}}}, {"hooks": {"a": {"events": ["x"], "function": "a:b"}}},
        {"hooks": {"a": {"events": ["ended"], "function": "a.b"}}}, {"nothing": 1}, {"log_level": "loud"},
    ],
    ids=repr,
)  # fmt: skip
def test_malformed(arguments: dict[str, Any]) -> None:
    """A bad setting is named in one line."""
    with pytest.raises(SettingsError) as caught:
        load_settings(**arguments)
    assert "\n" not in str(caught.value)
    assert next(iter(arguments)) in str(caught.value) or "ttl" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["tenan: x\n", "- a\n", "a: [\n", "tenant: a b\n", "limits: 5\n", "limits: {deep: 1}\n"]
)
def test_bad_files(nowhere: Path, text: str) -> None:
    """So is a bad file, misspelt settings among them."""
    (nowhere / "sojourn.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text"), [("RETRIES", "many"), ("LIMITS", "{"), ("MODELS", "x"), ("TTL", "soon"), ("PARTITIONS", "")]
)
def test_bad_environment(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """So is a bad variable."""
    monkeypatch.setenv(f"SOJOURN_{name}", text)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["os:path", "os:getcwd", "no_such_module:X", "sojourn:NoSuchSession"])
def test_models_must_be_models(name: str) -> None:
    """What the settings name as a model is one."""
    with pytest.raises(SettingsError, match=name.split(":")[0]):
        SessionStore(settings=load_settings(models=(name,)))


def test_store_takes_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store made without arguments reads the settings; one of its own arguments goes over them."""
    monkeypatch.setenv("SOJOURN_TENANT", "acme")
    assert SessionStore().tenant == "acme"
    store = SessionStore("redis://h:1/0", tenant="other")
    assert (store.tenant, store.settings.redis_url, store.model) == ("other", "redis://h:1/0", Session)
    with pytest.raises(ValueError, match="not both"):
        SessionStore("redis://h:1/0", settings=load_settings())


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"), ("redis://ada:word@h/0", "redis://ada:***@h/0"),
        ("redis://:word@h/0", "redis://:***@h/0"), ("redis://a:w@o:r/d@h/0", "redis://a:***@h/0"),
        ("redis://h/0?password=word&x=1", "redis://h/0?password=***&x=1"), ("postgresql://u:word@[::1]/d", "postgresql://u:***@[::1]/d"),
        ("host=h password=word", "host=h password=***"), (5, 5), (None, None),
    ],
)  # fmt: skip
def test_masked(value: Any, shown: Any) -> None:
    """No password is shown, however odd the URL."""
    assert masked(value) == shown
