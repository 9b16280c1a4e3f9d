"""Putting archived sessions back into Redis: what `rehydrate` does with many, and an archive run with a few."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final

from sojourn.archive.database import Connection, statement
from sojourn.archive.exact import from_jsonb
from sojourn.archive.rows import rows_json, session_key
from sojourn.archive.staging import archived_entries, stage_logs
from sojourn.codec import Models
from sojourn.errors import SojournError
from sojourn.keys import Homes, TenantKeys, check_id, check_tenant
from sojourn.models import LIVE
from sojourn.operations.core import Operation, all_of
from sojourn.operations.flows import Ask
from sojourn.operations.homes import homes
from sojourn.operations.revival import guard, new_token, rehydrate
from sojourn.settings import Settings

__all__ = ["Execute", "Loader", "Row"]

Execute = Callable[[Sequence[Operation[Any]]], list[list[Any]]]
Row = tuple[str, str, dict[str, str]]
"""Tenant, id, and the texts of the record's hash."""

_TRIES: Final = 3


class Loader:
    """Puts sessions back as the archive holds them, and never over something newer.

    Args:
        settings: the settings.
        execute: executes operations on Redis.
        connection: to the archive, in autocommit mode.
        actor: who, for the events.
        dry_run: change nothing, and tell what would become of each.
    """

    def __init__(
        self, settings: Settings, execute: Execute, connection: Connection, actor: str, *, dry_run: bool = False
    ) -> None:
        self._settings = settings
        self._dry_run = dry_run
        self._execute = execute
        self._connection = connection
        self._context = settings.context(Models([]), actor=actor, trace=settings.trace_id)
        self._token = new_token()
        self._read_at_ms = 0
        self._homes = Homes(settings.partitions)

    def read(self, name: str, **values: Any) -> list[Row]:
        """The sessions that the statement `name` finds; `load` them within a minute."""
        where = homes(self._settings.partitions)
        self._homes = where.parse(self._execute([where])[0])
        if not self._dry_run:
            operation = guard(self._homes.partitions)
            self._read_at_ms = operation.parse(self._execute([operation])[0])
        found = self._connection.execute(statement(name), values)
        return [
            (tenant, str(session_id), {field: from_jsonb(text) for field, text in (stored or {}).items()})
            for tenant, session_id, stored in found
        ]

    def named(self, keys: Iterable[tuple[str, str]]) -> list[Row]:
        """Sessions by tenant and id; those that the archive does not hold are left out."""
        return self.read("named_sessions", keys=rows_json([session_key(*each) for each in keys]))

    def load(self, rows: Sequence[Row]) -> list[str]:
        """Put sessions back; what became of each (see ``lua/rehydrate_session.lua``).

        Raises:
            StoreUnavailable, StoreFull: Redis could not take them all; do it again.
            psycopg.Error: the archive could not be read.
        """
        if self._dry_run:
            return self._foreseen(rows)
        outcomes = self._load(rows)
        for _ in range(_TRIES):
            again = [index for index, outcome in enumerate(outcomes) if outcome in ("outdated", "unstaged")]
            if not again:
                return outcomes
            # Of one that ended, and was archived and removed, after it was read, the archive tells that now.
            known = {row[:2]: row for row in self.named(rows[index][:2] for index in again)}
            fresh = self._load([known.get(rows[index][:2], rows[index]) for index in again])
            for index, outcome in zip(again, fresh, strict=True):
                outcomes[index] = outcome
        return ["damaged" if each in ("outdated", "unstaged") else each for each in outcomes]

    def _load(self, rows: Sequence[Row]) -> list[str]:
        outcomes = ["damaged"] * len(rows)
        sound = [index for index, row in enumerate(rows) if _is_named(row)]
        # Most have no logs to stage, or are there already; the script tells which are to be staged first.
        first = self._put([(rows[index], {name: self._key(rows[index], name) for name in _logs(rows[index])})
                           for index in sound])  # fmt: skip
        for index, outcome in zip(sound, first, strict=True):
            outcomes[index] = self._with_logs(rows[index]) if outcome == "unstaged" else outcome
        return outcomes

    def _foreseen(self, rows: Sequence[Row]) -> list[str]:
        """What would become of them, by the script itself: told that they were read long ago, it writes nothing.

        Of ended ones it would remove older live states, so those are not put to it.
        """
        put = [index for index, row in enumerate(rows) if _is_named(row) and row[2].get("status") in LIVE]
        told = dict(zip(put, self._put([(rows[index], {}) for index in put]), strict=True))
        held = self._held([rows[index] for index in put])
        outcomes = ["ended" if _is_named(row) else "damaged" for row in rows]
        for index, is_held in zip(put, held, strict=True):
            would = "replaced" if is_held else "loaded"
            outcomes[index] = would if told[index] in ("outdated", "unstaged") else told[index]
        return outcomes

    def _held(self, rows: Sequence[Row]) -> list[bool]:
        looks = [all_of((("EXISTS", self._keys(tenant).session(session_id)),)) for tenant, session_id, _ in rows]
        return [bool(look.parse(own)[0]) for look, own in zip(looks, self._execute(looks), strict=True)]

    def _with_logs(self, row: Row) -> str:
        keys, told = self._stage(row)
        tenant, session_id, texts = row
        return self._put([((tenant, session_id, texts | told), keys)])[0]

    def _put(self, rows: Sequence[tuple[Row, dict[str, str]]]) -> list[str]:
        operations = [
            rehydrate(self._context, self._keys(tenant), session_id, texts, keys, self._read_at_ms)
            for (tenant, session_id, texts), keys in rows
        ]
        replies = self._execute(operations)
        return [operation.parse(own) for operation, own in zip(operations, replies, strict=True)]

    def _stage(self, row: Row) -> tuple[dict[str, str], dict[str, str]]:
        keys = {name: self._key(row, name) for name in _logs(row)}
        flow = stage_logs(row[2], keys, partial(archived_entries, self._connection, *row[:2]))
        result: Any = None
        while True:
            try:
                step: Any = flow.send(result)
            except StopIteration as stop:
                staged: tuple[dict[str, str], dict[str, str]] = stop.value
                return staged
            result = step.function() if isinstance(step, Ask) else step.parse(self._execute([step])[0])

    def _keys(self, tenant: str) -> TenantKeys:
        return self._homes.of(tenant)

    def _key(self, row: Row, log: str) -> str:
        return self._keys(row[0]).partition.staged(f"{self._token}.{row[1]}", log)


def _is_named(row: Row) -> bool:
    """Whether its tenant and id can be ours: other hands may have written the row."""
    try:
        check_tenant(row[0])
        check_id(row[1])
    except SojournError:
        return False
    return True


def _logs(row: Row) -> list[str]:
    return [name for name in row[2].get("_logs", "").split(",") if name]
