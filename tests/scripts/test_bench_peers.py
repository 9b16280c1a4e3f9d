"""Other session stores beside ours: those that need nothing more are run; who cannot be is left out, and told of."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import _bench
import bench_peers
from bench_peers import ALL, CASES, OURS, Peer, Running, measure
from bench_registry import load
from peers.protocol import Tasked, Threaded, serve

PEERS = Path(bench_peers.__file__).parent / "peers"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An empty Redis."""
    with _bench.server(None) as started:
        yield started


def test_ours_run_as_the_others_do(url: str) -> None:
    """Threads and tasks, each case; a peer that is not to be had is left out with the reason."""
    absent = Peer("Absent", "sojourn_of_no_kind", "tasks", "everything")
    found = measure(url, [*OURS, absent], rounds=1, seconds=0.02)
    assert [each["name"] for each in found.detail["peers"]] == ["Sojourn, tasks", "Sojourn, threads"]
    for each in found.detail["peers"]:
        assert {(rate["do"], rate["clients"]) for rate in each["rates"]} == set(CASES)
        assert all(rate["per_s"][0] > 0 for rate in each["rates"])
        assert each["versions"]["redis"]
    assert "sojourn_of_no_kind" in found.detail["left_out"]["Absent"]
    assert any("left out: Absent" in str(each) for each in found.tables)
    assert not found.rows  # there is nobody to be held against


def of(peer: Peer, rate: float) -> Running:
    """A peer that did so much in each case."""
    nobody: Any = None
    return Running(peer, nobody, nobody, nobody, Path(), rates={case: [rate, rate] for case in CASES})


def test_each_peer_is_held_against_ours_of_its_kind() -> None:
    """Gets and updates are to be faster; saves are told only, and so is connect-redis with one client."""
    named = {each.name: each for each in ALL}
    done = [of(OURS[0], 300), of(OURS[1], 200), of(named["connect-redis (Node)"], 100), of(named["Flask-Session"], 400)]
    rows = {(row.against, row.work): row for row in bench_peers.rows(done)}
    assert rows["connect-redis (Node)", "get, 50 tasks"].measured == 3
    assert rows["Flask-Session", "update, 1 thread"].measured == 0.5
    aims = {key: row.met for key, row in rows.items() if row.aim}
    assert aims == {
        ("connect-redis (Node)", "get, 50 tasks"): True, ("connect-redis (Node)", "update, 50 tasks"): True,
        ("Flask-Session", "get, 1 thread"): False, ("Flask-Session", "update, 1 thread"): False,
        ("Flask-Session", "get, 50 threads"): False, ("Flask-Session", "update, 50 threads"): False,
    }  # fmt: skip
    assert bench_peers.table(done).row_count == 4


def test_every_peer_has_an_adapter_and_says_what_it_does_less() -> None:
    """Or the comparison would not be fair."""
    for each in ALL:
        assert (PEERS / (each.adapter if "." in each.adapter else f"{each.adapter}.py")).is_file()
        assert each.is_ours or each.less.endswith(".")
    assert load()["peers"].alone


def test_requirements_are_names_and_versions() -> None:
    """No address, no digest: where they come from is the machine's business."""
    lines = [each for each in (PEERS / "requirements.txt").read_text().splitlines() if not each.startswith("#")]
    assert all(re.fullmatch(r"[a-z-]+(\[[a-z]+\])?>=[0-9.]+", each) for each in lines)
    assert all(re.fullmatch(r"[\^0-9. |]+", each) for each in json.loads((PEERS / "package.json").read_text())[
        "dependencies"].values())  # fmt: skip


class Noted:
    """What was called."""

    def __init__(self) -> None:
        self.calls: list[object] = []


class InThreads(Noted, Threaded):
    """A store that does nothing."""

    def begin(self, told: dict[str, Any]) -> list[str]:
        """Two sessions."""
        return ["a", "b"]

    def get(self, session_id: str) -> None:
        """Note it."""
        self.calls.append(session_id)

    def update(self, client: int) -> None:
        """Note it."""
        self.calls.append(client)

    def save(self, client: int) -> None:
        """Fail."""
        raise LookupError(client)


def test_the_protocol_counts_what_each_client_did() -> None:
    """Gets go round the sessions, updates go to each client's own."""
    store = InThreads()
    answers = ask(store, {"do": "get", "clients": 1, "seconds": 0.01}, {"do": "update", "clients": 3, "seconds": 0.01})
    assert answers[0] == {"ready": {}}
    gets = [each for each in store.calls if isinstance(each, str)]
    assert gets[:3] == ["a", "b", "a"]
    assert len(gets) == answers[1]["calls"]
    assert {each for each in store.calls if isinstance(each, int)} == {0, 1, 2}
    assert len(store.calls) == answers[1]["calls"] + answers[2]["calls"]


def test_a_call_that_fails_ends_it() -> None:
    """A store that does not do what it is asked is no measure."""
    with pytest.raises(LookupError):
        ask(InThreads(), {"do": "save", "clients": 2, "seconds": 0.01})


def ask(store: Threaded | Tasked, *orders: dict[str, Any]) -> list[Any]:
    """What it answers."""
    lines = [json.dumps(each) for each in ({"clients": 3}, *orders)]
    answers = io.StringIO()
    serve(store, io.StringIO("\n".join(lines)), answers)
    return [json.loads(line) for line in answers.getvalue().splitlines()]
