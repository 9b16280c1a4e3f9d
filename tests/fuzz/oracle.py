"""What may come of a call with odd arguments: a right result, or an error of the tree that changed nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tests.fuzz.hostile import MARK, Planted

from sojourn import SojournError

__all__ = ["LONGEST_MESSAGE", "check_error", "check_message"]

LONGEST_MESSAGE: Final = 2_000
_OF_THE_SIGNATURE: Final = re.compile(
    r"\S+ (got (an unexpected keyword argument|multiple values for)|missing \d+ required|takes \d+ positional"
    r"|expected at most \d+ argument)"
)


def check_error(error: BaseException, *, quotes: bool = False, of_the_callers: bool = False) -> None:
    """Refuse an error that is not one of the tree, or tells too much.

    Args:
        error: what was raised.
        quotes: whether its message may quote what was passed in, such as a name.
        of_the_callers: whether what the caller's own objects raise may come through, as from an iterator.
    """
    if isinstance(error, TypeError) and not isinstance(error, SojournError):
        assert _OF_THE_SIGNATURE.match(str(error)), f"not of the tree: {error!r:.500}"
        return
    if of_the_callers and isinstance(error, Planted):
        return
    assert isinstance(error, SojournError), f"not of the tree: {type(error).__name__}"
    for each in _shown(error):
        check_message(str(each), quotes=quotes)


def check_message(text: str, *, quotes: bool = False) -> None:
    """Refuse a message that goes on and on, or quotes a value."""
    assert len(text) < LONGEST_MESSAGE, f"{len(text)} characters: {text[:200]}"
    assert quotes or MARK not in text, f"quotes a value: {text}"


def _shown(error: BaseException) -> Iterator[BaseException]:
    """The error, and those that a traceback shows along with it, but for the caller's own."""
    found: BaseException | None = error
    while found is not None:
        if not isinstance(found, Planted):
            yield found
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
