"""``docs/reference/json.md``: what each command prints for programs, from the tree and the schemas.

``python -m sojourn.cli.reference > docs/reference/json.md`` writes it anew; a test holds it current.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import click

from sojourn.cli.schemas import SCHEMAS, json_schema
from sojourn.cli.shapes import Document, Lines, Listing, Shape, Text
from sojourn.cli.tree import Node, walk

__all__ = ["reference"]

_HEAD: Final = """\
# JSON and CSV

Made from the commands by `python -m sojourn.cli.reference`; a test holds it current, and another one the output of the
commands against it.

`--json`, or `--output json`, makes every command print JSON, `--output csv` rows for spreadsheets. Names and meanings
stay; fields may be added.

- **A document** is one JSON object. As CSV it is a header and a row.
- **A list** is one JSON object that holds the things under a name, and in `cursor` where `--cursor` goes on (null: it
  ends here). It is printed as it is read, so a very long one takes no memory. As CSV each thing is a row.
- **Lines** are a JSON object each, at the moment that it comes. As CSV each is a row.

Times whose names end in `_ms` are milliseconds since the epoch, all others ISO 8601 in UTC. Durations whose names end in
`_s` are seconds; those of a session's fields are ISO 8601 (`PT30M`).

CSV is that of RFC 4180. Null is an empty cell, lists and objects are JSON. A text that a spreadsheet would take for a
formula, as it begins with `=`, `+`, `-`, `@`, a tab or a carriage return, gets an apostrophe before it.

Errors are on stderr, a JSON object on a line each: `{"error": {"code": "session_not_found", "message": "...", "session":
"...", "tenant": "..."}}`. What only people want to know is there as `{"note": "..."}`. The exit code tells the rest.
"""


def reference() -> str:
    """The page, in Markdown.

    Example:
        >>> reference().splitlines()[0]
        '# JSON and CSV'
    """
    return "\n".join([_HEAD, *_commands(), *_schemas()]) + "\n"


def _commands() -> Iterator[str]:
    yield from ("## What each command prints", "", "| command | prints |", "| --- | --- |")
    for node in walk():
        if node.outputs:
            yield f"| `{node.name}` | {_shapes(node)} |"
    yield ""


def _shapes(node: Node) -> str:
    return "; ".join(f"{_told(each)}{f' {each.when}' if each.when else ''}" for each in node.outputs)


def _told(shape: Shape) -> str:
    match shape:
        case Document(schema):
            return f"a document: {_link(schema)}"
        case Listing(name, schema):
            return f"a list `{name}` of {_link(schema)}"
        case Lines(schema):
            return f"lines: {_link(schema)}"
        case Text(what):
            return what


def _link(schema: str) -> str:
    return f"[{schema}](#{schema.lower()})"


def _schemas() -> Iterator[str]:
    yield from ("## The things", "")
    for name, made in SCHEMAS.items():
        yield from (f"### {name}", "", " ".join(inspect.cleandoc(made.__doc__ or "").split()), "")
        schema = json_schema(name)
        required = schema.get("required", [])
        rows = [
            f"| `{field}` | {_type(about, schema)} | {_about(about, optional=field not in required)} |"
            for field, about in schema.get("properties", {}).items()
        ]
        if rows:
            yield from ("| field | type | meaning |", "| --- | --- | --- |", *rows, "")


def _about(about: dict[str, Any], *, optional: bool) -> str:
    told = about.get("description", "")
    return "; ".join(filter(None, (told, "not always there" if optional else "")))


def _type(about: dict[str, Any], schema: dict[str, Any]) -> str:
    if "anyOf" in about:
        return " or ".join(_type(each, schema) for each in about["anyOf"])
    if "$ref" in about:
        return _link(about["$ref"].rpartition("/")[2].removesuffix("Json"))
    kind = str(about.get("type", "anything"))
    return f"{kind} of {_type(about['items'], schema)}" if kind == "array" and about.get("items") else kind


if __name__ == "__main__":
    click.echo(reference(), nl=False)
