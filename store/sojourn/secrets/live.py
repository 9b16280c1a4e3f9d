"""What is sealed in Redis: the sessions' records, which are moved, and the outbox, which is only counted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from sojourn.keys import PartitionKeys
from sojourn.operations.core import Operation
from sojourn.operations.sealed import Place, outbox_page, read_records, replace_texts, scan_sessions, size
from sojourn.sealing import key_of
from sojourn.secrets.mover import Mover, Seen

__all__ = ["count_outbox", "move_live", "texts_of"]

T = TypeVar("T")
Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]
Tell = Callable[[int, int | None], None]
_SCANNED: Final = 1_000
_READ: Final = 50
"""Records read at a time: each may hold megabytes."""
_EVENTS: Final = 500
_TRIES: Final = 5


def _run(execute: Execute, operations: Sequence[Operation[T]]) -> list[T]:
    if not operations:
        return []
    return [each.parse(own) for each, own in zip(operations, execute(operations), strict=True)]


def move_live(execute: Execute, mover: Mover, tenant: str | None, tell: Tell) -> None:
    """Go through all records there are.

    By the keys themselves, so that none is missed that an index does not list. Those that are created meanwhile may be
    passed over; they are sealed under the newest key, if those who create them have it.
    """
    done, total = 0, _run(execute, [size()])[0]
    cursor = "0"
    while True:
        ((cursor, places),) = _run(execute, [scan_sessions(cursor, tenant, _SCANNED)])
        # A key may be told twice within a page; twice in all only counts it twice.
        places = list(dict.fromkeys(places))
        for start in range(0, len(places), _READ):
            _move(execute, mover, places[start : start + _READ])
        done += _SCANNED
        tell(min(done, total), total)
        if cursor == "0":
            return


def _move(execute: Execute, mover: Mover, places: Sequence[Place]) -> None:
    first = _look(execute, mover, places)
    last = dict(first)
    for _ in range(_TRIES if mover.moves else 0):
        old = [each for each in places if last[each].old]
        if not old:
            break
        _run(execute, [replace_texts(each, mover.sealed(last[each], each[0].tenant, each[1])) for each in old])
        last.update(_look(execute, mover, old))
    for each in places:
        mover.count(first[each], last[each], "live", each[0].tenant, each[1])


def _look(execute: Execute, mover: Mover, places: Sequence[Place]) -> dict[Place, Seen]:
    records = _run(execute, [read_records(each) for each in places])
    return {
        place: mover.look(texts, texts.get("kind", ""), place[0].tenant, place[1])
        for place, texts in zip(places, records, strict=True)
    }


def count_outbox(
    execute: Execute, mover: Mover, partitions: Sequence[PartitionKeys], tenant: str | None, tell: Tell
) -> None:
    """Count what is sealed in the events that Redis still holds."""
    for number, partition in enumerate(partitions, 1):
        after = "0-0"
        while True:
            (page,) = _run(execute, [outbox_page(partition, after, _EVENTS)])
            for after, fields in page:  # noqa: B007 - the last one is where the next page begins
                if tenant in (None, fields.get("tenant")):
                    _count_event(mover, (fields.get("changes", ""), fields.get("before", "")))
            if len(page) < _EVENTS:
                break
        tell(number, len(partitions))


def _count_event(mover: Mover, told: Iterable[str]) -> None:
    for text in told:
        for each in texts_of(text).values():
            key = key_of(each)
            if key is not None:
                mover.report.count(key, "outbox")


def texts_of(told: str) -> dict[str, str]:
    """The values in a JSON object that are texts; none where it is no object."""
    if "sealed:" not in told:
        return {}
    try:
        found = json.loads(told)
    except (ValueError, RecursionError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, str)} if isinstance(found, dict) else {}
