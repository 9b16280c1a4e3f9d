"""In which order the fields of records come, and decoders for the orders that come often.

Records that were written alike give their fields in one order, so a decoder for that order finds each text at its
place: no mapping is made of a reply, and no field is looked for. It is compiled when its order has come often enough to
be worth that; records in any other order are read by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from sojourn.codec.compiled import ListDecoder
from sojourn.models import Session

__all__ = ["Layout", "Layouts"]

S = TypeVar("S", bound=Session)
_OFTEN: Final = 100
"""Compiling takes as long as reading a hundred records by name. So often an order has to come at first."""
_WATCHED: Final = 256
"""Orders that are counted; where there are more, none comes often enough."""
_KNOWN: Final = 32


@dataclass(frozen=True, slots=True)
class Layout(Generic[S]):
    """An order of fields."""

    names: list[str]
    decoder: ListDecoder[S]
    """Makes a session of names and texts in turn. None, or one of `DOUBT` raised: they are to be read by name."""
    status: int | None
    """Where in a reply the text of this field is; None where it is not there."""
    deadline: int | None
    owner: int | None


class Layouts(Generic[S]):
    """The orders in which the records of one model come.

    Args:
        compiled: makes the decoder for an order; None where a field that each record has is not in it.
        names: what the fields of its hashes may be called.
    """

    def __init__(self, compiled: Callable[[Sequence[str]], ListDecoder[S] | None], names: Iterable[str]) -> None:
        self._compiled = compiled
        self._names = frozenset(names)
        self._often = _OFTEN
        self._met: dict[tuple[str, ...], int] = {}
        self._known: dict[tuple[str, ...], Layout[S] | None] = {}
        self._last: Layout[S] | None = None

    def of(self, flat: list[Any]) -> Layout[S] | None:
        """The layout of a reply of names and texts in turn; None: read it by name."""
        names = flat[::2]
        last = self._last
        if last is not None and last.names == names:
            return last
        order = tuple(names)
        found = self._known.get(order)
        if found is None and order not in self._known and self._comes_often(order):
            found = self._make(order)
        self._last = found or last
        return found

    def _comes_often(self, order: tuple[str, ...]) -> bool:
        count = self._met.get(order, 0) + 1
        if count == 1:
            if not self._names.issuperset(order):  # other hands wrote it
                return False
            if len(self._met) >= _WATCHED:
                self._met.clear()
        self._met[order] = count
        return count >= self._often

    def _make(self, order: tuple[str, ...]) -> Layout[S] | None:
        if len(self._known) >= _KNOWN:
            # Where more come often than are kept, each one is worth it the less, the more had to go.
            self._often += _OFTEN
            for oldest in list(self._known)[: 1 - _KNOWN]:  # one, or several where threads met here
                self._known.pop(oldest, None)
        self._met.pop(order, None)
        self._known[order] = found = self.make(order)
        return found

    def make(self, order: Sequence[str]) -> Layout[S] | None:
        """The layout for an order of fields; None where a field that each record has is not in it."""
        decoder = self._compiled(order)
        if decoder is None:
            return None
        places = {name: 2 * number + 1 for number, name in enumerate(order)}
        return Layout(list(order), decoder, places.get("status"), places.get("expires_at_ms"), places.get("owner"))
