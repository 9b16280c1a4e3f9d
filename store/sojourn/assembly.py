"""Puts a Lua script together from its text and those of its includes, without what it does not use of them.

Redis runs a script's whole text at each call, and each local function of it, called or not, is made anew: 50 of them
cost as much as some commands. So an include in the header stands in front with what of it is used, and one inside a
function, for what is seldom needed, is made when that function is called. Likewise a table that a function returns with
one field a line, as the keys of a session, has only those that the script names. Constants stand where they are used.
"""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["assembled", "without_unused"]

_HEADER = re.compile(r"^-- @include (\S+)\n", re.MULTILINE)
_INNER = re.compile(r"(?:^( +)-- @include \S+\n)+", re.MULTILINE)
_STATEMENT = re.compile(r"^(?=local )", re.MULTILINE)
_NAMES = re.compile(r"local (?:function )?([\w, ]+)")
_LITERAL = re.compile(r"\d[\d.]*|'[^'\n]*'")
_CONSTANTS = re.compile(
    rf"^ *local ([A-Z][A-Z_]*(?:, [A-Z][A-Z_]*)*) = ((?:{_LITERAL.pattern})(?:, (?:{_LITERAL.pattern}))*)\s*\n",
    re.MULTILINE,
)
_NAME_OR_STRING = re.compile(r"'[^'\n]*'|(?<![\w.])[A-Z][A-Z_]*(?!\w)")
_COMMENT = re.compile(r"--.*")
_WORD = re.compile(r"\w+")
_TABLE = re.compile(r"(?<=return \{\n)(?: +\w+ = .*,\n)+")
_FIELD = re.compile(r" +(\w+) = .*,\n")


def assembled(name: str, read: Callable[[str], str]) -> str:
    r"""A script's text with its includes, each once within a function, depth first.

    Args:
        name: of the script.
        read: gives the text of a file by its name.

    Example:
        >>> files = {"a": "-- @include b\nreturn b()", "b": "local function b()\n  return 1\nend\n"}
        >>> assembled("a", files.__getitem__)
        'local function b()\n  return 1\nend\nreturn b()'
    """
    seen: set[str] = set()
    body = read(name)
    includes = "".join(_included(each, read, seen) for each in _HEADER.findall(body))
    used = without_unused(includes, _expanded(_HEADER.sub("", body), read, seen))
    return with_constants(_without_unnamed(used))


def _included(name: str, read: Callable[[str], str], seen: set[str]) -> str:
    """An include behind its own; nothing if it has been seen."""
    if name in seen:
        return ""
    seen.add(name)
    text = read(name)
    before = "".join(_included(each, read, seen) for each in _HEADER.findall(text))
    return before + _expanded(_HEADER.sub("", text), read, seen)


def _expanded(text: str, read: Callable[[str], str], seen: set[str]) -> str:
    """A text with what is included inside its functions, except for what can be seen from there anyway."""
    match = _INNER.search(text)
    if match is None:
        return text
    names, inner = re.findall(r"@include (\S+)", match[0]), set(seen)
    rest = text[match.end() :]
    function, end, _ = rest.partition("\nend\n")
    included = "".join(_included(each, read, inner) for each in names)
    used = without_unused(included, function + end)
    indented = re.sub(r"^(?=.)", match[1], used.removesuffix(function + end), flags=re.MULTILINE)
    return text[: match.start()] + indented + _expanded(rest, read, seen)


def without_unused(includes: str, body: str) -> str:
    r"""A text behind what it uses of its includes.

    Args:
        includes: local statements, each beginning at the margin; none does anything but to give something a name.
        body: what makes use of some.

    Example:
        >>> without_unused("local A = 1\nlocal function b()\n  return A\nend\nlocal C = 2\n", "return b()")
        'local A = 1\nlocal function b()\n  return A\nend\nreturn b()'
    """
    used = set(_WORD.findall(body))
    kept = [body]
    for statement in reversed(_STATEMENT.split(_COMMENT.sub("", includes))):
        match = _NAMES.match(statement)
        if match and not used.isdisjoint(match[1].replace(",", " ").split()):
            used.update(_WORD.findall(statement))
            kept.append(re.sub(r"\n\s*\n", "\n", statement))
    return "".join(reversed(kept))


def with_constants(text: str) -> str:
    r"""A text with its constants, which are numbers and strings with names in capitals, where they are used.

    A function that uses one by its name holds it in an object of its own, made at each call of the script.

    Example:
        >>> with_constants("local MOST, NONE = 60, '-'\nreturn f(MOST, 'MOST', NONE)\n")
        "return f(60, 'MOST', '-')\n"
    """
    known: dict[str, str] = {}

    def noted(statement: re.Match[str]) -> str:
        for name, value in zip(statement[1].split(", "), _LITERAL.findall(statement[2]), strict=True):
            if known.setdefault(name, value) != value:
                raise ValueError(f"a script has two constants with the name {name}: {known[name]} and {value}")
        return ""

    rest = _CONSTANTS.sub(noted, text)
    return _NAME_OR_STRING.sub(lambda found: known.get(found[0], found[0]), rest)


def _without_unnamed(text: str) -> str:
    """A text whose tables of one field a line have only the fields that the rest of it names."""

    def named(table: re.Match[str]) -> str:
        rest = _COMMENT.sub("", text[: table.start()] + text[table.end() :])
        fields = _FIELD.finditer(table[0])
        return "".join(each[0] for each in fields if re.search(rf"\.{each[1]}\b|'{each[1]}'", rest))

    return _TABLE.sub(named, text)
