"""``worker``: the roles reach the supervisor, with the settings of the command line."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from tests.store.cli.conftest import Run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Give the calls that a supervisor which starts nothing got."""
    calls: list[tuple[Any, ...]] = []
    stand_in: Any = ModuleType("sojourn_worker.supervise")

    def supervise(settings: Any, roles: Any) -> int:
        calls.append(("supervise", settings.tenant, *roles))
        return 0

    def run_role(role: str, settings: Any) -> int:
        calls.append(("run_role", settings.tenant, role))
        return 1

    stand_in.supervise, stand_in.run_role = supervise, run_role
    monkeypatch.setitem(sys.modules, "sojourn_worker.supervise", stand_in)
    return calls


def test_roles(run: Run, started: list[tuple[Any, ...]]) -> None:
    """One role runs by itself, others under the supervisor; their exit code is the command's."""
    run("worker", "--tenant", "acme")
    run("worker", "--role", "hooks", "--role", "archive")
    run("worker", "--role", "listen", code=1)
    assert started == [
        ("supervise", "acme"),
        ("supervise", "default", "jobs:hooks", "jobs:archive"),
        ("run_role", "default", "listen"),
    ]
    assert "nonsense" in run("worker", "--role", "nonsense", code=2).err


def test_every_role_is_one_of_the_librarys() -> None:
    """The command line knows the roles that there are."""
    from sojourn.cli.worker import _ROLES
    from sojourn_worker.supervise import ROLES

    assert sorted(_ROLES.values()) == sorted(ROLES)


def test_without_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is named, and how to get it."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("sojourn_worker", "rq"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rq", None)
    assert "pip install 'sojourn[worker]'" in run("worker", code=2).err
