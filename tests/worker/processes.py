"""Worker processes as the tests see them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil  # type: ignore[import-untyped]
import redis
from tests.waiting import eventually

from sojourn.settings import Settings
from sojourn_worker import config

__all__ = ["Process", "Processes", "effects", "expired_events", "settings_for", "tree"]

ROOT = Path(__file__).parents[2]


def settings_for(url: str, **more: Any) -> Settings:
    """Settings that ignore the environment's, with few partitions and short times."""
    given: dict[str, Any] = {"partitions": 4, "takeover_after": 0.5, "log_level": "debug", "grace": 600, **more}
    return Settings(redis_url=url, **given)


def effects(client: redis.Redis) -> dict[str, int]:
    """How often the recording hook ran for each event id."""
    found: dict[str, int] = {}
    for raw in client.lrange("effects", 0, -1):
        event_id = json.loads(raw)["event"]
        found[event_id] = found.get(event_id, 0) + 1
    return found


def expired_events(client: redis.Redis, settings: Settings) -> list[str]:
    """The ids of the sessions that were told expired, one for each time."""
    found: list[str] = []
    for partition in settings.all_partitions:
        entries: Any = client.xrange(partition.events)
        found += [fields["id"] for _, fields in entries if fields["type"] == "expired"]
    return found


def tree(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


class Process:
    """One process with a log."""

    def __init__(self, arguments: list[str], stdin: bytes | None, log: Path) -> None:
        self.log_file = log
        with log.open("wb") as stream:
            self.popen = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stderr=stream,
                stdout=stream,
                cwd=ROOT,
                env={name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")},
            )
        assert self.popen.stdin is not None
        if stdin is not None:
            self.popen.stdin.write(stdin)
            self.popen.stdin.flush()

    @property
    def pid(self) -> int:
        """Its id."""
        return self.popen.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The lines that it has logged so far, as JSON, but for one that is not whole yet."""
        return [json.loads(each) for each in self.log.rpartition("\n")[0].splitlines() if each.startswith("{")]

    def told(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """Its lines of an event that have these fields."""
        return [each for each in self.lines if each["event"] == event and fields.items() <= each.items()]

    def tells(self, event: str, *, deadline_s: float = 30.0, **fields: Any) -> dict[str, Any]:
        """Wait until it has logged an event with these fields; the last such line."""
        what = f"{event!r} with {fields} in the log:\n{self.log}"
        return eventually(lambda: self.told(event, **fields), deadline_s=deadline_s, what=what)[-1]

    def logged(self, text: str, deadline_s: float = 30.0) -> None:
        """Wait until it has logged a text."""
        eventually(lambda: text in self.log, deadline_s=deadline_s, what=f"{text!r} in the log:\n{self.log}")

    def kill_all(self) -> None:
        """SIGKILL to it and all that it started."""
        for each in tree(self.pid):
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended by itself in this moment
                each.kill()
        self.popen.wait(10)

    def stop(self, number: int = signal.SIGTERM, timeout_s: float = 12.0) -> int:
        """Signal it, and wait for its end; its exit code."""
        self.popen.send_signal(number)
        return self.popen.wait(timeout_s)


class Processes:
    """Starts processes, and ends those that are left."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="worker-logs-")
        self._all: list[Process] = []

    def role(self, role: str, settings: Settings) -> Process:
        """Start one role as a supervisor would."""
        return self._start(["-m", "sojourn_worker", "--supervised", role], config.to_line(settings))

    def python(self, code: str, *arguments: str, settings: Settings | None = None) -> Process:
        """Start a Python program; it finds the settings on its standard input."""
        return self._start(["-c", code, *arguments], config.to_line(settings) if settings else None)

    def _start(self, arguments: list[str], stdin: bytes | None) -> Process:
        log = Path(self._folder.name) / f"{len(self._all)}.log"
        process = Process(arguments, stdin, log)
        self._all.append(process)
        return process

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._all:
            if process.popen.poll() is None:
                for each in tree(process.pid):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        each.send_signal(signal.SIGCONT)
                process.kill_all()
            assert process.popen.stdin is not None
            process.popen.stdin.close()
            print(f"--- {process.log_file.stem}\n{process.log[-6000:]}")  # pytest shows it where the test failed
        self._folder.cleanup()
