"""The picture of the latencies: how long a share of the calls took at most, up to the slowest few."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from load_histogram import Histogram

__all__ = ["draw"]

_TICKS: Final = {1: "0", 10: "90 %", 100: "99 %", 1_000: "99.9 %", 10_000: "99.99 %", 100_000: "99.999 %"}


def draw(latencies: Mapping[str, Histogram], limit_ms: float, title: str, path: Path) -> None:
    """Draw a line for each operation into a file, PNG or SVG by its name."""
    from matplotlib.figure import Figure  # only who draws needs it

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for name, histogram in latencies.items():
        points = [(1 / max(1 - share, 0.5 / histogram.total), us / 1000) for share, us in histogram.spectrum()]
        axes.plot([x for x, _ in points], [y for _, y in points], label=name, linewidth=1.4)
    axes.axhline(limit_ms, color="0.4", linestyle=":")
    axes.axvline(100, color="0.8", linewidth=0.8)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="share of the calls",
        ylabel="ms from the planned moment, at most",
        title=title,
    )
    axes.set_xticks(list(_TICKS), list(_TICKS.values()))
    axes.minorticks_off()
    axes.grid(visible=True, color="0.9")
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=120)
