r"""Rows on their way to PostgreSQL: lines in the text format of COPY, of one table for the rows of all tables.

COPY is what costs PostgreSQL the least, and one COPY for all tables lets it go on by itself to the statements that
take the rows over, while the run does something else. A row has the columns of its own table; the others are ``\N``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["COLUMNS", "STAGE", "TARGETS", "array", "escaped", "escaped_texts", "template"]

COLUMNS: Final = {
    "target": "smallint", "tenant": "text", "session_id": "uuid", "kind": "text", "status": "text", "version": "bigint",
    "owner": "text", "client_type": "text", "tags": "text[]", "indexed": "text[]", "created_at": "timestamptz",
    "updated_at": "timestamptz", "accessed_at": "timestamptz", "expires_at": "timestamptz", "ttl": "interval",
    "max_lifetime": "interval", "ended_at": "timestamptz", "end_reason": "text", "data": "jsonb",
    "log": "text", "position": "integer", "entry": "jsonb",
    "id": "text", "type": "text", "at": "timestamptz", "actor": "text", "trace_id": "text", "changes": "jsonb",
    "before": "jsonb",
    "seq": "bigint", "recorded_at": "timestamptz", "action": "text", "about": "text", "event_id": "text",
    "detail": "text", "previous": "bytea", "hash": "bytea",
}  # fmt: skip
"""Those of all tables together, with their types; `about` is the audit trail's session id, which is a text."""
TARGETS: Final = {"store_sessions": 1, "store_entries": 2, "store_events": 3, "store_audit": 4}
"""The statements that take rows over, and by which number each finds its own."""
STAGE: Final = "CREATE TEMPORARY TABLE IF NOT EXISTS sojourn_rows ({}) ON COMMIT DELETE ROWS".format(
    ", ".join(f"{name} {type_}" for name, type_ in COLUMNS.items())
)
"""Where the lines go; it is the connection's own."""
_NULL: Final = r"\N"
_BYTES: Final = r"\\x%s"
"""Given in hexadecimal."""
_ESCAPES: Final = (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r"))


def template(statement: str, columns: Sequence[str]) -> str:
    """What makes a line of the values of these columns, in the order of `COLUMNS`.

    Example:
        >>> template("store_audit", ("tenant", "hash")).count("%s")
        2
    """
    given = {each: _BYTES if COLUMNS[each] == "bytea" else "%s" for each in columns}
    given["target"] = str(TARGETS[statement])
    return "\t".join(given.get(each, _NULL) for each in COLUMNS) + "\n"


def escaped(text: str) -> str:
    r"""A value as it stands in a line.

    Example:
        >>> print(escaped("a\\b"))
        a\\b
    """
    for each, escape in _ESCAPES:
        if each in text:
            text = text.replace(each, escape)
    return text


def escaped_texts(texts: Sequence[str]) -> Sequence[str]:
    """The same for several at once: nearly always there is nothing to do."""
    together = "".join(texts)
    if "\\" in together or "\t" in together or "\n" in together or "\r" in together:
        return [escaped(each) for each in texts]
    return texts


def array(texts: Sequence[str]) -> str:
    r"""Texts as PostgreSQL's array.

    Example:
        >>> print(array(["a", 'say "b"']))
        {"a","say \"b\""}
    """
    together = "".join(texts)
    if '"' in together or "\\" in together:
        texts = [_quoted(each) for each in texts]
    return '{"' + '","'.join(texts) + '"}' if texts else "{}"


def _quoted(text: str) -> str:
    """The inside of an element of an array."""
    return text.replace("\\", r"\\").replace('"', r"\"")
