"""Servers that do not answer, or let nobody in: each is a finding in one line, and the rest is looked at."""

from __future__ import annotations

from typing import Any

import pytest
from tests.store.doctor.conftest import World

from sojourn import SessionStore, Settings
from sojourn.doctor import Finding, examine, mend
from sojourn.errors import InvalidInput, SettingsError
from sojourn.tenants import confine, new_password


def _checks(found: list[Finding]) -> dict[str, str]:
    return {each.check: each.severity for each in found}


def test_redis_is_away(free_port: int) -> None:
    """One error; what needs no Redis is looked at all the same, nothing else is told."""
    found = list(examine(Settings(redis_url=f"redis://:sekret@127.0.0.1:{free_port}", retries=0)))
    assert _checks(found) == {"redis": "error", "settings": "ok"}
    assert found[0].commands == ("redis-cli -u $SOJOURN_REDIS_URL PING", "sojourn config")
    assert "sekret" not in str(found)


def test_both_are_away(free_port: int) -> None:
    """And so of PostgreSQL."""
    settings = Settings(
        redis_url=f"redis://127.0.0.1:{free_port}", archive_url=f"postgresql://u:sekret@127.0.0.1:{free_port}/x",
        retries=0, archive_timeout=1,
    )  # fmt: skip
    found = list(examine(settings))
    assert _checks(found)["redis"] == _checks(found)["archive"] == "error"
    assert "sekret" not in str(found)
    assert "sojourn archive status" in next(each for each in found if each.check == "archive").commands


def test_a_wrong_password(any_world: World) -> None:
    """What Redis says, not what was typed."""
    any_world.client.execute_command("ACL", "SETUSER", "reader", "on", ">right-password", "~*", "+@all")
    url = any_world.settings.redis_url.replace("redis://", "redis://reader:wrong-password@")
    found = list(examine(any_world.settings.model_copy(update={"redis_url": url})))
    assert _checks(found)["redis"] == "error"
    assert "WRONGPASS" in found[0].found or "invalid username" in found[0].found
    assert "wrong-password" not in str(found)


def test_a_login_that_is_confined_to_a_tenant(any_redis_url: str) -> None:
    """What it may not look at is said, and is no failure; it can mend nothing."""
    password = new_password()
    settings = Settings(redis_url=any_redis_url)
    with SessionStore(settings=settings, tenant="acme") as store:
        store.create()
    confine(settings, "acme", password=password)
    url = any_redis_url.replace("redis://", f"redis://sojourn-acme:{password}@")
    confined = settings.model_copy(update={"redis_url": url, "tenant": "acme"})
    found = list(examine(confined, full=True))
    severities = _checks(found)
    assert severities["redis"] == severities["layout"] == "ok"
    assert severities["login"] == severities["indexes"] == severities["outbox"] == severities["memory"] == "info"
    assert "error" not in severities.values()
    assert all(
        "could not be looked at" in each.found for each in found if each.check in ("indexes", "overdue", "clock")
    )
    assert password not in str(found)
    assert list(mend(confined, found)) == []


def test_redis_goes_away_meanwhile(any_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks that come then tell it, each for itself."""
    settings = any_world.settings.model_copy(update={"retries": 0})
    seen: list[Finding] = []
    for each in examine(settings):
        seen.append(each)
        if each.check == "layout":
            monkeypatch.setattr("sojourn.transport.blocking._Line.exchange", _broken)
    assert {each.severity for each in seen if each.check in ("indexes", "overdue", "agreement")} == {"error"}


def _broken(*_: Any) -> Any:
    raise ConnectionResetError("gone")


def test_names_of_checks() -> None:
    """One that is not there is told with those that are."""
    with pytest.raises(InvalidInput, match="there is no check 'x': there are redis, settings, version"):
        list(examine(Settings(), only=["x"]))


def test_malformed_urls() -> None:
    """They are a mistake of the settings, not of the deployment."""
    with pytest.raises(SettingsError):
        list(examine(Settings.model_construct(redis_url="http://x")))
