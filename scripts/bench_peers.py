"""Other session stores and ours in one run: the same sessions, the same Redis, gets and updates by 1 and by 50 clients.

Each runs in a process of its own, as its users run it: blocking ones in threads, the others in tasks of one event loop.
They take turns; while one works the others wait. An update changes three fields of a session of which the id is known:
most have to read the session for that, and write it back whole. A save is the write alone, of a session that was read
before; it has no aim, and is told because it is the most that there is in their favour. Ours is compared
to those of its kind.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from rich.table import Table

from _bootstrap import BootstrapError
from _peers_setup import PEERS, Node, PeerEnvironment, cache_folder
from bench_calls import CHANGES, FIELDS
from bench_registry import TIMES_ITS_RATE, Bench, Found, Option, Row, section
from sojourn.embedded import PostgresServer

__all__ = ["ALL", "CASES", "OURS", "Peer", "compare", "running"]

CLIENTS: Final = (1, 50)
CASES: Final = tuple((what, clients) for clients in CLIENTS for what in ("get", "update", "save"))
SESSIONS: Final = 200


@dataclass(frozen=True)
class Peer:
    """A session store that is measured."""

    name: str
    adapter: str
    kind: str
    """What its clients are: `threads`, or `tasks`."""
    less: str = ""
    """What it does not do that ours does in the same calls, in a few words."""
    arguments: Sequence[str] = ()
    needs_postgres: bool = False
    behind_at: Sequence[int] = CLIENTS
    """The numbers of clients at which we are to be ahead."""

    @property
    def is_ours(self) -> bool:
        """Whether it runs in our own environment."""
        return self.adapter.startswith("sojourn_")


_WHOLE: Final = "No version check (the last save wins), the whole record in each save, no index, no event, no model."
OURS: Final = (
    Peer("Sojourn, tasks", "sojourn_tasks", "tasks"),
    Peer("Sojourn, threads", "sojourn_threads", "threads"),
)
ALL: Final = (
    *OURS,
    Peer("starsessions", "starsessions_tasks", "tasks", _WHOLE),
    Peer("openai-agents RedisSession", "openai_agents_tasks", "tasks",
         "A list of items: an update can only add one. No version check, no index, no event, no model."),
    Peer("google-adk DatabaseSessionService", "google_adk_tasks", "tasks",
         "A check for stale sessions and an event, in PostgreSQL. No index by field, no expiry, no model of the state.",
         needs_postgres=True),
    Peer("connect-redis (Node)", "connect_redis_tasks.mjs", "tasks", _WHOLE, behind_at=(50,)),
    Peer("Flask-Session", "flask_session_threads", "threads", _WHOLE),
    Peer("Django, cache", "django_threads", "threads", _WHOLE, ("cache",)),
    Peer("Django, cached_db", "django_threads", "threads", _WHOLE + " Writes to PostgreSQL as well.", ("cached_db",),
         needs_postgres=True),
)  # fmt: skip


@dataclass
class Running:
    """The process of a peer, and what it did in each round of each case."""

    peer: Peer
    process: subprocess.Popen[str]
    to: IO[str]
    of: IO[str]
    errors: Path
    versions: dict[str, str] = field(default_factory=dict)
    rates: dict[tuple[str, int], list[float]] = field(default_factory=dict)

    def ask(self, **values: Any) -> Any:
        """Send a line, and return the answer.

        Raises:
            ChildProcessError: it ended instead; the message is the last that it said.
        """
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it said tells why
            self.to.write(json.dumps(values) + "\n")
            self.to.flush()
        line = self.of.readline()
        if not line:
            self.process.wait()
            said = self.errors.read_text("utf-8", "replace").strip().splitlines()
            raise ChildProcessError(said[-1] if said else f"it ended with status {self.process.returncode}")
        return json.loads(line)


@section(
    "peers",
    Option("peer-seconds", 0.3, "seconds that each works in each round of each case"),
    Option("peer-rounds", 5, "rounds"),
    alone=True,
)
def compare(bench: Bench) -> Found:
    """Other session stores, beside ours."""
    return measure(bench.url, ALL, int(bench.options.peer_rounds), bench.options.peer_seconds)


def measure(url: str, peers: Sequence[Peer], rounds: int, seconds: float) -> Found:
    """Run these; those that cannot be are left out, with the reason."""
    left_out: dict[str, str] = {}
    with running(url, peers, left_out) as all_of_them:
        for index in range(rounds + 1):
            for what, clients in CASES:
                for each in [one for one in all_of_them if one.peer.name not in left_out]:
                    try:
                        did = each.ask(do=what, clients=clients, seconds=seconds)
                    except ChildProcessError as error:
                        left_out[each.peer.name] = str(error)
                        continue
                    if index:  # the first round warms up
                        each.rates.setdefault((what, clients), []).append(did["calls"] / did["seconds"])
    done = [each for each in all_of_them if each.peer.name not in left_out]
    detail = {
        "peers": [
            {
                "name": each.peer.name, "kind": each.peer.kind, "less": each.peer.less, "versions": each.versions,
                "rates": [{"do": what, "clients": n, "per_s": rates} for (what, n), rates in each.rates.items()],
            }
            for each in done
        ],
        "left_out": left_out,
    }  # fmt: skip
    return Found(rows(done), detail, [table(done), *(f"left out: {name}: {why}" for name, why in left_out.items())])


@contextlib.contextmanager
def running(url: str, peers: Sequence[Peer], left_out: dict[str, str]) -> Iterator[list[Running]]:
    """Their processes, ready to work; why one is not goes into `left_out`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sojourn-peers-")))
        database = None
        if any(each.needs_postgres for each in peers):
            database = stack.enter_context(
                PostgresServer.start(folder / "postgres", durable=False, max_connections=200)
            )
        found = []
        for number, peer in enumerate(peers):
            try:
                found.append(stack.enter_context(_started(peer, folder / f"{number}.errors")))
            except BootstrapError as error:
                left_out[peer.name] = str(error)
        for each in found:
            own = database.create_database(f"peer{found.index(each)}") if database and each.peer.needs_postgres else ""
            try:
                answer = each.ask(
                    redis=url, postgres=own, payload=FIELDS, changes=CHANGES, sessions=SESSIONS, clients=max(CLIENTS)
                )
            except ChildProcessError as error:
                left_out[each.peer.name] = str(error)
            else:
                each.versions = answer["ready"]
        yield found


