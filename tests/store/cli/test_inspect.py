"""``sojourn inspect``; what it finds is tested in tests/store/inspection."""

from __future__ import annotations

import csv
import io
from typing import Any

from tests.store.cli.conftest import Run

from sojourn.cli.schemas import adapter
from sojourn.keys import TenantKeys

_NONE = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"


def test_for_people(run: Run, store: Any) -> None:
    """What there is, the line that shows it below each, and a verdict at the end; nothing steers the terminal."""
    made = store.create(owner="a b\u202e", metadata={"a": "\x1b[31m"})
    shown = run("inspect", made.id).out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.splitlines()[0].split()[:4] == [made.id, "of", "tenant", "default:"]
    assert """$ redis-cli -u "$SOJOURN_REDIS_URL" -n 0 HGETALL 'sojourn:""" in shown
    assert f"""$ redis-cli -u "$SOJOURN_REDIS_URL" -n 0 PTTL 'sojourn:{{22}}:default:lease:{made.id}'""" in shown
    assert shown.splitlines()[-1].startswith("all ")
    assert run("inspect", made.id[:8]).out.splitlines()[0] == shown.splitlines()[0]


def test_for_programs(run: Run, store: Any, client: Any) -> None:
    """As JSON a line for each session, as CSV a row for each thing; the exit code tells the worst."""
    made, other = store.create(owner="ada"), store.create()
    client.zrem(TenantKeys.of("default", store.settings.partitions).index("owner", "ada"), made.id)
    first, second = run("inspect", "--json", made.id, "-", stdin=other.id + "\n", code=6).json_lines
    assert [each["session_id"] for each in (first, second)] == [made.id, other.id]
    assert (first["drift"], second["drift"]) == (1, 0)
    for each in (first, second):
        adapter("Inspection").validate_python(each)
    rows = list(csv.DictReader(io.StringIO(run("inspect", "-o", "csv", made.id, code=6).out)))
    assert len(rows) == len(first["items"])
    assert {row["session_id"] for row in rows} == {made.id}
    assert {"part", "what", "where", "value", "drift", "command"} <= set(rows[0])
    assert "DRIFT: is missing" in run("inspect", made.id, code=6).out


def test_what_is_not_there(run: Run, store: Any, client: Any) -> None:
    """Missing, another tenant's, damaged: each has its words and its exit code."""
    assert "there is nothing of it" in run("inspect", _NONE, code=1).out
    made = store.for_tenant("acme").create().id
    assert f"sojourn inspect --tenant acme {made}" in run("inspect", made, code=1).out
    assert run("inspect", "--tenant", "acme", made).out
    own = store.create().id
    client.hset(TenantKeys.of("default", store.settings.partitions).session(own), "tags", "{")
    assert "damaged" in run("inspect", own, code=5).out
    for wrong in ("x", "sjt_abc", "zzzz"):
        assert run("inspect", wrong, code=2).out == ""
