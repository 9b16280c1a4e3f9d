"""Between a model's instances and the hashes of their sessions."""

from __future__ import annotations

from typing import TypeVar

from sojourn.codec.reading import Reader
from sojourn.codec.writing import Writer
from sojourn.models import Session

__all__ = ["Codec"]

S = TypeVar("S", bound=Session)


class Codec(Reader[S], Writer[S]):
    """Validates, encodes and decodes the sessions of one model. Made once per model.

    Raises:
        InvalidModel: the model cannot be stored as it is declared.
    """
