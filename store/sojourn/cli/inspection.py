"""How an inspection looks: pure, so that the pictures in the docs are drawn by the same code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sojourn.cli.terminal import Cell
from sojourn.cli.words import both, duration

if TYPE_CHECKING:
    from sojourn.inspection import Inspection, Item

__all__ = ["lines"]

_STYLES: Final = {
    "live": "green", "overdue": "yellow", "ended": "blue", "archived": "blue", "damaged": "red", "missing": "red",
}  # fmt: skip
_TOLD: Final = {
    "live": "live", "overdue": "past its deadline, which no worker has noticed yet", "ended": "ended",
    "archived": "no longer in Redis, but in the archive", "damaged": "damaged",
    "missing": "neither in Redis nor archived",
}  # fmt: skip
_DIM: Final = "bright_black"
_WIDTH: Final = 34
_LONGEST: Final = 100
_MOMENT: Final = re.compile(r"[12][0-9]{12}(?:\.[0-9]+)?")
"""Milliseconds since the epoch, from 2001 to 2065."""


def lines(found: Inspection) -> Iterator[list[Cell]]:
    """The lines for people: each thing, and below it the line for a shell that shows the same."""
    yield [
        Cell(found.session_id, "cyan"),
        Cell(f"of tenant {found.tenant}:"),
        Cell(_TOLD[found.state], _STYLES[found.state]),
        *([Cell(f"({found.status}, version {found.version})")] if found.status else []),
    ]
    part, now = "", datetime.fromtimestamp(found.at_ms / 1000, UTC)
    for each in found.items:
        if each.part != part:
            part = each.part
            yield [Cell("")]
            yield [Cell(part, "cyan")]
        yield from _item(each, now)
    yield [Cell("")]
    for told in found.unseen:
        yield [Cell(f"not seen: {told}", "yellow")]
    if found.now_id is not None:
        yield [Cell(f"the session goes on as {found.now_id}: sojourn inspect {found.now_id}")]
    for tenant in found.elsewhere:
        yield [Cell(f"tenant {tenant} has one of that id: sojourn inspect --tenant {tenant} {found.session_id}")]
    yield [_verdict(found)]


def _verdict(found: Inspection) -> Cell:
    if not found.items:
        return Cell("there is nothing of it", "red")
    if found.drift:
        return Cell(f"{len(found.drift)} of {len(found.items)} things are not as they should be", "red")
    return Cell(f"all {len(found.items)} things are as they should be", "green")


def _item(item: Item, now: datetime) -> Iterator[list[Cell]]:
    stays = "" if item.ttl_ms is None else f"for {duration(timedelta(seconds=round(item.ttl_ms / 1000)))}"
    if isinstance(item.value, dict) and item.part in ("record", "limits", "tokens"):
        yield [Cell(f"  {item.what:<{_WIDTH}}"), Cell(f"{len(item.value)} fields"), *([Cell(stays)] if stays else [])]
        for name, value in item.value.items():
            yield [Cell(f"    {name:<{_WIDTH - 2}}"), Cell(_brief(value, now))]
    else:
        yield [Cell(f"  {item.what:<{_WIDTH}}"), Cell(_brief(item.value, now)), *([Cell(stays)] if stays else [])]
    if item.drift:
        yield [Cell(f"    DRIFT: {item.drift}", "red")]
    yield [Cell(f"    $ {item.command}", _DIM)]
    if stays and item.ttl_command is not None:
        yield [Cell(f"    $ {item.ttl_command}", _DIM)]


def _brief(value: Any, now: datetime) -> str:
    """A value on one line; a moment is told in words, too."""
    if value is None:
        return "nothing"
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return f"{value}  {both(datetime.fromtimestamp(float(value) / 1000, UTC), now)}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
