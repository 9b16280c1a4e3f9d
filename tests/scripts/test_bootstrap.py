"""The setup of the virtual environment and the choices of `scripts/test`, without real installations."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tests.waiting import eventually

import _bootstrap
import _check
import _test

Calls = list[list[str]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Record the commands that setting up would run; making an environment makes a python in it."""
    made: Calls = []

    def call(_what: str, command: list[str]) -> None:
        made.append(command)
        if command[1:3] == ["-m", "venv"]:
            python = Path(command[3]) / "bin" / "python"
            python.parent.mkdir(parents=True, exist_ok=True)
            python.touch()

    monkeypatch.setattr(_bootstrap, "call", call)
    return made


@pytest.fixture
def environment(tmp_path: Path) -> _bootstrap.Environment:
    """Give an environment that is not there yet, for a project with a pyproject.toml."""
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return _bootstrap.Environment(tmp_path, tmp_path / ".venv")


def test_made_once_and_then_left_alone(environment: _bootstrap.Environment, calls: Calls) -> None:
    """The first run makes it and installs, the second runs no command."""
    environment.ensure(["dev"])
    assert [command[2] for command in calls] == ["venv", "pip", "pip"]
    assert calls[-1][-2:] == ["--group", f"{environment.root / 'pyproject.toml'}:dev"]
    assert "-e" in calls[-1]
    calls.clear()
    environment.ensure(["dev"])
    environment.ensure()
    assert calls == []


