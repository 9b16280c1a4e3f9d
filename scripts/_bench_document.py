"""docs/performance.md from docs/performance.json: the tables and pictures in it are as measured; README.md in short.

What stands between ``<!-- measured: NAME -->`` and ``<!-- end -->`` is written by `scripts/bench --document`; a test
holds the pages to the figures. Everything else on them is written by hand, and holds no figure of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

import _bench_pictures
from _bench_results import Results
from bench_registry import Row, load, number

__all__ = ["FIGURES", "PAGES", "filled", "write"]

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = (DOCS / "performance.md", ROOT / "README.md")
FIGURES: Final = DOCS / "performance.json"
_PART: Final = re.compile(r"(?P<mark><!-- measured: (?P<name>[\w -]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
_NOT_YET: Final = "Not measured yet.\n"
_OF_A_CORE: Final = 0.7
"""As much of a core as one plans with: the rest is for saving, replicas and the moments when all come at once."""


def write(results: Results) -> None:
    """Write the pages' tables, and the pictures."""
    for page in PAGES:
        page.write_text(filled(page.read_text("utf-8"), results), "utf-8")
    _bench_pictures.draw_all(results, DOCS / "images")


def filled(page: str, results: Results) -> str:
    """The page with these figures.

    Raises:
        ValueError: it asks for a part that there is not.
    """

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        if name in _PARTS:
            text = _PARTS[name](results)
        elif name in load():
            text = _table_of(results[name].rows) if name in results else _NOT_YET
        else:
            raise ValueError(f"the page asks for {name}, which nobody measures")
        return f"{found['mark']}\n{text}\n{found['end']}"

    return _PART.sub(part, page)


def _table(titles: Iterable[str], lines: Iterable[Iterable[str]], right: int) -> str:
    """A table whose columns from `right` on hold figures."""
    titles = list(titles)
    rule = ["---" if index < right else "---:" for index in range(len(titles))]
    return "".join(f"| {' | '.join(line)} |\n" for line in (titles, rule, *lines))


def _measured(row: Row) -> str:
    return f"{number(row.measured)} {row.unit}"


def _aim(row: Row) -> str:
    return row.aim.replace("<=", "≤").replace(">=", "≥")


def _table_of(rows: Iterable[Row]) -> str:
    """A section's rows, with what they came from."""
    rows = list(rows)
    details = list(dict.fromkeys(name for row in rows for name in row.details)) if len(rows) < 40 else []
    titles = ("work", "against", *map(_unit, details), "measured", "rounds from .. to")
    lines = [
        (
            row.work, row.against, *(number(row.details[name]) if name in row.details else "" for name in details),
            _measured(row), row.span,
        )
        for row in rows
    ]  # fmt: skip
    return _table(titles, lines, 2)


def _unit(name: str) -> str:
    return name.replace(", us", ", µs")


def _machine(results: Results) -> str:
    """What the figures were measured on; one line for each kind of machine or version among them."""
    machines: dict[str, list[str]] = {}
    for name, measured in results.items():
        facts = dict(measured.machine)
        cores = facts.pop("cores", "?")
        told = ", ".join(f"{fact} {value}" for fact, value in facts.items())
        machines.setdefault(f"{cores} cores; {told}", []).append(name)
    if len(machines) == 1:
        return f"{next(iter(machines))}.\n"
    return "".join(f"- {machine}: {', '.join(names)}\n" for machine, names in machines.items()) or _NOT_YET


def _aims(results: Results) -> str:
    """Every row that has an aim; other session stores have tables of their own."""
    said = {True: "yes", False: "**no**"}
    lines = [
        (row.work, row.against, _aim(row), _measured(row), row.span, said[row.met])
        for name in load()
        if name in results and name != "peers"
        for row in results[name].rows
        if row.met is not None
    ]
    return _table(("work", "against", "aim", "measured", "rounds from .. to", "met"), lines, 2) if lines else _NOT_YET


_IN_SHORT: Final = (
    "get", "update", "create", "async get, 50 tasks", "async update, 50 tasks", "async create, 50 tasks",
    "get_many, 100", "cached get, one process",
)  # fmt: skip


def _in_short(results: Results) -> str:
    """The few figures that most want to know."""
    rows = {row.work: row for measured in results.values() for row in measured.rows}
    lines = [(work, rows[work].against, _measured(rows[work])) for work in _IN_SHORT if work in rows]
    return _table(("work", "against", "measured"), lines, 2) if lines else _NOT_YET


def _peers(results: Results) -> str:
    """What each session store did in a second, and what it does less."""
    if "peers" not in results:
        return _NOT_YET
    detail = results["peers"].detail
    cases = [(rate["do"], rate["clients"]) for rate in detail["peers"][0]["rates"]]
    lines = [
        (
            each["name"], each["kind"],
            *(f"{median(rate['per_s']):,.0f}" for rate in each["rates"]),
        )
        for each in detail["peers"]
    ]  # fmt: skip
    text = _table(("calls a second", "clients are", *(f"{what}, {clients}" for what, clients in cases)), lines, 2)
    text += "\n" + "".join(f"- **{each['name']}** {_versions(each)}: {each['less']}\n" for each in _others(detail))
    text += "".join(f"- Left out: **{name}**: {why}\n" for name, why in detail["left_out"].items())
    return text


