"""The pictures in docs/performance.md. Each holds a digest of the figures that it shows, so that a test can tell."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import scale_picture
from _bench_results import Results
from bench_registry import OF_ITS_TIME, TIMES_ITS_RATE, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "digest", "draw_all"]

OURS, THEIRS, RANGE, LIMIT = "#1b6ca8", "#b8c4ce", "#1b6ca8", "#c0392b"


def draw_all(results: Results, folder: Path) -> None:
    """Draw those whose figures there are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (shown, draw) in PICTURES.items():
        figures = shown(results)
        if figures:
            _save(draw(figures), folder / f"{name}.svg", digest(figures))


def digest(figures: Any) -> str:
    """What stands in a picture for the figures that it shows."""
    return "figures " + hashlib.sha256(json.dumps(figures, sort_keys=True).encode()).hexdigest()


def _save(figure: Figure, path: Path, description: str) -> None:
    import matplotlib

    # Text as text: small, to be searched, and in the reader's font. The same each time, and nothing of who drew it.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "sojourn", "font.family": "sans-serif"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None, "Description": description})


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _plain(axes: Axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _rates(results: Results) -> list[dict[str, Any]]:
    """Of each session store, what it did a second in each case."""
    if "peers" not in results:
        return []
    return [
        {
            "name": each["name"],
            "rates": {f"{rate['do']}, {rate['clients']}": statistics.median(rate["per_s"]) for rate in each["rates"]},
        }
        for each in results["peers"].detail["peers"]
    ]


def _draw_rates(stores: list[dict[str, Any]]) -> Figure:
    cases = [case for case in stores[0]["rates"] if not case.startswith("save")]
    figure = _figure(10, 0.55 + 2 * (0.5 + 0.26 * len(stores)))
    panels = figure.subplots(2, -(-len(cases) // 2), sharey=True, squeeze=False)
    names = [each["name"] for each in stores]
    for axes, case in zip(panels.flat, cases, strict=True):
        values = [each["rates"][case] for each in stores]
        colours = [OURS if name.startswith("Sojourn") else THEIRS for name in names]
        bars = axes.barh(range(len(names)), values, color=colours, height=0.7)
        axes.bar_label(bars, labels=[f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        what, clients = case.split(", ")
        axes.set_title(f"{what} by {clients} client{'s' if clients != '1' else ''}, a second", fontsize=10, loc="left")
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.set_xlim(0, max(values) * 1.18)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        _plain(axes)
    panels[0][0].invert_yaxis()
    return figure


def _ratios(results: Results) -> list[dict[str, Any]]:
    """Of the aims that are ratios, what was measured; times as they are, rates as the times that they mean."""
    return [
        _as_times(row)
        for name in ("calls", "async")
        for row in (results[name].rows if name in results else [])
        if row.met is not None and row.unit in (OF_ITS_TIME, TIMES_ITS_RATE)
    ]


def _as_times(row: Row) -> dict[str, Any]:
    aim = row.at_most if row.at_most is not None else row.at_least
    turned = row.unit == TIMES_ITS_RATE
    rounds = sorted(1 / each if turned else each for each in row.rounds)
    limit = None if aim is None else 1 / aim if turned else aim
    return {"work": row.work, "median": statistics.median(rounds), "rounds": [rounds[0], rounds[-1]], "limit": limit}


def _draw_ratios(rows: list[dict[str, Any]]) -> Figure:
    figure = _figure(8, 0.9 + 0.3 * len(rows))
    axes = figure.subplots()
    for index, row in enumerate(rows):
        low, high = row["rounds"]
        axes.plot([low, high], [index, index], color=RANGE, linewidth=2, solid_capstyle="butt", zorder=2)
        axes.plot([row["limit"]], [index], marker="|", markersize=15, markeredgewidth=2, color=LIMIT, zorder=1)
        axes.plot([row["median"]], [index], marker="o", markersize=6, color=OURS, zorder=3)
    axes.axvline(1.0, color="0.5", linewidth=1, linestyle=":")
    axes.set_yticks(range(len(rows)), [row["work"] for row in rows], fontsize=9)
    axes.set_xlim(0, max(1.3, *(row["median"] * 1.15 for row in rows)))
    axes.set_xlabel("time, in times what the bare client takes; line: rounds, bar: the aim", fontsize=9)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.invert_yaxis()
    _plain(axes)
    return figure


def _costs(results: Results) -> dict[str, dict[str, float]]:
    """Times its cost among the fewest, by kind of work and number of sessions."""
    return dict(results["scale"].detail) if "scale" in results else {}


def _draw_costs(costs: Mapping[str, Mapping[str, float]]) -> Figure:
    return scale_picture.figure_of({name: {int(n): cost for n, cost in each.items()} for name, each in costs.items()})


_SHARES: Final = ("p50_us", "p90_us", "p99_us", "p99.9_us")


def _latencies(results: Results) -> dict[str, list[float]]:
    """Milliseconds of each operation under load that half, nine tenths, 99 % and 99.9 % of its calls took at most."""
    operations = results["load"].detail["operations"] if "load" in results else {}
    return {name: [each[share] / 1000 for share in _SHARES] for name, each in operations.items()}


def _draw_latencies(latencies: Mapping[str, list[float]]) -> Figure:
    figure = _figure(8, 0.9 + 0.3 * len(latencies))
    axes = figure.subplots()
    for index, milliseconds in enumerate(latencies.values()):
        axes.plot(milliseconds, [index] * len(milliseconds), color=THEIRS, linewidth=2, zorder=1)
        for value, size, label in zip(milliseconds, (4, 5, 7, 9), ("50 %", "90 %", "99 %", "99.9 %"), strict=True):
            axes.plot([value], [index], marker="o", markersize=size, linestyle="", zorder=2,
                      color=LIMIT if label == "99 %" else OURS, label=label if index == 0 else None)  # fmt: skip
    axes.axvline(100, color="0.5", linewidth=1, linestyle=":")
    axes.set_xscale("log")
    axes.set_xlabel("ms from the planned moment, at most", fontsize=9)
    axes.set_yticks(range(len(latencies)), list(latencies), fontsize=9)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    axes.invert_yaxis()
    _plain(axes)
    return figure


PICTURES: Final[Mapping[str, tuple[Callable[[Results], Any], Callable[[Any], Figure]]]] = {
    "performance-calls": (_ratios, _draw_ratios),
    "performance-load": (_latencies, _draw_latencies),
    "performance-peers": (_rates, _draw_rates),
    "performance-scale": (_costs, _draw_costs),
}
"""What is shown, and how it is drawn, by the file's name."""