def test_users_need_no_development_tools(environment: _bootstrap.Environment, calls: Calls) -> None:
    """Without groups pip is not updated; a group asked for later is added, and stays."""
    environment.ensure()
    assert [command[2] for command in calls] == ["venv", "pip"]
    calls.clear()
    environment.ensure(["dev"])
    assert [command[2] for command in calls] == ["pip", "pip"]
    (environment.root / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    calls.clear()
    environment.ensure()
    assert calls[-1][-1].endswith(":dev")


def test_changed_project_is_installed_again(environment: _bootstrap.Environment, calls: Calls) -> None:
    """Another pyproject.toml means another installation into the same environment."""
    environment.ensure()
    calls.clear()
    (environment.root / "pyproject.toml").write_text("[project]\nname = 'changed'\n")
    assert not environment.fits([])
    environment.ensure()
    assert [command[2] for command in calls] == ["pip"]


def test_half_made_environment_is_made_anew(
    environment: _bootstrap.Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure in mid-installation nothing of the first attempt is kept."""
    commands: Calls = []

    def fail(what: str, command: list[str]) -> None:
        commands.append(command)
        if command[2] == "pip":
            raise _bootstrap.BootstrapError(f"could not {what}")
        (environment.path / "rest").mkdir()
        (environment.path / "link").symlink_to(environment.root)

    monkeypatch.setattr(_bootstrap, "call", fail)
    for _ in range(2):
        with pytest.raises(_bootstrap.BootstrapError, match="could not install"):
            environment.ensure()
    assert [command[2] for command in commands] == ["venv", "pip", "venv", "pip"]
    assert (environment.root / "pyproject.toml").exists()


@pytest.mark.parametrize("what", ["base", "python", "text", "list"])
def test_other_interpreter_or_damaged_stamp_means_a_new_one(
    environment: _bootstrap.Environment, calls: Calls, what: str
) -> None:
    """A stamp of another Python or place, an unreadable stamp, no interpreter: it is made anew."""
    environment.ensure()
    calls.clear()
    stamp = environment.path / "sojourn-stamp.json"
    if what == "python":
        environment.python.unlink()
    elif what == "base":
        stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "base": "3.10 elsewhere"}))
    else:
        stamp.write_text({"text": "{", "list": "[]"}[what])
    environment.ensure()
    assert [command[2] for command in calls] == ["venv", "pip"]


def test_environment_of_another_checkout_is_left_alone(calls: Calls, tmp_path: Path) -> None:
    """What another checkout that is still there uses is not cleared; what one left behind is."""
    shared = tmp_path / "shared"
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text("[project]\n")
    one, other = (_bootstrap.Environment(tmp_path / name, shared) for name in ("one", "other"))
    one.ensure()
    calls.clear()
    with pytest.raises(_bootstrap.BootstrapError, match="belongs to the checkout"):
        other.ensure()
    assert calls == []
    assert one.fits([])
    one.root.rename(tmp_path / "moved away")
    other.ensure()
    assert [command[2] for command in calls] == ["venv", "pip"]


def test_folder_of_somebody_else_is_left_alone(environment: _bootstrap.Environment, calls: Calls) -> None:
    """A folder with files that these scripts did not make is refused and not touched."""
    environment.path.mkdir()
    (environment.path / "thesis.txt").write_text("mine")
    with pytest.raises(_bootstrap.BootstrapError, match="SOJOURN_VENV"):
        environment.ensure()
    assert [path.name for path in environment.path.iterdir()] == ["thesis.txt"]
    assert calls == []


def test_two_at_once_install_once(
    environment: _bootstrap.Environment, calls: Calls, capfd: pytest.CaptureFixture[str]
) -> None:
    """The second of two waits for the first, and then has nothing to do."""
    environment.path.mkdir()
    marker = environment.path / "made-by-sojourn-scripts"
    with marker.open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = threading.Thread(target=environment.ensure)
        second.start()
        eventually(lambda: "waiting for another run" in capfd.readouterr().err)
        assert calls == []
        environment._create()
        environment._install([])
    calls.clear()
    second.join(10)
    assert not second.is_alive()
    assert calls == []


def test_path_comes_from_the_variable(tmp_path: Path) -> None:
    """SOJOURN_VENV names the folder; without it, or with an empty one, it is .venv in the root."""
    assert _bootstrap.venv_path({"SOJOURN_VENV": str(tmp_path)}) == tmp_path.resolve()
    assert _bootstrap.venv_path({"SOJOURN_VENV": ""}) == _bootstrap.ROOT / ".venv"


def test_old_python_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An old Python gets one clear line and status 2."""
    monkeypatch.setattr(_bootstrap, "_OLDEST", (99, 0))
    with pytest.raises(SystemExit) as caught:
        _bootstrap.run("_check.py")
    assert caught.value.code == 2
    assert "needs Python 3.11 or later" in capsys.readouterr().err


def test_run_becomes_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calls: Calls) -> None:
    """The process is replaced by the program inside the environment, with the user's arguments."""
    became: list[tuple[str, list[str]]] = []
    monkeypatch.setenv("SOJOURN_VENV", str(tmp_path / "venv"))
    monkeypatch.setattr(sys, "argv", ["scripts/check", "one", "two"])
    monkeypatch.setattr(os, "execv", lambda program, arguments: became.append((program, arguments)))
    _bootstrap.run("_check.py")
    python = str(tmp_path / "venv" / "bin" / "python")
    assert became == [(python, [python, str(_bootstrap.ROOT / "scripts" / "_check.py"), "one", "two"])]
    assert len(calls) == 2


def test_failing_command_is_shown() -> None:
    """The error names the step, the status and the command."""
    with pytest.raises(_bootstrap.BootstrapError, match=r"could not do it \(status 3\)"):
        _bootstrap.call("do it", [sys.executable, "-c", "raise SystemExit(3)"])


def test_commands_without_suffix_are_checked_too() -> None:
    """The commands themselves are Python without a suffix, executable, and found by the check."""
    found = _check.commands_without_suffix()
    assert {"scripts/check", "scripts/test"} <= set(found)
    assert all(os.access(_check.ROOT / path, os.X_OK) for path in found)


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        ([], False),
        (["-x", "-v", "--durations=5"], False),
        (["-n", "4"], False),
        (["-k", "lua"], True),
        (["-klua"], True),
        (["-m", "slow"], True),
        (["--lf"], True),
        (["--ignore=tests/worker"], True),
        (["tests/scripts"], True),
        (["tests/test_proxy.py::test_forwards_both_ways"], True),
    ],
)
def test_subset_runs_without_coverage(arguments: list[str], selected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The floor of coverage holds for full runs only."""
    monkeypatch.chdir(_test.ROOT)
    assert _test.selects(arguments) is selected
    assert ("--cov" in _test.pytest_arguments(arguments, 2)) is not selected


def test_tests_run_in_parallel_where_there_are_cores() -> None:
    """Several workers from two cores on, none with one core or in the debugger."""
    assert _test.pytest_arguments(["-x"], 2)[:2] == ["-n", "3"]
    assert "-n" not in _test.pytest_arguments([], 1)
    assert "-n" not in _test.pytest_arguments(["--pdb"], 2)


def test_left_behind_processes_are_found_and_killed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A process of the run that does not end is killed and counted; those of other runs are not touched."""
    monkeypatch.setattr(_test, "_GRACE_S", 0.1)
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    ours = subprocess.Popen(sleeper, env={**os.environ, "SOJOURN_TEST_RUN": str(tmp_path)})
    other = subprocess.Popen(sleeper, env={**os.environ, "SOJOURN_TEST_RUN": f"{tmp_path}-other"})
    try:
        eventually(lambda: len(_test.leftovers(str(tmp_path))) == 1)
        assert _test.end_leftovers(str(tmp_path)) == 1
        assert ours.wait(10) == -9
        assert other.poll() is None
        assert f"killed: {ours.pid}" in capsys.readouterr().out
        assert _test.end_leftovers(str(tmp_path)) == 0
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()
