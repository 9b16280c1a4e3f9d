"""The lines that the source can log, found by looking at each call of a `Log`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Call", "calls"]

ROOT: Final = Path(__file__).parents[1]
_LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_LOGS: Final = frozenset({"LOG", "_LOG"})
_ABOUT: Final = frozenset({"event_id", "tenant", "session_id", "trace_id"})
"""The fields that `sojourn_worker.logs.about` gives."""


@dataclass(frozen=True)
class Call:
    """One call that logs."""

    place: str
    levels: frozenset[str]
    event: str | None
    """None: the event is no constant."""
    fields: frozenset[str]
    is_open: bool
    """Whether it has fields beside those that are told here, as in ``**counts``."""
    positional: int
    """Arguments behind the event, of which there should be none."""


def calls() -> list[Call]:
    """Every call of a `Log` in the source; its levels are those that it names."""
    paths = [path for folder in ("store", "worker") for path in sorted((ROOT / folder).rglob("*.py"))]
    return [call for path in paths for call in _calls_in(path, str(path.relative_to(ROOT)))]


def _calls_in(path: Path, name: str) -> Iterator[Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        target, method = node.func.value, node.func.attr
        if not (isinstance(target, ast.Name) and target.id in _LOGS and method in (*_LEVELS, "log")):
            continue
        arguments = list(node.args)
        levels = _named(arguments.pop(0)) if method == "log" else frozenset({method})
        event = arguments[0] if arguments else None
        text = event.value if isinstance(event, ast.Constant) and isinstance(event.value, str) else None
        fields = {each.arg for each in node.keywords if each.arg is not None}
        spread = [each.value for each in node.keywords if each.arg is None]
        known = [each for each in spread if isinstance(each, ast.Call) and ast.unparse(each.func) == "about"]
        if known:
            fields |= _ABOUT
        yield Call(
            f"{name}:{node.lineno}", levels, text, frozenset(fields), len(known) < len(spread), len(arguments) - 1
        )


def _named(node: ast.expr) -> frozenset[str]:
    """The levels of `logging` that an expression names."""
    names = {each.attr.lower() for each in ast.walk(node) if isinstance(each, ast.Attribute)}
    return frozenset(names & set(_LEVELS))
