"""The examples of the help pages do what they say, against real servers; and what they print as JSON is as declared."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.store.cli.shell import Stage, run_stages, stages
from tests.store.secrets.examples import FIRST

from sojourn import DocumentationSession, McpSession, SessionStore, load_settings
from sojourn.archive import archive_once, init
from sojourn.cli.schemas import OPEN, adapter, fields_of
from sojourn.cli.shapes import Document, Lines, Listing, Shape, Text
from sojourn.cli.tree import Node, walk
from sojourn_worker.burial import bury_event
from sojourn_worker.redis_link import RedisLink

HOOKS = {"mail": {"events": ["created"], "function": "tests.worker.hook_functions:record"}}
ELSEWHERE = {
    "worker": "runs until it is stopped: tests/worker",
    "--follow": "runs until it is stopped: test_processes.py",
    "shell": "tests of its own",
    "watch": "tests of its own",
    "top": "tests of its own",
    "archive migrate": "takes the tables away: test_archive.py",
    "tenant": "one world has no tenant left after these: test_tenant.py",
    "acl": "users outlive a test's Redis: test_tenant.py",
}
CODES = {"doctor": (0, 6, 7), "health": (0, 6, 7)}
EXAMPLES = [(node, example) for node in walk() for example in node.examples]


def reason_not_to_run(example: str) -> str | None:
    """Return why an example is run elsewhere, or not at all; None: it is run here."""
    for each in stages(example):
        if each.arguments is None:
            return "not ours alone"
        for what, reason in ELSEWHERE.items():
            words = what.split()
            if each.arguments[: len(words)] == words or what in each.arguments:
                return reason
        if any("VALUE" in word or "$" in word for word in each.arguments):
            return "a shell puts words together"
    return None


class World:
    """What the examples speak of."""

    def __init__(self, redis_url: str, archive_url: str) -> None:
        self.settings = load_settings(redis_url=redis_url, archive_url=archive_url)
        self.docs = SessionStore(settings=self.settings, model=DocumentationSession)
        self.mcp = SessionStore(settings=self.settings, model=McpSession)
        for name in ("sessions.jsonl", "notes.jsonl", "password", "credentials.json", "head"):
            Path(name).write_text("")
        Path("notes.jsonl").write_text(
            '{"file_path": "a.py", "status": "done", "created_at": "2026-01-31T12:00:00Z"}\n'
        )
        Path("credentials.json").write_text('{"user": "ada"}')
        archive_once(self.settings)

    def close(self) -> None:
        """Close its connections."""
        self.docs.close()
        self.mcp.close()

    def fill(self, example: str) -> str:
        """Return the example with ids of sessions, tokens and letters that are there for it."""
        if " mcp " in example:
            session: Any = self.mcp.create(owner="ada")
            self.mcp.mcp.record_tool_execution(session.id, tool="search", duration=0.2)
        else:
            session = self.docs.create(workspace_id="w1", module_name="json", owner="ada", current_file="b.py")
            session = self.docs.update(session.id, tags=["a"])
            self.docs.append(session.id, DocumentationSession.notes, json.loads(Path("notes.jsonl").read_text()))
        for name, text in self._tokens():
            Path(name).write_text(text)
        if any(word in example for word in ("archive", "restore", "rehydrate", "audit", "history")):
            archive_once(self.settings)
        other = self.docs.create(workspace_id="w1", module_name="json").id if "5d2c91" in example else ""
        if other:
            archive_once(self.settings)
        for told, real in (
            ("0b0e7f0e-6c1f-4c6e-9c53-0d4e5d6f7a8b", session.id), ("0b0e7f", session.id[:13]), ("5d2c91", other[:13]),
        ):  # fmt: skip
            example = example.replace(told, real)
        example = example.replace("postgresql://ada@localhost/sojourn", str(self.settings.archive_url))
        return example.replace("mail/40-1750000000000-0", self._letter())

    def _tokens(self) -> Iterator[tuple[str, str]]:
        made = self.docs.create(workspace_id="w1", module_name="json", owner="ada")
        pair = self.docs.tokens.issue(made.id)
        yield "token", pair.access
        yield "refresh-token", str(pair.refresh)

    def _letter(self) -> str:
        (event,) = self.docs.peek_events(start="recent", limit=1).events
        link = RedisLink(self.settings)
        bury_event(link, self.settings, "mail", event, job="t", tries=3, reason="ValueError in f, line 1")
        link.close()
        return f"mail/{event.id}"


@pytest.fixture
def world(any_redis_url: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Give two servers with some of everything, which the environment names."""
    init(postgres_url)
    monkeypatch.setenv("SOJOURN_ARCHIVE_URL", postgres_url)
    monkeypatch.setenv("SOJOURN_SECRET_KEYS", FIRST)
    monkeypatch.setenv("SOJOURN_SOCKET_TIMEOUT", "20")  # on a busy machine a process may stand still for seconds
    monkeypatch.setenv("SOJOURN_HOOKS", json.dumps(HOOKS))
    made = World(any_redis_url, postgres_url)
    yield made
    made.close()


