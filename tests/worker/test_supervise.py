"""The supervisor: all roles up, restarted when they die, and none left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest
import redis
from tests.waiting import eventually
from tests.worker.processes import Process, Processes, settings_for, tree

from sojourn import SessionStore
from sojourn.errors import SettingsError
from sojourn.settings import Settings
from sojourn_worker.supervise import expand, run_role

SUPERVISOR = """
import sys
from sojourn_worker import config
from sojourn_worker.supervise import supervise
settings = config.from_line(sys.stdin.buffer.readline())
sys.exit(supervise(settings, sys.argv[1:]))
"""
# The signal goes to a thread that does not handle it, and so does not wake the one that does.
UNHEARD = """
import signal, sys, threading
from sojourn_worker import config
from sojourn_worker.supervise import run_role

settings = config.from_line(sys.stdin.buffer.readline())

def signal_self():
    sys.stdin.buffer.read()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

threading.Thread(target=signal_self, daemon=True).start()
sys.exit(run_role(sys.argv[1], settings))
"""
ROLES = ["listen", "dispatch", "jobs:hooks", "schedule"]


def _start(processes: Processes, settings: Settings, *roles: str) -> Process:
    supervisor = processes.python(SUPERVISOR, *roles, settings=settings)
    for ready in ("listening", "dispatching", "working on queue", "scheduling"):
        if not roles:
            supervisor.logged(ready)
    return supervisor


def _alive(found: list[psutil.Process]) -> list[psutil.Process]:
    return [each for each in found if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def _role(supervisor: Process, role: str) -> psutil.Process:
    return next(each for each in psutil.Process(supervisor.pid).children() if each.cmdline()[-1] == role)


def _hooks(url: str) -> Settings:
    return settings_for(
        url,
        hooks={"watch": {"events": ["created", "expired"], "function": "tests.worker.hook_functions:record"}},
        drain_timeout=5,
        queue_prefix="with-s3cret-prefix",
    )


def _waiting(url: str, drain_s: float) -> Settings:
    waits = {"events": ["created"], "function": "tests.worker.hook_functions:wait_once"}
    return settings_for(url, hooks={"waits": waits}, drain_timeout=drain_s)


def test_all_roles_work_and_stop_on_a_signal(redis_url: str, processes: Processes) -> None:
    """`supervise` without roles does the whole job; SIGTERM ends all of it in time, with exit code 0."""
    settings = _hooks(redis_url)
    supervisor = _start(processes, settings)
    with redis.Redis.from_url(redis_url) as client, SessionStore(settings=settings) as store:
        store.create_many([{}] * 10, ttl=0.2)
        eventually(lambda: client.llen("effects") == 20, deadline_s=60)
    family = tree(supervisor.pid)
    roles = [each.cmdline() for each in psutil.Process(supervisor.pid).children()]
    assert sorted(each[-1] for each in roles) == sorted(ROLES)
    assert not any("s3cret" in word for each in roles for word in each)
    started = time.monotonic()
    assert supervisor.stop() == 0
    assert time.monotonic() - started < 5
    assert not _alive(family)


def test_a_role_that_dies_is_started_again(any_redis_url: str, processes: Processes) -> None:
    """A killed listener is back after a pause; so is one that is killed again."""
    supervisor = _start(processes, _hooks(any_redis_url))
    listener = _role(supervisor, "listen")
    listener.kill()
    supervisor.tells("role ended", child="listen", ended_by="signal 9", restart_in_s=1)
    eventually(lambda: len(supervisor.told("listening")) == 2, deadline_s=60)
    _role(supervisor, "listen").kill()
    supervisor.tells("role ended", child="listen", ended_by="signal 9", restart_in_s=2)
    assert supervisor.stop() == 0


def test_nothing_outlives_a_killed_supervisor(any_redis_url: str, processes: Processes) -> None:
    """SIGKILL to the parent: its children find out and stop, a job in hand included."""
    settings = _waiting(any_redis_url, drain_s=1)
    supervisor = _start(processes, settings)
    with redis.Redis.from_url(any_redis_url) as client, SessionStore(settings=settings) as store:
        client.set("calls", 2)
        store.create()
        eventually(lambda: client.get("waiting"), deadline_s=60)
    family = tree(supervisor.pid)
    assert len(family) >= 6
    supervisor.popen.kill()
    eventually(lambda: not _alive(family), deadline_s=8)


@pytest.mark.parametrize("roles", [[], ["--role", "listen"]])
def test_the_command_ends_with_its_lifeline(any_redis_url: str, tmp_path: Path, roles: list[str]) -> None:
    """`sojourn worker --lifeline` stops, with all that it started, when its standard input ends."""
    config = tmp_path / "sojourn.yaml"
    config.write_text(json.dumps({"redis_url": any_redis_url, "partitions": 4}))
    given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    log = tmp_path / "log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "sojourn.cli", "worker", "--lifeline", *roles]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=output, env=given | {"SOJOURN_CONFIG": str(config)}
        )
    try:
        eventually(lambda: "listening" in log.read_text(), deadline_s=60)
        family = tree(process.pid)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(12) == 0, log.read_text()
        assert not _alive(family)
    finally:
        process.kill()
        process.wait()


def test_a_signal_that_wakes_nobody_stops_each_role(any_redis_url: str, processes: Processes) -> None:
    """As one does that comes just before the main thread begins to wait for something."""
    started = [processes.python(UNHEARD, role, settings=_hooks(any_redis_url)) for role in ROLES]
    for process, ready in zip(started, ("listening", "dispatching", "working on queue", "scheduling"), strict=True):
        process.logged(ready)
    for process in started:  # all of them wait by now
        assert process.popen.stdin is not None
        process.popen.stdin.close()
    assert [process.popen.wait(10) for process in started] == [0] * len(ROLES)


def test_a_missing_package_is_told_in_a_line(any_redis_url: str) -> None:
    """Where only the client is installed, the command ends at once and says what to install."""
    code = "import sys; sys.modules['rq'] = None; from sojourn.cli.root import cli; cli()"
    given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    ended = subprocess.run(
        [sys.executable, "-c", code, "worker"],
        env=given | {"SOJOURN_REDIS_URL": any_redis_url},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode != 0
    (line,) = ended.stderr.splitlines()
    assert "pip install 'sojourn[worker]'" in line


def test_what_does_not_drain_is_hurried_and_then_killed(any_redis_url: str, processes: Processes) -> None:
    """A job longer than drain_timeout goes back to its queue; a role that hangs is killed, and the exit code is 1."""
    settings = _waiting(any_redis_url, drain_s=0.5)
    supervisor = _start(processes, settings)
    with redis.Redis.from_url(any_redis_url) as client, SessionStore(settings=settings) as store:
        client.set("calls", 2)
        store.create()
        eventually(lambda: client.get("waiting"), deadline_s=60)
        family = tree(supervisor.pid)
        os.kill(_role(supervisor, "schedule").pid, signal.SIGSTOP)
        started = time.monotonic()
        assert supervisor.stop() == 1
        assert time.monotonic() - started < 4
        eventually(lambda: not _alive(family), deadline_s=2)
        waiting: Any = client.lrange("rq:queue:sojourn-hooks", 0, -1)
        assert len([each for each in waiting if each.startswith(b"waits-")]) == 1, "a periodic job may wait beside it"


def test_a_second_signal_hurries(any_redis_url: str, processes: Processes) -> None:
    """Ctrl-C twice does not wait for the job in hand."""
    settings = _waiting(any_redis_url, drain_s=60)
    supervisor = _start(processes, settings)
    with redis.Redis.from_url(any_redis_url) as client, SessionStore(settings=settings) as store:
        client.set("calls", 2)
        store.create()
        eventually(lambda: client.get("waiting"), deadline_s=60)
        family = tree(supervisor.pid)
        supervisor.popen.send_signal(signal.SIGINT)
        supervisor.tells("stopping", within_s=60)
        supervisor.stop(signal.SIGINT, timeout_s=4)
        eventually(lambda: not _alive(family), deadline_s=2)


def test_roles_are_expanded(any_redis_url: str) -> None:
    """No roles means all that the settings allow; `jobs` means each queue; nonsense is refused."""
    settings = settings_for(any_redis_url)
    archived = settings.model_copy(update={"archive_url": "postgresql://127.0.0.1/x"})
    assert expand([], settings) == tuple(ROLES)
    assert expand(["jobs"], archived) == ("jobs:hooks", "jobs:archive")
    assert expand(["schedule", "jobs:hooks", "jobs"], settings) == ("schedule", "jobs:hooks")
    with pytest.raises(SettingsError, match="needs an archive"):
        expand(["jobs:archive"], settings)
    with pytest.raises(SettingsError, match="there is no role 'listne'"):
        expand(["listne"], settings)
    with pytest.raises(SettingsError, match="each in its own process"):
        run_role("jobs", archived)


def test_the_module_runs_a_role_by_itself(any_redis_url: str, processes: Processes, tmp_path: Path) -> None:
    """`python -m sojourn_worker listen` takes its settings from the environment, and stops on SIGTERM."""
    config = tmp_path / "sojourn.yaml"
    config.write_text(json.dumps({"redis_url": any_redis_url, "partitions": 4}))
    code = (
        "import os, sys\n"
        f"os.environ['SOJOURN_CONFIG'] = {str(config)!r}\n"
        "from sojourn_worker.__main__ import main\n"
        "sys.exit(main(['listen']))\n"
    )
    alone = processes.python(code)
    alone.logged("listening")
    assert alone.stop() == 0
    assert alone.lines[-1]["event"] == "stopped"


def test_another_layout_ends_a_role_with_an_explanation(any_redis_url: str, processes: Processes) -> None:
    """A Redis that was laid out with other settings is left alone."""
    with SessionStore(settings=settings_for(any_redis_url, partitions=8)) as store:
        store.create()
    for role in ("listen", "dispatch"):
        process = processes.role(role, settings_for(any_redis_url))
        assert process.popen.wait(10) == 2
        assert "was laid out with partitions=8" in process.log
