"""Rows as lines for COPY: every text arrives as it was, in every column."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import psycopg
import pytest
import redis
from tests.store.archive.helpers import keys_of

from sojourn import Indexed, Session, SessionStore, Settings
from sojourn.archive import Audit, archive_once
from sojourn.archive.copying import append, stage
from sojourn.archive.database import Connection, connected
from sojourn.archive.exact import survives
from sojourn.archive.lines import COLUMNS, TARGETS, array, escaped_texts, template
from sojourn.archive.sink import storing

Query = Callable[..., list[tuple[Any, ...]]]

ODD = (
    r"\N", r"\.", "\\", "\t", "\n", "\r\n", "a\tb\\nc", '"', '{"a",b}', "NULL", "", "\x7f", "a\x7fb\\", "%s %(x)s %%",
    "\U0001f600", "'", "\x01\x1f", "é\u2028\x85",
)  # fmt: skip


class OddSession(Session, kind="odd"):
    """A session with an index of each kind."""

    place: Annotated[str, Indexed()] = ""
    text: str = ""


@pytest.mark.parametrize("text", ODD)
def test_a_text_in_every_column(settings: Settings, raw: redis.Redis, query: Query, text: str) -> None:
    """What means something to COPY, to arrays, to JSON or to the templates is text like any other, whoever wrote it."""
    listed = json.dumps([text, "plain"])
    with SessionStore(model=OddSession, settings=settings) as store:
        made = store.create(place="p", metadata={text: [text]})
        fields: dict[Any, Any] = {"owner": text, "end_reason": text, "place": text, "text": text, "tags": listed}
        raw.hset(keys_of().session(made.id), mapping=fields)
        raw.xadd(keys_of().partition.events, {
            "type": "ended", "tenant": "default", "id": made.id, "at_ms": "1", "version": "1", "kind": text,
            "actor": text, "trace": text, "changes": json.dumps({text: text}),
        })  # fmt: skip
        assert archive_once(settings).sessions == 1
        assert (store.archive.get(made.id).text, store.archive.get(made.id).metadata) == (text, {text: [text]})
    ((*texts, tags, indexed, data),) = query(
        "SELECT owner, end_reason, data->>'text', tags, indexed, data FROM sojourn.sessions"
    )
    assert (texts, tags, data["owner"]) == ([text] * 3, [text, "plain"], text)
    assert (f"default/place:{text}" in indexed, f"default/tags:{text}" in indexed) == (text != "", True)
    ((*texts, changes),) = query(
        "SELECT kind, actor, trace_id, changes FROM sojourn.session_events WHERE type = 'ended'"
    )
    assert (texts, changes) == ([text] * 3, {text: text})
    assert query("SELECT actor, trace_id FROM sojourn.audit WHERE action = 'ended'") == [(text, text)]
    assert Audit(settings).verify().is_sound


def test_odd_names_in_a_hash(settings: Settings, raw: redis.Redis, query: Query) -> None:
    """Fields of any name, which other hands wrote, are archived as they are, and so are texts like any in the line."""
    odd: dict[Any, Any] = {f"name {text}": text for text in ODD}
    with SessionStore(model=OddSession, settings=settings) as store:
        made = store.create(place="p")
        raw.hset(keys_of().session(made.id), mapping=odd)
        assert archive_once(settings).sessions == 1
    ((data,),) = query("SELECT data FROM sojourn.sessions")
    assert {name: data[name] for name in odd} == odd


def test_arrays_and_lines() -> None:
    """What has nothing to escape is left alone; what has is escaped, all or none."""
    plain = ["a", "é", '"']
    assert escaped_texts(plain) is plain
    assert list(escaped_texts(["a", "b\t", "\\"])) == ["a", r"b\t", r"\\"]
    assert array([]) == "{}"
    assert (
        template("store_entries", ("tenant", "entry")) % ("t", "1")
        == "\t".join(
            {"target": str(TARGETS["store_entries"]), "tenant": "t", "entry": "1"}.get(each, r"\N") for each in COLUMNS
        )
        + "\n"
    )


def test_names_that_are_there_twice() -> None:
    """No object with two equal names is embedded, however its colons fall; one without is."""
    for text in (
        '{"a":1,"a" :2}',
        '{"a":1,"a":2}',
        '{"a":":","a":1}',
        '{"a":{},"a":1}',
        '[{"a":1,"a":2}]',
        '{"a":[1],"a":":"}',
    ):
        assert survives(text) is None, text
    for text in ('{"a":":"}', '{"a" : 1}', '{"a":{"a":1}}', '[{"a":1}]', '{"a":"{"}', "[]", '{"a":[]}'):
        assert survives(text) is not None, text
    assert survives('["{",":"]') == ["{", ":"]
    for text in ('{"a":1e3}', '{"a":NaN}', '{"a":-0.0}', '["a"'):
        assert survives(text) is None, text


def fail_meanwhile(connection: Connection, row: str) -> None:
    """Fail while PostgreSQL writes a row."""
    with connection.transaction():
        stage(connection)
        with storing(connection, {"store_entries": [("", row)], "store_events": []}):
            _ = 1 / 0


def test_what_fails_meanwhile_leaves_the_connection_in_step(settings: Settings, postgres_url: str) -> None:
    """Where the block fails, its own error comes out, and the transaction can be ended."""
    row = template("store_entries", ("tenant", "session_id", "log", "position", "entry")) % (
        "t", "00000000-0000-0000-0000-000000000001", "notes", "0", json.dumps({}),
    )  # fmt: skip
    archive_once(settings)
    with connected(postgres_url, 10) as connection:
        with pytest.raises(ZeroDivisionError):
            fail_meanwhile(connection, row)
        assert connection.execute("SELECT count(*) FROM sojourn.session_entries").fetchone() == (0,)
        with connection.transaction():
            stage(connection)
            with storing(connection, {"store_entries": [("", row)], "store_events": []}) as sent:
                pass
            assert (sent.refused, sent.stored["store_entries"].written) == (False, 1)
            with storing(connection, {"store_entries": [("", row), ("", row.replace("0001", "xxxx"))]}) as sent:
                pass
            assert sent.refused
        assert connection.execute("SELECT count(*) FROM sojourn.session_entries").fetchone() == (1,)


def test_a_refused_row_of_the_trail(settings: Settings, postgres_url: str) -> None:
    """It is an error of the one who adds it: a chain has no gaps."""
    with connected(postgres_url, 10) as connection, pytest.raises(psycopg.DataError), connection.transaction():
        append(connection, [template("store_audit", ("tenant", "seq")) % ("t", "none")])
