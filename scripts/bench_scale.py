"""What calls cost where few sessions live, and where many do: 10^3 of them, and ten times more at each step.

The many and the few are on two servers, which take turns; so what else the machine does meanwhile falls to both alike.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import redis
from rich.console import Console
from rich.table import Table

import scale_picture
from bench_calls import FIELDS, BenchSession
from bench_registry import Bench, Found, Option, Row, number, section
from sojourn import SessionStore
from sojourn.archive import archive_once, init
from sojourn.embedded import PostgresServer, RedisServer
from sojourn.operations.expiry import claim_due
from sojourn.settings import Settings

__all__ = ["AIMS", "FEWEST", "run"]

FEWEST: Final = 1_000
CALLS: Final = 100
"""Gets, updates, creates and claims in a round; what the last three touched makes the archive's batch."""
PAGES: Final = 5
OWNED: Final = 200
"""Sessions of one owner."""
AIMS: Final = {
    "get": 1.5, "update": None, "create": None, "claim, 50 in a sweep": 1.5, "archive, a batch of 200": 1.5,
    "list, the first 100": 2.0, "list, 100 in the middle": 2.0, "list, 100 of an owner": 2.0,
    "list, 100 by tag and field": 2.0,
}  # fmt: skip
"""How many times the same at 10^3 each may take at 10^6; None where nothing is asked for."""
_TENANT: Final = "scale"
_SWEEP: Final = 50
_TTL_S: Final = 86_400
_DUE_S: Final = 0.05
_FILL: Final = 500
_FILLERS: Final = 2
_SAMPLE: Final = 2_000
_LONGEST_VALUE: Final = "1024"

console = Console()


def fields(number: int) -> dict[str, Any]:
    """Those of the session of that number: a fourth of the sessions have the tag and the region that is listed."""
    of_number = {
        "owner": f"owner-{number // OWNED}",
        "tags": ["one", "two"] if number % 2 else ["two"],
        "region": "eu-west-1" if number // 2 % 2 else "us-east-1",
    }
    return FIELDS | of_number


