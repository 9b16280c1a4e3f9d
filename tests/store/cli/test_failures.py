"""Exit codes, and errors on one plain line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store.cli.conftest import Run

from sojourn import errors
from sojourn.cli.failures import exit_code

SPECIAL = {
    errors.SessionNotFound: 1, errors.VersionNotFound: 1, errors.SessionCorrupt: 5, errors.WrongKind: 2,
    errors.VersionConflict: 3, errors.SessionEnded: 3, errors.InvalidTransition: 3, errors.SessionExists: 3,
    errors.LogFull: 3, errors.CounterOutOfRange: 3, errors.SessionError: 3,
    errors.TokenInvalid: 1, errors.WrongOwner: 1, errors.SecretUnreadable: 3,
    errors.LimitError: 3, errors.LimitExceeded: 3, errors.NoRoom: 3, errors.RateLimited: 3, errors.TenantClosed: 3,
    errors.TenantMoved: 4, errors.StoreUnavailable: 4,
    errors.StoreFull: 4, errors.LayoutMismatch: 4, errors.StoreError: 4,
    errors.ArchiveUnavailable: 4, errors.ArchiveSchemaMismatch: 4, errors.ArchiveError: 4,
}  # fmt: skip


def all_errors(base: type[errors.SojournError]) -> Iterator[type[errors.SojournError]]:
    """Yield a class of errors and all below it."""
    yield base
    for each in base.__subclasses__():
        yield from all_errors(each)


def test_every_error_has_its_exit_code() -> None:
    """What is not listed otherwise is a matter of usage or settings."""
    for each in all_errors(errors.SojournError):
        if each.__module__ == "sojourn.errors":
            assert exit_code(each.__new__(each)) == SPECIAL.get(each, 2), each


def test_redis_away(run: Run, free_port: int) -> None:
    """Exit code 4, on one line; as JSON where JSON is wanted."""
    url = f"redis://:secret@127.0.0.1:{free_port}/0"
    for command in (["list"], ["create"], ["events"], ["end", "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b"]):
        failed = run(*command, "--redis-url", url, "--json", code=4)
        assert failed.out == ""
        told = json.loads(failed.err)["error"]
        assert "secret" not in failed.err
        assert told["code"] == "store_unavailable"
        assert told["message"].startswith("Redis at")
        failed = run(*command, "--redis-url", url, code=4)
        assert failed.err.startswith("sojourn: Redis at")
        assert failed.err.count("\n") == 1
        assert "secret" not in failed.err


def test_layout_of_another_client(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other partitions than those of the data: exit code 4."""
    run("create")
    monkeypatch.setenv("SOJOURN_PARTITIONS", "3")
    assert "partitions" in run("list", code=4).err


def test_a_damaged_record(run: Run, store: Any, client: Any) -> None:
    """Exit code 5, naming the field."""
    made = store.create().id
    client.hset(client.keys(f"*:session:{made}")[0], "version", "many")
    assert "'version'" in run("get", made, code=5).err


def test_conflicts(run: Run, store: Any) -> None:
    """A version that is no longer current: exit code 3."""
    made = store.create().id
    store.update(made, owner="ada")
    assert "version 2" in run("update", made, "--owner", "bob", "--version", "1", code=3).err


def test_not_found_and_not_an_id(run: Run) -> None:
    """A well-formed id that is not there is not found; anything else is a mistake."""
    assert "does not exist" in run("get", "0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b", code=1).err
    assert "neither a session id" in run("get", "\x1b[31m", code=2).err


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SOJOURN_TTL", "soon", "ttl"),
        ("SOJOURN_TENANT", "a{b", "tenant"),
        ("SOJOURN_MODELS", '["nowhere:Model"]', "nowhere"),
        ("SOJOURN_MODELS", "[", "models"),
        ("SOJOURN_CONFIG", "/nowhere.yaml", "SOJOURN_CONFIG"),
        ("SOJOURN_REDIS_URL", "http://x", "redis_url"),
        ("SOJOURN_REDIS_URL", "redis://[", "redis_url"),
    ],
)
def test_broken_settings(run: Run, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str) -> None:
    """A setting that is no good: exit code 2, one line that names it."""
    monkeypatch.setenv(variable, value)
    failed = run("list", code=2)
    assert told in failed.err
    assert failed.err.count("\n") == 1


def test_a_broken_settings_file(run: Run) -> None:
    """A file that is no YAML, or has a misspelt setting: exit code 2."""
    Path("sojourn.yaml").write_text("ttl: [")
    assert "sojourn.yaml" in run("list", code=2).err
    Path("sojourn.yaml").write_text("tll: 5")
    assert "tll" in run("config", code=2).err


@pytest.mark.parametrize(
    "args", [["archive", "--actor", "a"], ["nonsense"], ["get"], ["rotate", "a", "b"], ["list", "--nonsense"], ["end"]]
)
def test_usage_errors_are_one_line(run: Run, args: list[str]) -> None:
    """Mistakes on the command line: exit code 2, one line that says where help is."""
    failed = run(*args, code=2)
    assert failed.out == ""
    assert failed.err.startswith("sojourn: ")
    assert failed.err.endswith("--help)\n")
    assert failed.err.count("\n") == 1


def test_help_and_version(run: Run) -> None:
    """Each command has help with an example, and --version tells one."""
    assert run("--version").out.startswith("sojourn ")
    assert "Exit codes" in run("--help").out
    for name in ("create", "get", "list", "update", "append", "touch", "end", "delete", "events", "worker", "config"):
        told = run(name, "-h").out
        assert f"Examples:\n  sojourn {name}" in told
        assert "--tenant" in told
    for name in ("init", "run", "get", "list"):
        assert f"Examples:\n  sojourn archive {name}" in run("archive", name, "--help").out
