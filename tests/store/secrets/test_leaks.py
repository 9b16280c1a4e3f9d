"""Planted secrets and keys are found nowhere: not in Redis, PostgreSQL, events, logs, tracebacks or on the screen."""

from __future__ import annotations

import base64
import json
import logging
import os
import pickle
import traceback
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import Secret, SecretBytes
from tests.drivers import snapshot
from tests.store.secrets.conftest import MakeSettings
from tests.store.secrets.examples import FIRST, SECOND, VaultSession, revealed

from sojourn import InvalidField, SessionStore, Settings, SojournError
from sojourn.archive import Archive, archive_once, rehydrate
from sojourn.cli import cli
from sojourn.secrets import reseal, status

PLANTED = [f"planted-{name}-{'x' * 20}" for name in ("text", "bytes", "json", "later", "typed", "refused")]
TEXT, BYTES, JSON, LATER, TYPED, REFUSED = PLANTED
_IN_BASE64 = base64.b64encode(TYPED.encode()).decode()
Query = Callable[..., list[tuple[Any, ...]]]


def _forms(word: str) -> list[bytes]:
    """Return a word as it may be written: plain, in hex, URL-quoted, and in base64 wherever it begins."""
    raw = word.encode()
    inner = [base64.b64encode(b"x" * shift + raw)[4:-4] for shift in range(3)]
    return [raw, raw.hex().encode(), *inner, urllib.parse.quote(word).encode()]


def _of_keys() -> list[bytes]:
    found = []
    for key in (FIRST, SECOND):
        material = key.partition(":")[2]
        raw = base64.b64decode(material)
        found += [material.encode(), material.replace("+", "-").replace("/", "_").encode(), raw, raw.hex().encode()]
    return found


NEEDLES = [form for word in PLANTED for form in _forms(word)] + _of_keys()


def leaks(*haystacks: str | bytes) -> list[bytes]:
    """Return which of what was planted is in them."""
    found = [each.encode(errors="surrogateescape") if isinstance(each, str) else each for each in haystacks]
    return [needle for needle in NEEDLES for each in found if needle in each]


def test_the_search_finds(any_redis_url: str, tmp_path: Path) -> None:
    """What is searched for would be found, in each of its forms."""
    assert leaks(f"... {TEXT} ...")
    assert leaks(json.dumps({"a": base64.b64encode(f"ab{JSON}cd".encode()).decode()}))
    assert leaks(b"\x00" + base64.b64decode(FIRST.partition(":")[2]))
    assert not leaks("planted", "sealed:1:first:AAAA")


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Capture every log line, whatever its level."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def _whole_archive(query: Query) -> str:
    tables = query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'sojourn'")
    assert {"sessions", "session_events", "session_snapshots"} <= {name for (name,) in tables}
    rows = [query(f"SELECT each::text FROM sojourn.{name} AS each") for (name,) in tables]  # noqa: S608
    return "\n".join(text for several in rows for (text,) in several)


def _whole_redis(client: Any) -> list[bytes]:
    return [name.encode() + dump for name, (dump, _) in snapshot(client).items()] + [
        str(_value(client, name)).encode(errors="surrogateescape") for name in client.scan_iter(count=1000)
    ]


def _value(client: Any, name: str) -> Any:
    reader = {
        "hash": client.hgetall, "zset": lambda key: client.zrange(key, 0, -1), "set": client.smembers,
        "stream": client.xrange, "list": lambda key: client.lrange(key, 0, -1), "string": client.get,
    }  # fmt: skip
    return reader[client.type(name)](name)


def _doubled(session: VaultSession) -> dict[str, Any]:
    assert session.blob is not None
    return {"blob": SecretBytes(session.blob.get_secret_value() * 2)}


def _live(settings: Settings) -> VaultSession:
    with SessionStore(settings=settings, model=VaultSession, actor="ada", trace_id="t") as store:
        made = store.create(password=TEXT, blob=BYTES.encode(), credentials={JSON: JSON}, note="n")
        store.update(made.id, password=LATER)
        store.mutate(made.id, _doubled)
        with store.editing(made.id) as draft:
            draft.credentials = Secret({JSON: LATER})
        other = store.create(password=TEXT)
        store.fail(other.id, reason="broken")
        store.create_many([{"password": TEXT}, {"credentials": {"a": JSON}}])
        found = store.get(made.id)
    assert revealed(found) == (LATER, BYTES.encode() * 2, {JSON: LATER})
    return found