@dataclass
class Crowd:
    """Sessions on a Redis and in an archive of their own."""

    settings: Settings
    count: int = 0
    ids: list[str] = field(default_factory=list)
    """Of some of them, taken evenly."""

    def __post_init__(self) -> None:
        self.store = SessionStore(model=BenchSession, settings=self.settings, tenant=_TENANT)
        self.redis: Any = redis.Redis.from_url(self.settings.redis_url, decode_responses=True)
        self.keys = self.store._context.keys  # noqa: SLF001
        init(self.settings.archive_url or "")
        self.archive()  # joins the outbox

    def close(self) -> None:
        """Close the connections."""
        self.store.close()
        self.redis.close()

    def archive(self) -> int:
        """Archive all that changed; how many sessions that was."""
        report = archive_once(self.settings, max_seconds=3_600)
        if not report.complete or report.damaged:
            raise RuntimeError(f"not all was archived: {report}")
        return report.sessions

    def fill(self, count: int) -> float:
        """Have so many sessions, all of them archived; the seconds that it took."""
        started = time.perf_counter()
        step = max(_FILL, -(-(count - self.count) // _FILLERS))
        parts = [(self.settings.redis_url, at, min(at + step, count)) for at in range(self.count, count, step)]
        if len(parts) == 1:
            self.ids += _fill(*parts[0])
        elif parts:
            with ProcessPoolExecutor(len(parts), multiprocessing.get_context("spawn")) as pool:
                for ids in pool.map(_fill, *zip(*parts, strict=True)):
                    self.ids += ids
        self.count = count
        random.Random(count).shuffle(self.ids)  # noqa: S311 - the same ones in each run
        del self.ids[_SAMPLE:]
        self.archive()
        return time.perf_counter() - started

    def due(self) -> int:
        """How many are past their deadline, and not claimed yet."""
        seconds, micros = self.redis.time()
        return int(self.redis.zcount(self.keys.partition.deadlines, "-inf", seconds * 1000 + micros // 1000))

    def middle(self) -> Any:
        """When the session in the middle of all was created."""
        index = self.keys.status_index("bench", "pending")
        ((session_id, _),) = self.redis.zrange(index, self.count // 2, self.count // 2, withscores=True)
        return self.store.get(session_id).created_at


def _fill(url: str, start: int, stop: int) -> list[str]:
    """Create the sessions of these numbers; some of their ids."""
    settings = Settings(redis_url=url)
    ids: list[str] = []
    with SessionStore(model=BenchSession, settings=settings, tenant=_TENANT) as store:
        for at in range(start, stop, _FILL):
            batch = [fields(number) for number in range(at, min(at + _FILL, stop))]
            ids += [each.id for each in store.create_many(batch, ttl=_TTL_S)]
    return ids[:: max(1, len(ids) // _SAMPLE)]


@section(
    "scale",
    Option("largest", 1_000_000, "sessions of the largest crowd"),
    Option("scale-picture", "", "file to draw it into, as SVG or PNG"),
    alone=True,
)
def run(bench: Bench) -> Found:
    """What calls cost among 10^3 sessions, and among ten times more at each step."""
    rows: list[Row] = []
    costs: dict[str, dict[int, float]] = {name: {} for name in AIMS}
    with _crowd(bench.options.redis) as few, _crowd(bench.options.redis) as many:
        few.fill(FEWEST)
        count = FEWEST
        while count <= bench.options.largest:
            took_s = many.fill(count)
            bytes_each = many.redis.info("memory")["used_memory"] / count
            console.print(f"{count:,} sessions: made and archived in {took_s:.0f} s, {bytes_each:.0f} bytes each")
            for row, name in zip(_measured(few, many, bench.rounds), AIMS, strict=True):
                rows.append(row)
                costs[name][count] = row.measured
            count *= 10
    if bench.options.scale_picture:
        scale_picture.draw(costs, Path(bench.options.scale_picture))
    return Found(rows, costs, [_table(costs)])


def _table(costs: dict[str, dict[int, float]]) -> Table:
    sizes = list(next(iter(costs.values())))
    table = Table("times its cost among 10^3", *(f"{size:,}" for size in sizes))
    for name, by_size in costs.items():
        table.add_row(name, *(number(by_size[size]) for size in sizes))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


@contextlib.contextmanager
def _crowd(executable: str | None) -> Iterator[Crowd]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sojourn-bench-")))
        chosen = executable or shutil.which("redis-server")
        server = stack.enter_context(RedisServer.start(folder / "redis", executable=chosen))
        database = stack.enter_context(PostgresServer.start(folder / "postgres", durable=True))
        settings = Settings(redis_url=server.url, archive_url=database.url, retention=0, events_cap=10**9)
        crowd = Crowd(settings)
        stack.callback(crowd.close)
        crowd.redis.config_set(str(next(iter(crowd.redis.config_get("hash-max-*-value")))), _LONGEST_VALUE)
        yield crowd


def _measured(few: Crowd, many: Crowd, rounds: int) -> list[Row]:
    """Rounds of each kind of work on both sides in turn; the first warms up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in AIMS}
    for index in range(rounds + 1):
        works = _works(few, index), _works(many, index)
        for name in AIMS:
            first, second = works if index % 2 else reversed(works)
            taken = first[name](), second[name]()
            if index:
                times[name].append(taken if index % 2 else taken[::-1])
    return [_row(name, many.count, taken) for name, taken in times.items()]


def _row(name: str, count: int, taken: list[tuple[float, float]]) -> Row:
    few_us, many_us = (1e6 * statistics.median(each) for each in zip(*taken, strict=True))
    details = {f"among {count}, us": many_us, f"among {FEWEST}, us": few_us}
    ratios = [theirs / ours for ours, theirs in taken]
    return Row(f"{name}, among {count:,}", f"the same among {FEWEST:,}", ratios, at_most=AIMS[name], details=details)


def _works(crowd: Crowd, index: int) -> dict[str, Callable[[], float]]:
    """What tells the seconds of one call of each kind, to be called in the order of `AIMS`.

    What a round creates it claims and archives, and then it is gone: there are as many sessions as before.
    """
    store, middle = crowd.store, crowd.middle()
    turn = random.Random(index)  # noqa: S311 - the same ones in each run
    some = turn.sample(crowd.ids, CALLS)
    owner = f"owner-{turn.randrange(crowd.count // OWNED)}"
    wanted = {"region": "eu-west-1"}
    sweep = claim_due(store._context, crowd.keys.partition, _SWEEP, archived=True)  # noqa: SLF001

    created: list[str] = []

    def create(number: int) -> None:
        created.append(store.create(ttl=_TTL_S, **fields(number)).id)

    def claims() -> float:
        for each in created:
            store.set_ttl(each, _DUE_S)
        while crowd.due() < CALLS:
            time.sleep(0.01)  # the clock alone brings it about
        claimed, more, began = 0, True, time.perf_counter()
        while more and claimed < CALLS:  # a step ends by time, too
            swept = store._execute(sweep)  # noqa: SLF001
            claimed, more = claimed + swept.expired, swept.more
        taken = (time.perf_counter() - began) * _SWEEP / CALLS
        _hold(claimed, CALLS)
        return taken

    def archives() -> float:
        archived: list[int] = []
        taken = _each(lambda _: archived.append(crowd.archive()), range(1))
        _hold(sum(archived), 2 * CALLS)
        return taken

    works: list[Callable[[], float]] = [
        lambda: _each(store.get, some),
        lambda: _each(lambda each: store.update(each, step=index + 1), some),
        lambda: _each(create, range(CALLS)),
        claims,
        archives,
        lambda: _each(lambda _: store.list(), range(PAGES)),
        lambda: _each(lambda _: store.list(created_before=middle), range(PAGES)),
        lambda: _each(lambda _: store.list(owner=owner), range(PAGES)),
        lambda: _each(lambda _: store.list(tag="one", where=wanted), range(PAGES)),
    ]
    return dict(zip(AIMS, works, strict=True))


def _hold(found: int, expected: int) -> None:
    if found != expected:
        raise RuntimeError(f"{found} sessions were dealt with, of {expected}")


def _each(call: Callable[[Any], object], inputs: Any) -> float:
    started = time.perf_counter()
    for each in inputs:
        call(each)
    return (time.perf_counter() - started) / len(inputs)
