"""A log on its way back from the archive: staged beside its session, a stretch at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, Final

from sojourn.archive.database import Connection, statement
from sojourn.archive.exact import from_jsonb
from sojourn.archive.rows import ARCHIVED, FIRST, KEEP
from sojourn.operations.core import Operation
from sojourn.operations.flows import Ask
from sojourn.operations.revival import stage

__all__ = ["Entries", "archived_entries", "stage_logs"]

Entries = Sequence[tuple[int, str]]
"""Positions and texts, in order."""
_AT_ONCE: Final = 500
"""An entry may take 64 KiB."""


def archived_entries(
    connection: Connection, tenant: str, session_id: str, log: str, start: int, newest: int | None
) -> Entries:
    """The next entries of an archived log from a position on; of the `newest` ones alone, if it is given."""
    values = {
        "tenant": tenant, "id": session_id, "log": log, "start": start, "newest": newest, "count": _AT_ONCE,
    }  # fmt: skip
    found = connection.execute(statement("get_entry_texts"), values)
    return [(position, from_jsonb(entry)) for position, entry in found]


def stage_logs(
    texts: Mapping[str, str], keys: Mapping[str, str], read: Callable[[str, int, int | None], Entries]
) -> Generator[Operation[Any] | Ask, Any, tuple[dict[str, str], dict[str, str]]]:
    """Stage a record's logs.

    A list in Redis has no gaps. The archive may hold a bounded log with some; what is behind the last one comes back.

    Args:
        texts: the record.
        keys: where each log is to be staged.
        read: reads entries: of which log, from which position on, of how many newest.

    Returns:
        The keys of those logs of which there are any entries, and what the record is to say of them.
    """
    staged: dict[str, str] = {}
    told: dict[str, str] = {}
    for log, key in keys.items():
        keep = texts.get(KEEP + log, "")
        newest = int(keep) if keep.isascii() and keep.isdecimal() and len(keep) < 10 else None  # else other hands' work
        first = end = 0
        while entries := (yield Ask(partial(read, log, end, newest))):
            run = _after_the_last_gap(entries)
            begins = log not in staged or run[0][0] != end
            yield stage(key, [text for _, text in run], first=begins)
            first = run[0][0] if begins else first
            end = run[-1][0] + 1
            staged[log] = key
        if log in staged:
            told[ARCHIVED + log] = str(end)
            if first:
                told[FIRST + log] = str(first)
    return staged, told


def _after_the_last_gap(entries: Entries) -> Entries:
    for index in range(len(entries) - 1, 0, -1):
        if entries[index][0] != entries[index - 1][0] + 1:
            return entries[index:]
    return entries