def _others(detail: Any) -> list[Any]:
    return [each for each in detail["peers"] if each["less"]]


def _versions(peer: Any) -> str:
    return f"({', '.join(f'{name} {version}' for name, version in peer['versions'].items())})"


def _peer_ratios(results: Results) -> str:
    """How many times each peer's rate ours is."""
    if "peers" not in results:
        return _NOT_YET
    by_peer: dict[str, dict[str, Row]] = {}
    for row in results["peers"].rows:
        case = re.sub(r" (task|thread)s?$", "", row.work)
        by_peer.setdefault(row.against, {})[case] = row
    cases = list(dict.fromkeys(case for rows in by_peer.values() for case in rows))
    lines = [(name, *(_judged(rows.get(case)) for case in cases)) for name, rows in by_peer.items()]
    return _table(("our rate in times that of", *cases), lines, 1)


def _judged(row: Row | None) -> str:
    if row is None:
        return ""
    return f"**{number(row.measured)}**" if row.met is False else number(row.measured)


def _scripts(results: Results) -> str:
    """What each script costs Redis."""
    if "server" not in results:
        return _NOT_YET
    lines = [
        (
            f"`{each['name']}`", *_beside(each, "typical_us", "floor_us"),
            *_beside(each, "typical_cpu_us", "floor_cpu_us"),
            _ratio(each["typical_cpu_us"], each["floor_cpu_us"]),
            number(each["largest_us"] / 1000) if each["case"] else "", each["case"],
        )
        for each in sorted(results["server"].detail, key=lambda each: str(each["name"]))
        if each["typical_us"] or each["case"]
    ]  # fmt: skip
    titles = (
        "script", "running, µs", "its commands, µs", "CPU of a call, µs", "CPU in MULTI, µs", "ratio", "largest, ms",
        "the largest",
    )  # fmt: skip
    return _table(titles, lines, 1)


def _beside(each: dict[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(number(each[name]) if each[name] else "" for name in names)


def _ratio(typical_us: float, floor_us: float) -> str:
    if not floor_us:
        return ""
    text = number(typical_us / floor_us)
    return f"**{text}**" if typical_us > 2 * floor_us else text


def _capacity_us(results: Results) -> dict[str, float]:
    """Redis's own microseconds of a call, by its name."""
    rows = results["capacity"].rows if "capacity" in results else []
    return {row.work.split(" of a ")[1].split(",")[0]: row.measured for row in rows if "50 tasks" in row.work}


LOADS: Final[Mapping[str, Mapping[str, float]]] = {
    "each of 1,000 new sessions a second read 10 times, changed 3 times and ended": {
        "create": 1_000, "get": 10_000, "update": 3_000, "complete": 1_000,
    },
    "10,000 people at work: 5,000 gets, 1,000 updates, 50 creates and ends a second": {
        "get": 5_000, "update": 1_000, "create": 50, "complete": 50,
    },
    "200 creates, 2,000 updates and 200 ends a second": {"create": 200, "update": 2_000, "complete": 200},
}  # fmt: skip
"""Calls a second."""


def _carried(results: Results) -> str:
    """What a core of Redis carries, and what part of one some loads take."""
    costs = _capacity_us(results)
    if not costs:
        return _NOT_YET
    lines = [
        (name, number(cost), f"{1e6 / cost:,.0f}", f"{_OF_A_CORE * 1e6 / cost:,.0f}") for name, cost in costs.items()
    ]
    text = _table(("call", "Redis's own time, µs", "fill one core, /s", f"{_OF_A_CORE:.0%} of it, /s"), lines, 1)
    loads = [
        (what, f"{sum(rate * costs[name] for name, rate in load_.items()) / 1e4:.0f} %")
        for what, load_ in LOADS.items()
    ]
    return text + "\n" + _table(("load", "of one core of Redis"), loads, 1)


def _took(results: Results) -> str:
    """How to measure each section again, and how long that takes."""
    sections = load()
    lines = [
        (
            f"`scripts/bench {'--' if sections[name].alone else ''}{name}`", sections[name].about,
            f"{results[name].took_s:.0f}" if name in results else "",
        )
        for name in sections
    ]  # fmt: skip
    return _table(("command", "what it tells", "took, s"), lines, 2)


_PARTS: Final[Mapping[str, Callable[[Results], str]]] = {
    "machine": _machine,
    "in short": _in_short,
    "aims": _aims,
    "session stores": _peers,
    "our rate": _peer_ratios,
    "scripts": _scripts,
    "carried": _carried,
    "took": _took,
}
