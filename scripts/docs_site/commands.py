"""The reference of commands, from the tree of commands that the command line itself gives out."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sojourn.cli.tree import Node, walk

__all__ = ["commands_text", "walk"]


def commands_text() -> str:
    """A heading for each command, with its usage, what it does, its options and its examples."""
    nodes = list(walk())
    return "\n".join(line for node in nodes for line in [*_section(node, nodes), ""])


def _section(node: Node, nodes: list[Node]) -> Iterator[str]:
    yield f"{'#' * min(len(node.path) + 2, 4)} {node.name}"
    yield ""
    yield from _paragraphs(node.help)
    yield f"```text\n{node.usage}\n```"
    yield ""
    options = [each for each in node.options if "--help" not in each.names]
    if options:
        yield from ["| option | meaning |", "| --- | --- |"]
        for each in options:
            spelled = " ".join([", ".join(each.names), each.metavar]).strip()
            yield f"| `{spelled}` | {_cell(each.help)} |"
        yield ""
    inner = [each for each in nodes if each.path[:-1] == node.path and each.path]
    if inner:
        yield from ["| command | does |", "| --- | --- |"]
        yield from (f"| [`{each.name}`](#{each.name.replace(' ', '-')}) | {_cell(each.summary)} |" for each in inner)
        yield ""
    if node.examples:
        yield "\n".join(["```console", *(f"$ {each}" for each in node.examples), "```"])
        yield ""
    yield from _paragraphs(node.notes)


def _paragraphs(text: str) -> Iterator[str]:
    for each in re.split(r"\n\s*\n", text.strip()):
        words = each.lstrip("\b").strip("\n")
        if not words:
            continue
        yield f"```text\n{words}\n```" if each.startswith("\b") else _text(" ".join(words.split()))
        yield ""


def _text(text: str) -> str:
    return re.sub(r"([*_\[\]])", r"\\\1", text.replace("<", "&lt;"))


def _cell(text: str) -> str:
    return _text(" ".join(text.split())).replace("|", "\\|")
