"""The picture of cost against size: how many times longer each kind of work takes among more sessions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw", "figure_of"]


def draw(costs: Mapping[str, Mapping[int, float]], path: Path) -> None:
    """Draw a line for each kind of work, by number of sessions, into a file: SVG or PNG by its name."""
    from matplotlib import rc_context  # only who draws needs it

    with rc_context({"svg.hashsalt": "sojourn"}):  # names within it that are the same each time
        figure_of(costs).savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)


def figure_of(costs: Mapping[str, Mapping[int, float]]) -> Figure:
    """The picture, not yet in a file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, by_size in costs.items():
        axes.plot(list(by_size), list(by_size.values()), marker="o", markersize=3, linewidth=1.4, label=name)
    axes.axhline(1.0, color="0.4", linestyle=":")
    axes.set(xscale="log", ylim=(0, None), xlabel="sessions", ylabel="times the cost among the fewest")
    axes.grid(visible=True, color="0.9")
    axes.legend(fontsize="small", ncols=2, loc="lower right")
    return figure
