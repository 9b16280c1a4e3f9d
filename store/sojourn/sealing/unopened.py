"""Secrets of a session that was read, in clear nowhere: not asked for yet, or such that nothing can open them."""

from __future__ import annotations

import hashlib
import sys
from typing import Any, Final, Self

from pydantic import SecretBytes, SecretStr

from sojourn.errors import SecretUnreadable
from sojourn.sealing.keyring import PREFIX, Keyring
from sojourn.sealing.sealer import open_sealed

__all__ = ["Deferred", "Unreadable", "deferred", "settled", "unreadable"]

_MASK: Final = "**********"


class Deferred(SecretStr):
    """A `SecretStr` that is opened when its value is first asked for.

    Most who read a session do not ask for its credentials: they wait for no cipher, and nothing clear is in memory.
    Whatever is done with one beyond passing it on opens it; it is pickled as what was found.

    Example:
        >>> store.get(session.id).password.get_secret_value()  # doctest: +SKIP
        'hunter2'
    """

    _sealed: tuple[Keyring, str, str, str, str]
    _found: SecretStr | None = None
    """What it is, once that was asked for: a `SecretStr`, or an `Unreadable` one."""

    def __init__(self, secret_value: str) -> None:
        self._found = SecretStr(secret_value)  # who makes another of a value's type has the clear text at hand

    @property
    def _secret_value(self) -> str:  # type: ignore[override]
        """What `SecretStr`'s own methods look at, where they are called by its name."""
        return self.get_secret_value()

    def get_secret_value(self) -> str:
        """What was sealed.

        Raises:
            SecretUnreadable: it cannot be opened.
        """
        found = settled(self)
        if isinstance(found, Unreadable) and _asked_to_mask():
            return _MASK
        return str(found.get_secret_value())

    def _display(self) -> str:
        return str(settled(self)._display())  # noqa: SLF001

    def __eq__(self, other: object) -> bool:
        return self is other or bool(settled(self) == settled(other))

    def __hash__(self) -> int:
        return hash(settled(self))

    def __len__(self) -> int:
        return len(settled(self))

    def __bool__(self) -> bool:
        return bool(settled(self))

    def __repr__(self) -> str:
        return repr(settled(self))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        found = settled(self)
        return found.__reduce__() if isinstance(found, Unreadable) else (SecretStr, (found.get_secret_value(),))


class Unreadable:
    """A secret that cannot be opened. It is of its field's type, and tells so when its value is asked for.

    Example:
        >>> isinstance(settled(session.password), Unreadable)  # doctest: +SKIP
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
        if _asked_to_mask():
            return _MASK
        raise SecretUnreadable(*self._place)

    def __eq__(self, other: object) -> bool:
        other = settled(other)
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


_new: Final = Deferred.__new__
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


def deferred(keyring: Keyring | None, tenant: str, session_id: str, field: str, text: str) -> Deferred:
    """A secret by its sealed text.

    Raises:
        SecretUnreadable: it is none that any key opens. What is not sealed may be a secret in clear, and is not kept.
    """
    if keyring is None or not text.startswith(PREFIX):
        raise SecretUnreadable(session_id, tenant, field)
    made = _new(Deferred)
    made._sealed = (keyring, tenant, session_id, field, text)  # noqa: SLF001
    return made


def settled(value: Any) -> Any:
    """What a deferred secret turns out to be, a `SecretStr` or an `Unreadable` one; all else as it is."""
    if type(value) is not Deferred:
        return value
    found = value._found  # noqa: SLF001
    if found is None:
        keyring, tenant, session_id, field, text = value._sealed  # noqa: SLF001
        try:
            found = SecretStr(open_sealed(keyring, tenant, session_id, field, text))
        except SecretUnreadable:
            found = unreadable(SecretStr, session_id, tenant, field, text)
        value._found = found  # noqa: SLF001 - whoever asks at the same time finds the same
    return found


def _asked_to_mask() -> bool:
    """Whether the caller's caller asks only to mask a secret, as pydantic's serializer to JSON does of a SecretStr."""
    asking = sys._getframe(2)  # noqa: SLF001
    return asking.f_code.co_name.startswith("_serialize_secret") and asking.f_globals["__name__"] == "pydantic.types"
