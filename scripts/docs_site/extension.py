"""The Markdown extension that puts generated text where a page asks for it: ``<!-- generated: NAME -->``.

It runs before Markdown is parsed, so that what is generated has headings, anchors and search like what is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from markdown import Markdown
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

from docs_site.commands import commands_text
from docs_site.decisions import decisions_text
from docs_site.keys import keys_text
from docs_site.settings import settings_text

__all__ = ["GENERATED", "generated", "makeExtension"]

_MARK: Final = re.compile(r"<!-- generated: (\S+) -->")
_FIRST: Final = 200
"""Before the preprocessors of Python-Markdown (which are at 30 and less) and of its extensions."""
GENERATED: Final[dict[str, Callable[[], str]]] = {
    "commands": commands_text,
    "decisions": decisions_text,
    "keys": keys_text,
    "settings": settings_text,
}
"""The texts by their names."""


def generated(line: str) -> str | None:
    """The text that a line asks for; None for any other line.

    Raises:
        KeyError: there is no text of that name.
    """
    asked = _MARK.fullmatch(line.strip())
    return None if asked is None else GENERATED[asked[1]]()


class _Generate(Preprocessor):
    def run(self, lines: list[str]) -> list[str]:
        """Replace the lines that ask."""
        result: list[str] = []
        for line in lines:
            text = generated(line)
            result += [line] if text is None else text.splitlines()
        return result


class _Generated(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 (Python-Markdown calls it so)
        """Register the preprocessor."""
        md.preprocessors.register(_Generate(md), "docs-site-generated", _FIRST)


def makeExtension(**options: Any) -> Extension:  # noqa: N802 (Python-Markdown calls it so)
    """Make the extension; it has no options."""
    return _Generated(**options)
