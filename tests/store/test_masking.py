"""No password is shown, wherever it stands."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sojourn import SettingsError, load_settings
from sojourn.settings import Settings, masked

WORD = "hunter2"
ODD = [
    "rediss://h/0?ssl_password=hunter2", "postgresql://h/db?sslpassword=hunter2", "host=h sslpassword=hunter2",
    "redis://a@b:hunter2@h", "redis://us/er:hunter2@h", "redis:hunter2@h", "//:hunter2@h", "redis://hunter2@h",
    "redis://:hunter2", "redis://h:hunter2/0", "rediss://hunter2@h?ssl=1@x", "hunter2@h:1", "ada:hunter2@h",
    "postgresql://h/db?password%20=hunter2", "postgresql://h/db?p%61ssword=hunter2", "host=h password='hunter2",
    r"host=h password=a\ hunter2", "host=h password=a://hunter2 user=b", "host=h PASSWORD = 'it\\'s hunter2'",
    "unix://:hunter2@/run/r.sock", "unix:///run/r.sock?password=hunter2", "redis://h?a=b@c&password=hunter2@x#y",
    "postgres://ada:hunter2@[::1]:5/d", "postgresql://a/b:hunter2@h1:1,h2:2/d", "redis://:hun:hunter2/x@h",
]  # fmt: skip
PLAIN = [
    "redis://h:1/0", "redis://h/0?socket_timeout=5", "rediss://[::1]:6379/0", "unix:///run/redis.sock?db=1",
    "postgresql://ada@db/x", "postgresql://h1:1,h2:2/d?sslmode=require", "postgresql:///d", "host=h user=ada@server",
    "default", "module:Class",
]  # fmt: skip
NO_QUERY = st.text(string.ascii_letters + string.digits + ":/@#?%=+-_.~!*'\"\\ [],;", max_size=8)
"""What a password has beside its recognisable middle."""
FORMS = [
    "redis://ada:{}@h:1/0", "redis://:{}@h", "redis://{}@h", "rediss://a@b:{}@h/0", "redis://a/b:{}@h",
    "postgresql://ada:{}@h/d", "postgresql://ada:{}@h1:1,h2:2/d?sslmode=require", "redis:{}@h", "//:{}@h", "a:{}@h",
    "redis://h/0?password={}", "rediss://h/0?db=1&ssl_password={}&x=1", "postgresql://ada@h/d?sslpassword={}",
]  # fmt: skip


@pytest.mark.parametrize("url", ODD)
def test_odd_places(url: str) -> None:
    """However malformed the URL, rather too much is masked."""
    assert WORD not in masked(url)
    assert "***" in masked(url)


@pytest.mark.parametrize("value", PLAIN)
def test_no_password(value: str) -> None:
    """What has none is shown as it is."""
    assert masked(value) == value


@given(st.sampled_from(FORMS), NO_QUERY, NO_QUERY)
def test_planted(form: str, before: str, after: str) -> None:
    """Nothing around a password, nor within it, brings it to light."""
    assume(form != "redis://{}@h" or ":" not in after)  # what stands before a colon is the user's name
    assert WORD not in masked(form.format(before + WORD + after))


@given(st.sampled_from(["password", "sslpassword", "PassWord"]), NO_QUERY, NO_QUERY)
def test_planted_in_keywords(name: str, before: str, after: str) -> None:
    """Quoted as libpq wants it."""
    quoted = (before + WORD + after).replace("\\", "\\\\").replace("'", "\\'")
    assert WORD not in masked(f"host=h {name} = '{quoted}' dbname=d")
    assert WORD not in masked(f"host=h {name}={quoted.replace(' ', chr(92) + ' ')} dbname=d")


def test_settings_as_text() -> None:
    """Logs and tracebacks show settings by these."""
    settings = Settings(
        redis_url="redis://:hunter2@h/0", queue_url="redis://q?password=hunter2", archive_url="password=hunter2"
    )
    for text in (repr(settings), str(settings), f"{settings!r:>10}"):
        assert WORD not in text
        assert "redis://:***@h/0" in text
    assert settings.redis_url == "redis://:hunter2@h/0"


@pytest.mark.parametrize("name", ["SOJOURN_REDISURL", "sojourn_ttl_", "SOJOURN_LIMIT__TAGS", "Sojourn_Config__x"])
def test_misspelt_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As in the file: what nobody reads is an error, and its value is not told."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(name, WORD)
    with pytest.raises(SettingsError, match=name) as caught:
        load_settings()
    assert WORD not in str(caught.value)


def test_known_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings in any case, groups of them, and what other parts of the project read."""
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {
        "sojourn_tenant": "acme", "SOJOURN_LIMITS__TAGS": "3", "SOJOURN_hooks__x__function": "a:b",
        "SOJOURN_HOOKS__X__EVENTS": '["created"]', "SOJOURN_VENV": "x", "SOJOURN_RUN_HOOKS": "x",
        "SOJOURN_TEST_RUN": "x",
    }  # fmt: skip
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.tenant, settings.limits.tags, list(settings.hooks)) == ("acme", 3, ["x"])