def test_stores_and_archive(
    settings_with: MakeSettings, client: Any, query: Query, all_logs: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A whole life: live, archived, moved to another key, restored, rehydrated."""
    first, both = settings_with(FIRST), settings_with(FIRST, SECOND)
    session = _live(first)
    assert not leaks(*_whole_redis(client))
    archive_once(first)
    reports = [repr(reseal(both)), repr(status(both)), repr(archive_once(both)), repr(reseal(both))]
    with SessionStore(settings=both, model=VaultSession) as store:
        store.restore(session.id, version=1)
        store.complete(session.id)
    archive_once(both)
    told = [repr(each) for each in Archive(both).history(session.id)]
    assert len(told) > 5
    assert not leaks(*_whole_redis(client), _whole_archive(query), *told, *reports)
    assert "sealed:1:second:" in _whole_archive(query)
    client.flushdb()
    rehydrate(both)
    assert not leaks(*_whole_redis(client))
    shown = [repr(session), str(session), session.model_dump_json(), repr(session.model_dump()), repr(both)]
    assert not leaks(*shown, all_logs.text)


def test_failing_calls(settings_with: MakeSettings, all_logs: pytest.LogCaptureFixture, free_port: int) -> None:
    """With a planted value passed to it: neither traceback, nor pickled error, nor what hangs on it."""
    settings = settings_with(FIRST)
    away = settings_with(FIRST, redis_url=f"redis://127.0.0.1:{free_port}", socket_timeout=0.2, retries=0)
    unknown = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
    told: list[str | bytes] = []

    def fail(call: Callable[[], Any]) -> None:
        try:
            call()
        except SojournError as error:
            told.append(traceback.format_exc())
            told.append(pickle.dumps(error))
            below = error.__cause__ or error.__context__
            while below is not None:
                told.append(repr(below))
                below = below.__cause__ or below.__context__
        else:
            raise AssertionError("it did not fail")

    with (
        SessionStore(settings=settings, model=VaultSession) as store,
        SessionStore(settings=away, model=VaultSession) as gone,
        SessionStore(settings=settings_with(), model=VaultSession) as keyless,
    ):
        ended = store.create(password=TEXT)
        store.complete(ended.id)
        session = store.create(password=TEXT)
        calls = [
            lambda: store.update(unknown, password=REFUSED),
            lambda: store.update(ended.id, password=REFUSED),
            lambda: store.update(session.id, version=7, password=REFUSED),
            lambda: store.update(session.id, password=REFUSED + "\ud800"),
            lambda: store.update(session.id, password=[REFUSED]),
            lambda: store.update(session.id, password=REFUSED * 60_000),
            lambda: store.update(session.id, credentials={REFUSED: {"x": REFUSED}}),
            lambda: store.update(session.id, credentials={REFUSED: "\ud800" + REFUSED}),
            lambda: store.create(password={REFUSED: 1}),
            lambda: store.create(blob=[REFUSED]),
            lambda: store.create(password=REFUSED, no_such_field=1),
            lambda: store.create(credentials=Secret({REFUSED: object()})),
            lambda: store.mutate(session.id, lambda _: {"password": (REFUSED,)}),
            lambda: store.mutate(session.id, lambda _: {"credentials": REFUSED}),
            lambda: keyless.update(session.id, password=REFUSED),
            lambda: keyless.create(blob=REFUSED.encode()),
            lambda: gone.create(password=REFUSED),
            lambda: gone.update(session.id, credentials={REFUSED: REFUSED}),
            lambda: keyless.get(session.id).password.get_secret_value(),  # type: ignore[union-attr]
            lambda: Settings(secret_keys=(FIRST, SECOND.replace("second", "first"))),
            lambda: Settings(secret_keys=(FIRST + REFUSED,)),
        ]
        for each in calls:
            fail(each)
    assert len(told) >= 2 * len(calls)
    assert not leaks(*told, all_logs.text)


def test_commands(
    settings_with: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, all_logs: pytest.LogCaptureFixture
) -> None:
    """What every command prints, on either stream, with and without --json, and where it fails."""
    for name in [each for each in os.environ if each.startswith("SOJOURN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    settings = settings_with(FIRST)
    Path("keys").write_text(f"{FIRST}\n{SECOND}\n")
    Path("sojourn.yaml").write_text(json.dumps({
        "redis_url": settings.redis_url, "archive_url": settings.archive_url, "secret_keys": [FIRST],
        "secret_keys_file": "keys", "models": list(settings.models),
    }))  # fmt: skip
    Path("typed").write_text(TYPED)
    Path("in_base64").write_text(_IN_BASE64)
    session = _live(settings)
    archive_once(settings)
    printed: list[str] = []

    def run(*args: str, codes: tuple[int, ...] = (0,)) -> None:
        for more in ((), ("--json",)):
            result = CliRunner().invoke(cli, [*args, *more], prog_name="sojourn")
            assert result.exit_code in codes, (args, result.stdout, result.stderr)
            printed.extend((result.stdout, result.stderr))

    for command in (
        ["config"], ["get", session.id], ["list"], ["list", "--kind", "vault"], ["history", session.id], ["doctor"],
        ["metrics"], ["archive", "list"], ["archive", "get", session.id], ["archive", "status"],
        ["restore", session.id, "--version", "1"], ["restore", session.id, "--version", "2", "--live"],
        ["update", session.id, "--set", "password=@typed"], ["create", "--kind", "vault", "--set", "blob=@in_base64"],
        ["secrets", "status"], ["secrets", "reseal"], ["archive", "run"], ["secrets", "reseal"], ["rehydrate"],
        ["end", session.id],
    ):  # fmt: skip
        run(*command, codes=tuple(range(9)) if command[0] == "doctor" else (0, 3) if command[0] == "end" else (0,))
    run("update", session.id, "--set", "credentials=@typed", codes=(2, 3))
    run("update", session.id, "--set", f"password={TYPED}", codes=(2,))
    run("create", "--kind", "vault", "--set", f'password=["{TYPED}"]', "--set", f"credentials={TYPED}", codes=(2,))
    Path("keys").write_text("third:" + FIRST.partition(":")[2] + "A\n")
    run("config", codes=(2,))
    assert sum(map(len, printed)) > 5000
    assert "**********" in "".join(printed)
    assert not leaks(*printed, all_logs.text)


def test_refusals_name_the_field() -> None:
    """So that what is hidden is only the value."""
    from sojourn.codec import codec_for
    from sojourn.limits import Limits
    from sojourn.sealing import Sealer

    with pytest.raises(InvalidField, match="field 'credentials'"):
        codec_for(VaultSession).encode_changes({"credentials": [REFUSED]}, Limits(), Sealer(None, "", ""))