def holds(shape: Shape, text: str) -> bool:
    """Return whether a text is of a shape, down to the last field."""
    try:
        match shape:
            case Document(schema):
                things = [json.loads(text)]
            case Lines(schema):
                things = [json.loads(line) for line in text.splitlines()]
            case Listing(name, schema):
                told = json.loads(text)
                things = told[name]
                assert set(told) == {name, "cursor"}
            case Text():
                return True
        for each in things:
            check(schema, each)
    except (ValueError, AssertionError, LookupError, TypeError):
        return False
    return True


def check(schema: str, thing: Any) -> None:
    """Hold one thing against its schema: no field is missing, of another type, or not declared."""
    if schema == "Entry":
        return
    adapter(schema).validate_python(thing, strict=True)
    if schema not in OPEN:
        assert set(thing) <= set(fields_of(schema)), set(thing) - set(fields_of(schema))


def test_examples_run(world: World) -> None:
    """Each does what it says; with --json it prints what its command declares, and something of each shape is seen."""
    seen: set[tuple[str, ...]] = set()
    wrong: list[object] = []
    for _, example in EXAMPLES:
        if reason_not_to_run(example) is not None:
            continue
        several = stages(world.fill(example))
        told = several[-1]
        node = node_of(told.arguments or [])
        if told.target is None and not {"--output", "--ids"} & set(told.words) and not node.is_group:
            told.words.append("--json")
        ran = run_stages(several)
        codes = (1,) if "--at 2h" in example else CODES.get(" ".join(node.path), (0,))  # nothing here is so old
        if ran.exit_code not in codes:
            wrong.append((example, ran.stdout, ran.stderr, ran.exception))
        elif told.words[-1] == "--json" and (ran.exit_code == 0 or " ".join(node.path) in CODES):
            if not any(holds(shape, ran.stdout) for shape in node.outputs):
                wrong.append((example, ran.stdout))
            if ran.stdout.strip():
                seen.add(node.path)
    assert not wrong
    expected = {node.path for node in walk() if any(not isinstance(each, Text) for each in node.outputs)}
    assert not {path for path in expected - seen if path[0] not in ("archive", "tenant", "acl", "top", "watch")}


def test_what_is_not_run_is_little() -> None:
    """Most examples are run, and each of the others for a reason."""
    left_out = [example for _, example in EXAMPLES if reason_not_to_run(example) is not None]
    assert len(left_out) < len(EXAMPLES) / 3, left_out


@pytest.mark.parametrize(
    "words",
    [
        ["list"], ["get", "ID"], ["get", "ID", "ID"], ["events", "--limit", "3"], ["history", "ID"], ["audit", "list"],
        ["tenant", "list"], ["config"], ["dead", "list"], ["archive", "list"], ["archive", "run"], ["audit", "verify"],
        ["archive", "status"], ["tenant", "show", "default"], ["tenant", "limits", "default"], ["acl", "default"],
        ["archive", "migrate", "--dry-run"], ["get", "ID", "--entries", "notes"], ["end", "ID"], ["touch", "ID"],
        ["secrets", "status"], ["token", "list", "ID"], ["list", "--owner", "nobody"], ["metrics"], ["health"],
        ["secrets", "keygen"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_csv(world: World, words: list[str]) -> None:
    """Every row has as many cells as the header has names, which are the declared ones; and JSON is as declared."""
    ids = [world.docs.create(workspace_id="w1", module_name="json", metadata={"a": '"x",\n1'}).id for _ in range(2)]
    for session_id in ids:
        world.docs.append(session_id, DocumentationSession.notes, json.loads(Path("notes.jsonl").read_text()))
    archive_once(world.settings)
    words = [ids.pop() if each == "ID" else each for each in words]
    ran = run_stages([Stage(["sojourn", *words, "--output", "csv"])])
    assert ran.exit_code in CODES.get(words[0], (0,)), ran.stderr
    raw = ran.stdout_bytes.decode()
    assert raw.endswith("\r\n")
    header, *rows = list(csv.reader(io.StringIO(raw, newline="")))
    assert len(set(header)) == len(header)
    assert all(len(row) == len(header) for row in rows)
    node = node_of(words)
    if node.outputs and not any(isinstance(each, Text) or each.when for each in node.outputs):
        schema = next(each.schema for each in node.outputs if not isinstance(each, Text))
        assert header[: len(fields_of(schema))] == list(fields_of(schema))
    as_json = run_stages([Stage(["sojourn", *words, "--json"])])
    if as_json.exit_code == 0:
        assert any(holds(shape, as_json.stdout) for shape in node.outputs), as_json.stdout


def node_of(words: list[str]) -> Node:
    """Return the node of a command line."""
    found = [node for node in walk() if node.path and tuple(words[: len(node.path)]) == node.path]
    return max(found, key=lambda node: len(node.path))
