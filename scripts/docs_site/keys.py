"""The key schema, from the table that opens ``sojourn.keys``, with a line for ``redis-cli`` that shows each key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from sojourn import keys
from sojourn.keys import TenantKeys

__all__ = ["Key", "key_rows", "keys_text"]

_ROW: Final = re.compile(r"^``(?P<key>sojourn:\S+)``\s+(?P<type>[a-z]+)\s+(?P<holds>.+)$", re.MULTILINE)
_READ: Final = {
    "hash": "HGETALL {key}",
    "list": "LRANGE {key} 0 9",
    "set": "SMEMBERS {key}",
    "stream": "XREVRANGE {key} + - COUNT 10",
    "string": "GET {key}",
    "zset": "ZRANGE {key} 0 9 WITHSCORES",
}
_TENANT: Final = "default"
_EXAMPLES: Final = {
    "field": "owner", "value": "ada", "owner": "ada", "kind": "session", "status": "pending", "name": "lines",
    "rate": "creates", "limit": "sessions", "hook": "farewell", "event": "05-1764000000000-0", "log": "notes",
    "token": "7f0c", "prefix": "sojourn", "sha256": "9f86d0818...", "id": "$ID", "tenant": _TENANT,
}  # fmt: skip
"""What stands for each name in angle brackets in the examples."""


class Key(NamedTuple):
    """One row of the table."""

    key: str
    type: str
    holds: str

    @property
    def command(self) -> str:
        """The arguments of ``redis-cli`` that show the key, or its first ten entries."""
        number = TenantKeys.of(_TENANT, 64).partition.number
        key = self.key.replace("{NN}", f"{{{number:02d}}}").replace("[:<owner>]", "")
        key = re.sub(r"<(\w+)>", lambda name: _EXAMPLES[name[1]], key)
        quoted = f'"{key}"' if "$" in key else f"'{key}'"
        return _READ[self.type].format(key=quoted)


def key_rows() -> Iterator[Key]:
    """All keys, in the order of the table."""
    for row in _ROW.finditer(keys.__doc__ or ""):
        yield Key(row["key"], row["type"], row["holds"].strip())


def keys_text() -> str:
    """The table, the keys of all partitions first, then a line for each key."""
    rows = list(key_rows())
    table = [f"| `{each.key}` | {each.type} | {_markdown(each.holds)} |" for each in rows]
    lines = [f"redis-cli {each.command}" for each in rows]
    head = ["| key | type | holds |", "| --- | --- | --- |"]
    return "\n".join([*head, *table, "", "## Looking at them", "", _INTRODUCTION, "", "```sh", *lines, "```"])


_INTRODUCTION: Final = (
    f"One line for each key, in the same order, for the tenant `{_TENANT}` in a deployment with 64 partitions; `$ID` "
    "is the id of a session. A key that nothing needed yet is not there, and reads as empty."
)


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")
