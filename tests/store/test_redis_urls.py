"""The settings that are URLs of a Redis: what is no such URL is refused, and nothing of it is told."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from sojourn import SessionStore, Settings
from sojourn.errors import SettingsError
from sojourn.settings import load_settings

MALFORMED = [
    "redis://:sek/ret@h:1/0", "redis://:sek@h:ret", "redis://[sekret", "http://sekret@h", "sekret", "", "redis://h?sekret=1",
    "redis://h?socket_timeout=sekret", "redis://h:sekret/0", "redis://:sek#ret@h", "rediss://h?ssl_cert_reqs=sekret",
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "url"),
    [(name, url) for name in ("redis_url", "queue_url") for url in MALFORMED if url or name == "redis_url"],
)
def test_malformed(name: str, url: str) -> None:
    """The error, and its traceback, name the setting and nothing of its value."""
    for make in (Settings, load_settings):
        given: dict[str, Any] = {name: url}
        with pytest.raises(SettingsError, match=f"{name} is not a URL for Redis") as caught:
            make(**given)
        assert "\n" not in str(caught.value)
        told = "".join(traceback.format_exception(caught.value, limit=0))
        assert not any(each in told for each in ("sek", "ret@", "ret'"))


@pytest.mark.parametrize(
    "url",
    ["redis://h:1/0", "redis://", "rediss://:p%2Fw@h", "redis://a:b@[::1]:5/3?socket_timeout=2", "unix:///r.sock?db=1"],
)
def test_well_formed(url: str) -> None:
    """What redis-py takes is taken; no queue_url means the sessions' Redis."""
    assert Settings(redis_url=url, queue_url=url).queue_url == url
    assert Settings(redis_url=url).queue_url is None
    assert SessionStore(url).settings.redis_url == url
