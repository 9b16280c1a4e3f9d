"""A model with one of every kind of secret, and settings that can seal them."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from pydantic import Secret, SecretBytes, SecretStr

from sojourn import Counter, Indexed, Session

__all__ = ["FIRST", "SECOND", "VaultSession", "revealed"]


def _key(key_id: str, byte: int) -> str:
    return f"{key_id}:{base64.b64encode(bytes([byte]) * 32).decode()}"


FIRST = _key("first", 1)
SECOND = _key("second", 2)


class VaultSession(Session):
    """Three secrets, and other fields beside them."""

    password: SecretStr | None = None
    blob: SecretBytes | None = None
    credentials: Secret[dict[str, str]] | None = None
    queue: Annotated[str, Indexed()] = "default"
    note: str | None = None
    visits: Annotated[int, Counter()] = 0


def revealed(session: Any) -> tuple[Any, ...]:
    """Return the values of its secrets."""
    found = (session.password, session.blob, session.credentials)
    return tuple(each if each is None else each.get_secret_value() for each in found)
