"""What workers write to standard error: lines of JSON or for a console, with fields and without secrets."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import timeit
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.waiting import eventually
from tests.worker.processes import ROOT, Processes, settings_for

from sojourn import SessionStore
from sojourn.errors import ArchiveUnavailable
from sojourn.logs import Line, Log, error_text
from sojourn.secrets import new_key
from sojourn.settings import Settings
from sojourn.tokens.form import make_token
from sojourn_worker.floods import Floods
from sojourn_worker.lines import formatter
from sojourn_worker.supervise import ROLES

PASSWORD = "planted/pass+word"
SECRET = "planted-zebra"
_TOKEN = make_token(7, "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")


def record(event: Any, level: int = logging.WARNING, name: str = "sojourn.worker", **more: Any) -> logging.LogRecord:
    """Make a record as `logging` would."""
    given = logging.LogRecord(name, level, __file__, 1, event, (), more.pop("exc_info", None))
    vars(given).update(more)
    return given


def settings(**more: Any) -> Settings:
    """Settings with passwords in them."""
    return settings_for(f"redis://:{PASSWORD}@127.0.0.1:1/0".replace("/pass", "%2Fpass"), **more)


def as_json(given: logging.LogRecord) -> dict[str, Any]:
    """Format a record as JSON."""
    text = formatter("listen", settings(log_format="json"), io.StringIO()).format(given)
    assert "\n" not in text
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


def as_text(given: logging.LogRecord, **more: Any) -> str:
    """Format a record for a console."""
    return formatter("listen", settings(log_format="console", **more), io.StringIO()).format(given)


def raised(error: Exception) -> Exception:
    """Give an error that was raised somewhere, with something in hand."""

    def fail(in_hand: str) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail(SECRET)
    return caught.value


def test_a_line_has_the_fields_that_all_have_and_its_own() -> None:
    """In a stable order; fields that are None or empty are left out."""
    line = as_json(record(Line("session gone", {"tenant": "acme", "count": 3, "trace_id": "", "reason": None})))
    assert list(line)[:6] == ["timestamp", "level", "event", "role", "pid", "logger"]
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo == UTC
    assert line == {
        "level": "warning", "event": "session gone", "role": "listen", "pid": os.getpid(), "logger": "sojourn.worker",
        "tenant": "acme", "count": 3,
    }  # fmt: skip


def test_lines_of_others_have_the_same_form() -> None:
    """Their text is the event, and what they gave as extra is in fields; colours are taken out."""
    foreign = record("\x1b[32mdone %s", logging.INFO, "rq.worker", queue="sojourn-hooks")
    foreign.args = ("x",)
    line = as_json(foreign)
    assert (line["event"], line["logger"], line["queue"]) == ("done x", "rq.worker", "sojourn-hooks")
    assert not {"args", "msg", "levelno", "exc_info"} & set(line)


def test_errors_are_one_field_without_what_was_in_hand() -> None:
    """Our own tell their message, others the way that they came; neither locals nor what a foreign text holds."""
    ours = as_json(record(Line("x", {"error": raised(ArchiveUnavailable("the archive db is not available"))})))
    assert ours["error"] == {"type": "ArchiveUnavailable", "message": "the archive db is not available"}
    foreign = raised(KeyError(SECRET))
    for given in (
        record(Line("x", {"error": foreign})),
        record("y", exc_info=(KeyError, foreign, foreign.__traceback__)),
    ):
        line = as_json(given)
        assert line["error"]["type"] == "KeyError"
        assert line["error"]["frames"][-1].endswith(" fail")
        assert SECRET not in json.dumps(line)
    text = as_text(record(Line("x", {"error": foreign})))
    assert "KeyError: test_logs.py:" in text
    assert SECRET not in text
    sent = redis.ResponseError(f"unknown command 'HSET', with args beginning with: 'k' '{SECRET}'")
    assert SECRET not in error_text(sent) + json.dumps(as_json(record(Line("x", {"error": sent}))))


@pytest.mark.parametrize(
    "value",
    [
        _TOKEN,
        f"redis://:{SECRET}@cache:6379/0",
        f"see postgresql://ada:{SECRET}@db/x, and go on",
        f"host=db password={SECRET} user=ada",
        f"https://example.com/?api_token={SECRET}&x=1",
        f"AUTH {PASSWORD}",
        ["a", {"b": f"redis://ada:{SECRET}@h"}],
        {"password": SECRET, "n": 1},
    ],
    ids=["token", "redis", "postgres", "keywords", "query", "literal", "nested", "named"],
)
def test_secrets_are_masked_whoever_logs_them(value: Any) -> None:
    """In our fields, in others' texts and extra; the line still tells the rest."""
    key = new_key()
    given = settings(log_format="json", secret_keys=[key])
    for each in (record(Line("x", {"given": value})), record("x", given=value), record(f"x {value}", name="other")):
        text = formatter("cli", given, io.StringIO()).format(each)
        for secret in (SECRET, PASSWORD, _TOKEN):
            assert secret not in text
        assert "***" in text
    text = formatter("cli", given, io.StringIO()).format(record(Line("x", {"given": f"opened with {key}"})))
    assert key.rpartition(":")[2] not in text


