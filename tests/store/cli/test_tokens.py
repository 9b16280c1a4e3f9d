"""``sojourn token`` and ``sojourn rotate``: and no token is printed but by ``issue``."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from tests.store.cli.conftest import Run, Start

from sojourn import is_token

UNKNOWN_ID = "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"


def test_issue_and_verify(run: Run, store: Any) -> None:
    """What is issued opens the session; a refresh token, and one that is over, open nothing."""
    made = store.create(owner="ada")
    access, refresh = run("token", "issue", made.id).out.splitlines()
    assert is_token(access)
    assert is_token(refresh)
    assert run("token", "verify", "--json", stdin=f"{access}\n").json["id"] == made.id
    assert "ada" in run("token", "verify", "-", stdin=access).out
    assert "(kind)" in run("token", "verify", stdin=refresh, code=1).err
    assert "(malformed)" in run("token", "verify", stdin="x" * 5000, code=1).err
    assert "(malformed)" in run("token", "verify", stdin="", code=1).err
    store.complete(made.id)
    assert "(unknown)" in run("token", "verify", stdin=access, code=1).err
    run("token", "issue", made.id, code=3)
    run("token", "issue", UNKNOWN_ID, code=1)


def test_refresh(run: Run, store: Any) -> None:
    """A new pair for a refresh token, which is then used up; none for an access token, or for another client."""
    made = store.create()
    access, old = run("token", "issue", made.id, "--fingerprint", "ua").out.splitlines()
    assert "(kind)" in run("token", "refresh", "--fingerprint", "ua", stdin=access, code=1).err
    assert "(fingerprint)" in run("token", "refresh", stdin=old, code=1).err
    told = run("token", "refresh", "--fingerprint", "ua", "--json", stdin=old).json
    assert is_token(told["access"])
    assert is_token(told["refresh"])
    assert "(unknown)" in run("token", "verify", "--fingerprint", "ua", stdin=access, code=1).err
    newest, _ = run("token", "refresh", "-", "--fingerprint", "ua", stdin=told["refresh"]).out.splitlines()
    assert run("token", "verify", "--fingerprint", "ua", "--json", stdin=newest).json["id"] == made.id
    assert "(reused)" in run("token", "refresh", "--fingerprint", "ua", stdin=old, code=1).err
    assert "(unknown)" in run("token", "verify", "--fingerprint", "ua", stdin=newest, code=1).err
    assert "(malformed)" in run("token", "refresh", stdin="nonsense", code=1).err
    run("token", "refresh", old, code=2)


def test_issue_with_options(run: Run, store: Any) -> None:
    """Lifetimes, none at all, and a fingerprint."""
    made = store.create(ttl=None)
    told = run("token", "issue", made.id, "--access-ttl", "1m", "--no-refresh", "--fingerprint", "ua", "--json").json
    assert told["refresh"] is None is told["refresh_expires_at"]
    assert "(fingerprint)" in run("token", "verify", stdin=told["access"], code=1).err
    run("token", "verify", "--fingerprint", "ua", stdin=told["access"])
    (family,) = run("token", "list", made.id, "--json").json["families"]
    assert (family["refresh_expires_at"], family["bound"], family["used"]) == (None, True, 0)
    assert run("token", "list", made.id).out.splitlines()[-1].endswith("yes")
    run("token", "issue", made.id, "--access-ttl", "never", code=2)
    run("token", "issue", made.id, "--refresh-ttl", "1h", "--no-refresh", code=2)
    assert len(run("token", "issue", made.id, "--refresh-ttl", "never").out.splitlines()) == 1


def test_revoke(run: Run, store: Any) -> None:
    """One with its family, a session's, an owner's; again is nothing."""
    made = store.create(owner="ada")
    pairs = [store.tokens.issue(made.id) for _ in range(4)]
    assert run("token", "revoke", stdin=pairs[0].access).out == "2 tokens revoked\n"
    assert run("token", "revoke", "-", "--json", stdin=pairs[0].access).json == {"revoked": 0}
    assert run("token", "revoke", "--session", made.id, "--json").json == {"revoked": 6}
    last = store.tokens.issue(made.id, refresh_ttl=None)
    for which, stdin in ((["--owner", "ada"], ""), (["--session", made.id[:8]], ""), (["-"], last.access)):
        would = run("token", "revoke", *which, "--dry-run", "--json", stdin=stdin).json
        assert would == {"revoked": 1, "families": 1, "sessions": 1, "dry_run": True}
    assert store.tokens.verify(last.access)
    asked = run("token", "revoke", "--owner", "ada", code=2).err
    assert "of ada? Nobody can be asked here: add --yes" in asked
    assert run("token", "revoke", "--owner", "ada", "--yes").out == "1 token revoked\n"
    assert "0 tokens would be" in run("token", "revoke", "--dry-run", stdin=last.access).out
    run("token", "revoke", "--owner", "ada", "--session", made.id, code=2)
    run("token", "revoke", stdin="nonsense", code=1)


def test_list(run: Run, store: Any) -> None:
    """A line for each family, and no token."""
    made = store.create()
    pair = store.tokens.issue(made.id)
    renewed = store.tokens.refresh(pair.refresh)
    store.tokens.issue(made.id)
    told = run("token", "list", made.id).out
    assert len(told.splitlines()) == 3
    assert "sjt_" not in told
    assert sorted(each["used"] for each in run("token", "list", made.id, "--json").json["families"]) == [0, 1]
    assert "sjt_" not in run("token", "verify", stdin=renewed.access).out
    run("token", "list", UNKNOWN_ID, code=1)


@pytest.mark.parametrize(
    "command",
    [
        ["get", "TOKEN"], ["touch", "TOKEN"], ["end", "TOKEN"], ["delete", "TOKEN"], ["rotate", "TOKEN"],
        ["history", "TOKEN"], ["update", "TOKEN", "--owner", "x"], ["token", "list", "TOKEN"],
        ["token", "issue", "TOKEN"], ["token", "revoke", "--session", "TOKEN"], ["end", "-"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_token_for_an_id(run: Run, store: Any, command: list[str]) -> None:
    """It is recognised, and not repeated."""
    access = store.tokens.issue(store.create().id).access
    failed = run(*(access if each == "TOKEN" else each for each in command), stdin=access, code=2)
    assert "token" in failed.err
    assert access[7:20] not in failed.out + failed.err


@pytest.mark.parametrize(
    "command",
    [
        ["token", "verify", "TOKEN"], ["token", "revoke", "TOKEN"], ["TOKEN"], ["list", "TOKEN"], ["token", "TOKEN"],
        ["list", "--TOKEN"], ["create", "--ttl", "TOKEN"], ["list", "--kind", "TOKEN"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_token_on_the_command_line(run: Run, store: Any, command: list[str]) -> None:
    """Wherever it does not belong, the complaint does not repeat it."""
    access = store.tokens.issue(store.create().id).access
    failed = run(*(each.replace("TOKEN", access) for each in command), code=2)
    assert access[7:20] not in failed.out + failed.err


def test_rotate(run: Run, store: Any) -> None:
    """It prints the new id; the old one is unknown from then on."""
    made = store.create(owner="ada")
    new = run("rotate", made.id, "--version", "1").out.strip()
    assert store.get(new).owner == "ada"
    run("get", made.id, code=1)
    run("rotate", made.id, code=1)
    run("rotate", new, "--version", "1", code=3)
    assert run("rotate", new, "--json").json["version"] == 3
    store.complete(store.list(owner="ada").sessions[0].id)
    run("rotate", store.list(owner="ada").sessions[0].id, code=3)


def test_pipes(start: Start, store: Any) -> None:
    """What one process issues another verifies, without a token on any command line."""
    made = store.create()
    issued = start("token", "issue", made.id, "--no-refresh")
    verified = start("token", "verify", "--json", stdin=issued.stdout)
    assert made.id in verified.communicate(timeout=60)[0]
    assert (issued.wait(60), verified.returncode) == (0, 0)
    assert isinstance(issued, subprocess.Popen)
    issued.communicate()
