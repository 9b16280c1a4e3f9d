"""What stands in the place of a secret that cannot be opened."""

from __future__ import annotations

import hashlib
import sys
from typing import Any, Final

from pydantic import SecretBytes

from sojourn.errors import SecretUnreadable

__all__ = ["Unreadable", "unreadable"]

_MASK: Final = "**********"


class Unreadable:
    """A secret that cannot be opened. It is of its field's type, and tells so when its value is asked for.

    Example:
        >>> isinstance(session.password, Unreadable)  # doctest: +SKIP
        True
    """

    def __init__(self, kind: type[Any], session_id: str, tenant: str, field: str, digest: str) -> None:
        self._kind = kind
        self._place = session_id, tenant, field
        self._digest = digest
        """Of the stored text, by which two are told apart; the text itself may be clear, by other hands."""

    def get_secret_value(self) -> Any:
        """Nothing.

        Raises:
            SecretUnreadable: always.
        """
        # Only to mask it does pydantic's serializer to JSON ask a SecretStr for its value.
        caller = sys._getframe(1)  # noqa: SLF001
        if caller.f_code.co_name.startswith("_serialize_secret") and caller.f_globals["__name__"] == "pydantic.types":
            return _MASK
        raise SecretUnreadable(*self._place)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable) and self._told() == other._told()

    def __hash__(self) -> int:
        return hash(self._told())

    def __len__(self) -> int:
        raise SecretUnreadable(*self._place)

    def __bool__(self) -> bool:
        return True

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self._kind, *self._place, self._digest)

    def _display(self) -> str | bytes:
        return _MASK.encode() if issubclass(self._kind, SecretBytes) else _MASK

    def _told(self) -> tuple[Any, ...]:
        return self._kind, self._place, self._digest


_twins: dict[type[Any], type[Any]] = {}


def _twin(kind: type[Any]) -> type[Any]:
    """A subclass of a secret's class whose instances are unreadable; its name is what their repr shows."""
    if kind not in _twins:
        _twins[kind] = type(kind.__name__, (Unreadable, kind), {"__module__": kind.__module__})
    return _twins[kind]


def _made(kind: type[Any], *told: str) -> Any:
    return _twin(kind)(kind, *told)


def unreadable(kind: type[Any], session_id: str, tenant: str, field: str, text: str) -> Any:
    """An unreadable instance of a secret's class, for the text that is stored."""
    digest = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return _made(kind, session_id, tenant, field, digest)