def test_what_goes_by_a_secret_s_name_is_masked() -> None:
    """Others may log such fields."""
    line = as_json(record("x", api_token=SECRET, user_password=SECRET, tenant="acme"))
    assert (line["api_token"], line["user_password"], line["tenant"]) == ("***", "***", "acme")


class _Payload:
    def __repr__(self) -> str:
        return SECRET


def test_values_are_bounded_and_plain() -> None:
    """Objects whose text may be anything are told by their type; what is long or deep is cut."""
    odd = {
        "payload": _Payload(), "raw": SECRET.encode(), "long": "x" * 10_000, "many": list(range(100)),
        "deep": {"a": {"b": {"c": {"d": 1}}}}, "when": datetime(2026, 1, 1, tzinfo=UTC), "lone": "\ud800",
        "nan": float("nan"), "huge": 10**30, "path": Path("/x"),
    }  # fmt: skip
    line = as_json(record(Line("x", odd)))
    assert SECRET not in json.dumps(line)
    assert (line["payload"], line["raw"], line["nan"]) == ("<_Payload>", "<bytes>", "nan")
    assert len(line["long"]) < 1_010
    assert len(line["many"]) == 20
    assert line["deep"]["a"]["b"]["c"] == "<dict>"
    assert (line["path"], line["when"], line["lone"]) == ("/x", "2026-01-01 00:00:00+00:00", "\ud800")


def test_nothing_that_is_logged_reaches_the_terminal_s_controls() -> None:
    """A field with a line break or an escape cannot forge a line; neither form lets it."""
    forged = "ada\n2026-01-01 [error] all is lost\x1b[2J\x07\r"
    text = as_text(record(Line("x", {"owner": forged})))
    assert text.isprintable()
    assert "\\n2026" in text
    assert "\n" not in json.dumps(as_json(record(Line("x", {"owner": forged}))))
    assert "\n" not in str(Line("x", {"owner": forged}))


def test_a_plain_formatter_shows_the_fields(caplog: pytest.LogCaptureFixture) -> None:
    """And one for JSON finds them on the record."""
    with caplog.at_level("INFO", "sojourn"):
        Log("sojourn.test").info("run ended", tenant="acme", reason="all done", none=None, error=KeyError(SECRET))
    (found,) = caplog.records
    assert found.getMessage() == 'run ended tenant=acme reason="all done" error=KeyError'
    assert (vars(found)["tenant"], vars(found)["error"], found.funcName) == ("acme", "KeyError", found.funcName)
    assert found.filename == "test_logs.py"


def test_a_line_below_the_level_costs_next_to_nothing() -> None:
    """It is not even put together: less than a tenth of one that is."""
    log, heard = Log("sojourn.worker.quiet"), logging.getLogger("sojourn.worker.quiet")
    heard.setLevel(logging.INFO)
    heard.propagate = False
    heard.addHandler(logging.NullHandler())

    def cost(tell: Callable[..., None]) -> float:
        return min(timeit.repeat(lambda: tell("key is gone", tenant="a", session_id="b"), number=500, repeat=5))

    assert cost(log.debug) < cost(log.info) / 3


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_floods_are_bounded_for_each_trouble_and_hook() -> None:
    """The first lines pass, the rest is counted and told when the minute is over; info lines always pass."""
    clock = _Clock()
    floods = Floods(3, 60, clock)

    def passed(event: str, times: int, level: int = logging.WARNING, name: str = "sojourn.worker", **more: Any) -> int:
        return sum(floods.admits(record(Line(event, more), level, name)) for _ in range(times))

    def left_out() -> list[dict[str, Any]]:
        lines = [(each.levelno, each.msg) for each in floods.left_out()]
        return [{**line.fields, "level": level} for level, line in lines if isinstance(line, Line)]

    assert passed("a", 100, hook="x") == 3
    assert passed("a", 2, hook="y") == 2
    assert passed("b", 5, logging.ERROR) == 3
    assert passed("a", 50, logging.INFO, hook="x") == 50
    assert passed("a", 50, logging.ERROR, "myapp.hooks") == 50
    assert list(floods.left_out()) == []
    clock.now += 61
    told = {(each["what"], each["level"]): each for each in left_out()}
    assert told[("a", logging.WARNING)] == {
        "what": "a",
        "count": 97,
        "window_s": 61,
        "hook": "x",
        "level": logging.WARNING,
    }
    assert told[("b", logging.ERROR)] == {"what": "b", "count": 2, "window_s": 61, "level": logging.ERROR}
    assert len(told) == 2
    assert list(floods.left_out()) == []
    assert passed("a", 10, hook="x") == 1  # it goes on, so that one example suffices
    clock.now += 61
    assert [each["count"] for each in left_out()] == [9]
    clock.now += 61
    assert list(floods.left_out()) == []
    assert passed("a", 10, hook="x") == 3


