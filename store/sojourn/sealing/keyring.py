"""The keys under which secrets are sealed: how they are written, and where they are read from."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sojourn.errors import SettingsError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["KEY_ID", "PREFIX", "Key", "Keyring", "new_key", "parse_keys", "read_keys"]

KEY_ID: Final = "[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
"""What a key is called: it stands in every text that the key sealed."""
PREFIX: Final = "sealed:1:"
"""How every sealed text begins, before the id of its key; the number is the version of the form."""
_KEY: Final = re.compile(rf"({KEY_ID}):([A-Za-z0-9+/]{{43}}=)")
_KEY_BYTES: Final = 32
_FORM: Final = "a key is written <id>:<base64 of 32 bytes>, as 'sojourn secrets keygen' prints it"


@dataclass(frozen=True)
class Key:
    """One key, for AES-256."""

    id: str
    material: bytes = field(repr=False)


def new_key() -> str:
    """A fresh random key, as the settings take it.

    Example:
        >>> len(new_key())
        53
    """
    return f"{secrets.token_hex(4)}:{base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()}"


def parse_keys(texts: Iterable[tuple[str, str]]) -> list[Key]:
    """Keys from their texts; each comes with the place to name where it is malformed.

    Raises:
        SettingsError: one is. What was written there is not told.
    """
    found = []
    for text, where in texts:
        match = _KEY.fullmatch(text)
        if match is None:
            raise SettingsError(f"{where} is malformed: {_FORM}")
        found.append(Key(match[1], base64.b64decode(match[2])))
    return found


def read_keys(path: Path) -> list[Key]:
    """The keys in a file, one a line; blank lines and those that begin with # are passed over.

    Raises:
        SettingsError: it cannot be read, or a line is malformed. What is written there is not told.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()  # some editors begin a file with a mark
    except OSError as error:
        raise SettingsError(f"secret_keys_file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"secret_keys_file {path} is not text") from None
    told = ((line.strip(), f"secret_keys_file {path}, line {number},") for number, line in enumerate(lines, 1))
    return parse_keys((line, where) for line, where in told if line and not line.startswith("#"))


class Keyring:
    """Several keys: the last one seals, all open.

    Raises:
        SettingsError: there is none, or two different ones have the same id.
    """

    def __init__(self, keys: Sequence[Key]) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        known: dict[str, Key] = {}
        for key in keys:
            if known.setdefault(key.id, key).material != key.material:
                raise SettingsError(f"two different secret keys have the id '{key.id}': rename one before it seals")
        if not known:
            raise SettingsError("a keyring needs a key: run 'sojourn secrets keygen'")
        self._keys = tuple(keys)
        self.ciphers: dict[str, AESGCM] = {each.id: AESGCM(each.material) for each in known.values()}
        """By the ids of their keys."""
        self.decrypts: dict[str, Callable[[bytes, bytes, bytes], bytes]] = {
            PREFIX + id_: cipher.decrypt for id_, cipher in self.ciphers.items()
        }
        """What opens a sealed text, by all of the text before its last colon."""
        self.newest: str = keys[-1].id
        """The id of the key that seals."""

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all its keys."""
        return tuple(self.ciphers)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self.ids)})"

    def __reduce__(self) -> tuple[type[Keyring], tuple[tuple[Key, ...]]]:
        return Keyring, (self._keys,)
