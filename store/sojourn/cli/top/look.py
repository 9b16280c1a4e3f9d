"""How one looks at it: sorted by what, filtered, grouped; and what each key changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # which the help page does without
    from sojourn.cli.top.model import Group, Row

__all__ = ["COLUMNS", "KEYS", "Look", "arranged", "pressed"]

COLUMNS: Final = (
    "name", "live", "pending", "in_progress", "overdue", "completed", "failed", "terminated", "expired", "deleted",
    "created_per_s", "ended_per_s", "memory_bytes",
)  # fmt: skip
"""What rows can be sorted by, in the order of the screen."""
KEYS: Final = (
    ("s, S", "sort by the next column, or the one before"),
    ("r", "reverse the order"),
    ("/", "filter by name; Enter ends it, Esc clears it"),
    ("t, k", "group by tenant, or by kind"),
    ("+, -", "look more often, or less often"),
    ("p", "pause"),
    ("h, ?", "this help"),
    ("q", "quit"),
)
_SHORTEST_S: Final = 0.25
_LONGEST_S: Final = 60.0
_LONGEST_FILTER: Final = 64
_BACKSPACE: Final = ("\x7f", "\x08")


@dataclass(frozen=True)
class Look:
    """What keys have changed so far."""

    sort: str = "live"
    ascending: bool = False
    filter: str = ""
    typing: bool = False
    """Whether keys are taken for the filter's text."""
    group: Group = "tenant"
    interval_s: float = 2.0
    paused: bool = False
    help: bool = False
    done: bool = False


def pressed(look: Look, key: str) -> Look:
    """What a key makes of it; unknown ones change nothing.

    Example:
        >>> pressed(pressed(Look(), "s"), "r").sort
        'pending'
    """
    if look.typing:
        return _typed(look, key)
    if look.help and key != "q":
        return replace(look, help=False)
    at = COLUMNS.index(look.sort)
    changes: dict[str, Look] = {
        "s": _sorted(look, COLUMNS[(at + 1) % len(COLUMNS)]),
        "S": _sorted(look, COLUMNS[at - 1]),
        "r": replace(look, ascending=not look.ascending),
        "/": replace(look, typing=True),
        "\x1b": replace(look, filter=""),
        "t": replace(look, group="tenant"),
        "k": replace(look, group="kind"),
        "+": replace(look, interval_s=max(_SHORTEST_S, look.interval_s / 2)),
        "-": replace(look, interval_s=min(_LONGEST_S, look.interval_s * 2)),
        "p": replace(look, paused=not look.paused),
        "h": replace(look, help=True),
        "?": replace(look, help=True),
        "q": replace(look, done=True),
    }
    return changes.get(key, look)


def _sorted(look: Look, column: str) -> Look:
    """Names are read from A on, numbers from the largest on."""
    return replace(look, sort=column, ascending=column == "name")


def _typed(look: Look, key: str) -> Look:
    if key in ("\r", "\n"):
        return replace(look, typing=False)
    if key == "\x1b":
        return replace(look, typing=False, filter="")
    if key in _BACKSPACE:
        return replace(look, filter=look.filter[:-1])
    if len(key) == 1 and key.isprintable() and len(look.filter) < _LONGEST_FILTER:
        return replace(look, filter=look.filter + key)
    return look


def arranged(rows: Sequence[Row], look: Look) -> list[Row]:
    """The rows that the filter lets through, in order; what is not known comes last."""

    def rank(row: Row) -> tuple[bool, float | str]:
        value = getattr(row, look.sort)
        if look.sort == "name":
            return False, row.name
        known = value is not None
        return not known, (value or 0) if look.ascending else -(value or 0)

    by_name = sorted((each for each in rows if look.filter.lower() in each.name.lower()), key=lambda each: each.name)
    if look.sort == "name":
        return by_name if look.ascending else by_name[::-1]
    return sorted(by_name, key=rank)