def test_more_kinds_of_trouble_than_fit_are_all_told() -> None:
    """What is not counted is not held back, and what was quiet for long makes room."""
    clock = _Clock()
    floods = Floods(1, 60, clock)
    assert [floods.admits(record(Line(f"event {n}", {}))) for n in range(100)] == [True] * 100
    assert [floods.admits(record(Line("event 99", {}))) for _ in range(3)] == [True] * 3
    clock.now += 61
    assert [floods.admits(record(Line("event 99", {}))) for _ in range(3)] == [True, False, False]


def test_floods_are_bounded_across_forks() -> None:
    """Each job runs in a process of its own; their lines count together."""
    floods = Floods(3, 60)
    for _ in range(5):
        child = os.fork()
        if not child:
            floods.admits(record(Line("a", {})))
            os._exit(0)
        os.waitpid(child, 0)
    assert not floods.admits(record(Line("a", {})))


def _with_hooks(url: str, **more: Any) -> Settings:
    told = {"events": ["created"], "function": "tests.worker.hook_functions:tell_in_the_log"}
    return settings_for(url, hooks={"watch": told}, log_level="info", **more)


@pytest.mark.parametrize("level", ["debug", "warning"])
def test_a_worker_logs_json(any_redis_url: str, processes: Processes, level: str) -> None:
    """Every line of every role parses and has the fields; a hook's own lines tell the session and the trace."""
    told = _with_hooks(any_redis_url).model_copy(update={"log_level": level})
    supervisor = processes.python(SUPERVISOR, settings=told)
    with SessionStore(settings=told, trace_id="trace-4711") as store:
        made = store.create(owner=SECRET, metadata={"x": SECRET})
    own = supervisor.tells("told by a hook", deadline_s=60)
    if level == "debug":
        ran = supervisor.tells("hook ran on an event")
        assert ran["duration_ms"] > 0
        assert (ran["session_id"], ran["trace_id"]) == (made.id, "trace-4711")
        supervisor.tells("hook ran", hook="watch", done=1)
        eventually(lambda: {each["role"] for each in supervisor.lines} == {*ROLES, "supervise"} - {"jobs:archive"})
    assert supervisor.stop() == 0
    assert all(each.startswith("{") for each in supervisor.log.splitlines()), supervisor.log
    every = {"timestamp", "level", "event", "role", "pid", "logger"}
    assert all(every <= set(each) for each in supervisor.lines)
    assert (own["tenant"], own["session_id"], own["trace_id"]) == ("default", made.id, "trace-4711")
    assert (own["hook"], own["logger"], own["role"]) == ("watch", "myapp.hooks", "jobs:hooks")
    assert own["job"].startswith("watch-")
    assert own["event_id"]
    assert SECRET not in supervisor.log
    if level == "warning":
        assert {each["level"] for each in supervisor.lines} <= {"warning", "error"}


SUPERVISOR = """
import sys
from sojourn_worker import config
from sojourn_worker.supervise import supervise
settings = config.from_line(sys.stdin.buffer.readline())
sys.exit(supervise(settings, sys.argv[1:]))
"""


