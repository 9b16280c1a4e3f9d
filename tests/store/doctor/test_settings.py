"""Settings that are no good together: each is found, and a sound set is not complained of."""

from __future__ import annotations

from typing import Any

import pytest

from sojourn import Settings
from sojourn.doctor import Finding, examine

ARCHIVE = "postgresql://127.0.0.1:1/none"
HOOK = {"mail": {"events": ["created"], "function": "m:f", "timeout": 30.0}}


def _found(settings: Settings) -> list[Finding]:
    return [each for each in examine(settings, only=["settings"]) if each.check == "settings"]


@pytest.fixture
def away(free_port: int) -> dict[str, Any]:
    """Give the settings of a Redis that is not there: these checks need none."""
    return {"redis_url": f"redis://127.0.0.1:{free_port}", "retries": 0}


@pytest.mark.parametrize(
    ("given", "severity", "word"),
    [
        ({"archive_url": ARCHIVE, "grace": 10, "archive_interval": 5.0, "dirty_alarm": 1.0}, "error", "grace"),
        ({"archive_url": ARCHIVE, "grace": 200, "dirty_alarm": 300.0}, "warning", "dirty_alarm"),
        ({"archive_url": ARCHIVE, "retention": 0}, "warning", "retention is 0"),
        ({"hooks": HOOK, "retention": 0, "drain_timeout": 60.0}, "warning", "retention is 0"),
        ({"audit_retention": 86400}, "warning", "no archive"),
        ({"archive_retention": [{"keep": 86400}]}, "warning", "no archive"),
        ({"hooks": HOOK}, "info", "drain_timeout"),
        ({"takeover_after": 0.5, "dispatch_block": 0.5}, "warning", "takeover_after"),
        ({"sweep_interval": 30.0}, "warning", "sweep_interval"),
        ({"events_cap": 5000, "events_alarm": 1000}, "warning", "events_alarm"),
        ({"ttl": None}, "info", "for ever"),
        ({"models": ["nowhere:Model"]}, "error", "nowhere"),
        ({"models": ["tests.store.secrets.examples:VaultSession"]}, "warning", "secret_keys"),
    ],
)
def test_found(away: dict[str, Any], given: dict[str, Any], severity: str, word: str) -> None:
    """One finding, with what to set."""
    (found,) = _found(Settings(**away, **given))
    assert (found.severity, word in found.found) == (severity, True), found
    assert found.mend
    assert found.commands[0].startswith("sojourn ")


def test_sound(away: dict[str, Any]) -> None:
    """The defaults, and hooks with time to end."""
    assert [each.severity for each in _found(Settings(**away))] == ["ok"]
    hooked = Settings(**away, hooks=HOOK, drain_timeout=60.0, archive_url=ARCHIVE)
    assert [each.severity for each in _found(hooked)] == ["ok"]