@contextlib.contextmanager
def _started(peer: Peer, errors: Path) -> Iterator[Running]:
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen(  # noqa: S603 - our own command
            _command(peer), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stack.enter_context(errors.open("w")),
            text=True, cwd=PEERS.parent, env=os.environ | {"PYTHONPATH": str(PEERS.parent)},
        )  # fmt: skip
        stack.callback(_ended, process)
        to, of = process.stdin, process.stdout
        if to is None or of is None:
            raise RuntimeError("no pipes")
        stack.enter_context(of)
        stack.callback(_closed, to)  # the end of the input is the end of its work
        yield Running(peer, process, to, of, errors)


def _closed(pipe: IO[str]) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def _ended(process: subprocess.Popen[str]) -> None:
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _command(peer: Peer) -> list[str]:
    """How it is run; installs what that needs.

    Raises:
        BootstrapError: it cannot be installed.
    """
    if peer.adapter.endswith(".mjs"):
        node = Node(cache_folder() / "peers-node")
        return [node.node, str(PEERS / peer.adapter), str(node.path)]
    python = sys.executable
    if not peer.is_ours:
        environment = PeerEnvironment(cache_folder() / "peers-venv")
        environment.ensure()
        python = str(environment.python)
    return [python, "-m", f"peers.{peer.adapter}", *peer.arguments]


def rows(done: Sequence[Running]) -> list[Row]:
    """Ours, held against each of the same kind."""
    ours = {each.peer.kind: each for each in done if each.peer.is_ours}
    found = []
    for each in done:
        if each.peer.is_ours or each.peer.kind not in ours:
            continue
        for (what, clients), rates in each.rates.items():
            own = ours[each.peer.kind].rates[what, clients]
            found.append(
                Row(
                    f"{what}, {clients} {each.peer.kind if clients > 1 else each.peer.kind[:-1]}", each.peer.name,
                    [a / b for a, b in zip(own, rates, strict=True)], TIMES_ITS_RATE,
                    at_least=1.0 if clients in each.peer.behind_at and what != "save" else None,
                    details={"ours, /s": statistics.median(own), "its, /s": statistics.median(rates)},
                )
            )  # fmt: skip
    return found


def table(done: Sequence[Running]) -> Table:
    """What each did in a second."""
    made = Table(
        "session store", "clients are", *(f"{what}, {clients}, /s" for what, clients in CASES), "what it does less"
    )
    for each in done:
        made.add_row(
            each.peer.name, each.peer.kind, *(f"{statistics.median(each.rates[case]):,.0f}" for case in CASES),
            each.peer.less,
        )  # fmt: skip
    return made
