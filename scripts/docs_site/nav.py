"""The navigation against the pages that are there: the generator does not compare them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["faults", "named_pages"]

_LISTED_ELSEWHERE = re.compile(r"adr/[0-9]{4}-[\w-]+\.md")
"""The decisions: decisions.md lists them all."""


class _Loader(yaml.SafeLoader):
    """Reads the settings of the site, and leaves names of Python objects as text."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/name:", lambda _loader, suffix, _node: suffix)


def named_pages(config: Path) -> list[str]:
    """The pages that the navigation names."""
    with config.open(encoding="utf-8") as file:
        settings: dict[str, Any] = yaml.load(file, Loader=_Loader)  # noqa: S506 (it is a safe one)
    return list(_pages(settings["nav"]))


def _pages(entry: Any) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
    else:
        for each in entry.values() if isinstance(entry, dict) else entry:
            yield from _pages(each)


def faults(config: Path, docs: Path) -> list[str]:
    """What is wrong, in sentences for whoever changed the pages."""
    named = named_pages(config)
    there = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    found = [
        f"{config.name} names {page} in its nav, and there is no docs/{page}" for page in named if page not in there
    ]
    found += [
        f"{config.name} names {page} more than once"
        for page in sorted({each for each in named if named.count(each) > 1})
    ]
    found += [
        f"docs/{page} is in no entry of the nav in {config.name}: name it there"
        for page in sorted(there - set(named))
        if not _LISTED_ELSEWHERE.fullmatch(page)
    ]
    return found
