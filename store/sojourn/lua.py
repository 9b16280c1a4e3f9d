"""Leaves out of a script what it does not use of its includes.

Redis runs a script's whole text at each call, and each local function of it, called or not, is made anew: some 50 of
them cost as much as a dozen commands.
"""

from __future__ import annotations

import re

__all__ = ["without_unused"]

_STATEMENT = re.compile(r"^(?=local )", re.MULTILINE)
_NAMES = re.compile(r"local (?:function )?([\w, ]+)")
_COMMENT = re.compile(r"--.*")
_WORD = re.compile(r"\w+")


def without_unused(includes: str, body: str) -> str:
    r"""A script's text, from its includes and its own.

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