def test_a_line_from_within_another(processes: Processes, any_redis_url: str) -> None:
    """A signal's handler that logs while its thread writes a line loses none, though Python refuses to write both."""
    code = """
import io, os, signal, sys
from sojourn_worker import config, logs
settings = config.from_line(sys.stdin.buffer.readline())
class Interrupted(io.RawIOBase):
    def writable(self):
        return True
    def write(self, data):
        if b"outer" in bytes(data):
            signal.raise_signal(signal.SIGUSR1)
        return os.write(2, data)
sys.stderr = io.TextIOWrapper(io.BufferedWriter(Interrupted()), line_buffering=True)
logs.set_up("listen", settings)
signal.signal(signal.SIGUSR1, lambda *_: logs.LOG.info("inner"))
logs.LOG.info("outer")
"""
    process = processes.python(code, settings=settings_for(any_redis_url))
    assert process.popen.wait(30) == 0
    assert [each["event"] for each in process.lines] == ["inner", "outer"]


def test_a_crash_is_a_line(processes: Processes, any_redis_url: str) -> None:
    """What nobody caught, in any thread, and a warning of Python's come as JSON, without what they say."""
    code = f"""
import sys, threading, warnings
from sojourn_worker import config, logs
settings = config.from_line(sys.stdin.buffer.readline())
logs.set_up("listen", settings)
warnings.warn("old {SECRET}"[:3])
def fail():
    raise KeyError("{SECRET}")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""
    process = processes.python(code, settings=settings_for(any_redis_url))
    assert process.popen.wait(20) == 1
    assert [each["event"] for each in process.lines][1:] == ["crashed", "crashed"]
    assert process.lines[0]["logger"] == "py.warnings"
    assert all(each["error"]["frames"] for each in process.told("crashed"))
    assert SECRET not in process.log
    assert "Traceback" not in process.log


@pytest.mark.parametrize(
    ("environment", "is_json", "colours"),
    [
        ({}, False, True),
        ({"NO_COLOR": "1"}, False, False),
        ({"SOJOURN_LOG_FORMAT": "json"}, True, False),
        ({"SOJOURN_LOG_LEVEL": "error"}, None, False),
    ],
)
def test_the_form_on_a_terminal(
    any_redis_url: str, environment: dict[str, str], is_json: bool | None, colours: bool
) -> None:
    """For a console by default, with colours unless NO_COLOR is set; the settings have the last word."""
    ours, theirs = pty.openpty()
    given = {name: value for name, value in os.environ.items() if not name.startswith(("SOJOURN_", "NO_COLOR"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "sojourn_worker", "dispatch"], stderr=theirs, cwd=ROOT,
        env=given | {"SOJOURN_REDIS_URL": any_redis_url, "TERM": "xterm"} | environment,
    )  # fmt: skip
    os.close(theirs)
    text = ""
    try:
        with redis.Redis.from_url(any_redis_url) as client:
            eventually(lambda: client.exists("sojourn:meta"), deadline_s=60)
        while is_json is not None and "dispatching" not in text:
            text += os.read(ours, 65536).decode()
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert ("\x1b[" in text) is colours
    lines = text.splitlines()
    if is_json:
        assert json.loads(lines[0])["event"] == "settings loaded"
    elif is_json is False:
        assert "settings loaded" in lines[0]
        assert "role=dispatch" in "".join(lines).replace("\x1b[35m", "").replace("\x1b[36m", "").replace("\x1b[0m", "")


def test_a_program_that_has_set_up_logging_keeps_it(processes: Processes, any_redis_url: str) -> None:
    """Only the levels are ours then."""
    code = """
import logging, sys
logging.basicConfig(format="MINE %(message)s")
from sojourn_worker import config, logs
logs.set_up("listen", config.from_line(sys.stdin.buffer.readline()))
logs.LOG.info("listening", sweeps=True)
"""
    process = processes.python(code, settings=settings_for(any_redis_url))
    assert process.popen.wait(20) == 0
    assert process.log == "MINE listening sweeps=True\n"


def test_commands_log_warnings_beside_what_they_print(tmp_path: Path) -> None:
    """On standard error, in the same form; where structlog is not installed, plainly."""
    code = """
import sys
{}from sojourn.logs import Log
from sojourn.cli.shared import State
State().settings
Log("sojourn.archive").info("not shown")
Log("sojourn.archive").warning("shown", tenant="acme")
"""
    given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    told = []
    for before in ("", "sys.modules['structlog'] = None\n"):
        done = subprocess.run(
            [sys.executable, "-c", code.format(before)], capture_output=True, text=True, timeout=30, check=True,
            env=given, cwd=tmp_path,
        )  # fmt: skip
        assert done.stdout == ""
        told.append(done.stderr)
    line = json.loads(told[0])
    assert (line["event"], line["tenant"], line["role"], line["level"]) == ("shown", "acme", "cli", "warning")
    assert told[1] == "WARNING: shown tenant=acme\n"
