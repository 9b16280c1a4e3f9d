"""``config``: every setting, where it came from, and no password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.store.cli.conftest import Run

from sojourn import Settings
from sojourn.settings import masked


def by_name(told: Any) -> dict[str, Any]:
    """Return the settings by their names."""
    return {each["name"]: each for each in told["settings"]}


def test_where_each_setting_came_from(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments over environment over the file over defaults, also for nested ones."""
    Path("sojourn.yaml").write_text(
        "ttl: 600\ntenant: from_file\nretries: 1\nlimits: {tags: 5, depth: 6}\n"
        "hooks: {audit: {events: [expired], function: 'a:b'}}\n"
    )
    monkeypatch.setenv("SOJOURN_RETRIES", "0")
    monkeypatch.setenv("sojourn_limits__depth", "7")
    monkeypatch.setenv("SOJOURN_LIMITS__BATCH", "8")
    found = by_name(run("config", "--json", "--tenant", "acme").json)
    file = str(Path("sojourn.yaml").absolute())
    wanted = {
        "tenant": ("acme", "argument", None),
        "retries": (0, "environment", "SOJOURN_RETRIES"),
        "ttl": ("PT10M", "file", file),
        "limits.tags": (5, "file", file),
        "limits.depth": (7, "environment", "sojourn_limits__depth"),
        "limits.batch": (8, "environment", "SOJOURN_LIMITS__BATCH"),
        "hooks.audit.function": ("a:b", "file", file),
        "hooks.audit.batch": (100, "default", None),
        "grace": ("P7D", "default", None),
    }
    for name, told in wanted.items():
        each = found[name]
        assert (each["value"], each["source"], each["where"]) == told, name
    assert {name.partition(".")[0] for name in found} == set(Settings.model_fields)


def test_groups_of_settings_in_one_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that holds JSON is named for each setting in it."""
    monkeypatch.setenv("SOJOURN_LIMITS", '{"tags": 3}')
    found = by_name(run("config", "--json").json)
    assert (found["limits.tags"]["value"], found["limits.tags"]["where"]) == (3, "SOJOURN_LIMITS")
    assert found["limits.depth"]["source"] == "default"


def test_passwords_are_masked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the table nor JSON tells one."""
    monkeypatch.setenv("SOJOURN_QUEUE_URL", "redis://:geheim@q/1")
    options = ["--archive-url", "postgresql://ada:geheim@db/x"]
    for command in (["config"], ["config", "--json"]):
        out = run(*command, *options).out
        assert "geheim" not in out
        assert "postgresql://ada:***@db/x" in out
    assert "argument --archive-url" in run("config", *options).out


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://a:b@h/0", "redis://a:***@h/0"),
        ("redis://:b@c@h", "redis://:***@h"),
        ("redis://a:p#x@h", "redis://a:***@h"),
        ("redis://a:p/x@h/0", "redis://a:***@h/0"),
        ("redis://a:b@[bad", "redis://a:***@[bad"),
        ("postgresql://h/db?password=x&b=1", "postgresql://h/db?password=***&b=1"),
        ("host=h password=x dbname=d", "host=h password=*** dbname=d"),
        ("host=h password='x y' dbname=d", "host=h password=*** dbname=d"),
        (5, 5),
    ],
)
def test_what_is_masked(url: Any, told: Any) -> None:
    """Passwords, also in URLs that are malformed."""
    assert masked(url) == told
