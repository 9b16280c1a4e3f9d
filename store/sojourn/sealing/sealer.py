"""Sealing and opening the secrets of one session.

A sealed text is ``sealed:1:<key id>:<base64 of nonce, ciphertext and tag>``: AES-256-GCM under a random nonce of 96
bits. What it is bound to is authenticated with it: put into another field, session or tenant it cannot be opened.
"""

from __future__ import annotations

import binascii
import re
import secrets
from typing import Final, NamedTuple

from sojourn.errors import SecretUnreadable, SettingsError
from sojourn.sealing.keyring import KEY_ID, PREFIX, Keyring

__all__ = ["PREFIX", "Sealer", "key_of", "open_sealed"]

_NONCE_BYTES: Final = 12
_SEALED: Final = re.compile(rf"{PREFIX}({KEY_ID}):[A-Za-z0-9+/]{{38,}}={{0,2}}")


def key_of(text: str) -> str | None:
    """The id of the key that sealed a text; None where it is not of the sealed form.

    Example:
        >>> key_of("sealed:1:2f9c01aa:" + "A" * 40), key_of("clear")
        ('2f9c01aa', None)
    """
    found = _SEALED.fullmatch(text)
    return found[1] if found else None


class Sealer(NamedTuple):
    """Seals and opens what belongs to one session."""

    keyring: Keyring | None
    tenant: str
    session_id: str

    def seal(self, field: str, clear: str) -> str:
        """The sealed text to store in a field of the hash.

        Raises:
            SettingsError: there is no keyring.
        """
        keyring = self.keyring
        if keyring is None:
            raise SettingsError(
                f"field '{field}' is a secret, but there is no key to seal it: run 'sojourn secrets keygen', and put "
                "what it prints into the setting secret_keys, or into a file that secret_keys_file names"
            )
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound = _binding(self.tenant, self.session_id, field)
        sealed = keyring.ciphers[keyring.newest].encrypt(nonce, clear.encode(), bound)
        return f"{PREFIX}{keyring.newest}:{binascii.b2a_base64(nonce + sealed, newline=False).decode()}"

    def open(self, field: str, text: str) -> str:
        """What was sealed; see `open_sealed`."""
        return open_sealed(self.keyring, self.tenant, self.session_id, field, text)


def open_sealed(keyring: Keyring | None, tenant: str, session_id: str, field: str, text: str) -> str:
    """What was sealed for a field of a session.

    Raises:
        SecretUnreadable: the key is missing, or this was not sealed for this field of this session.
    """
    # Each read does this, so it takes the text apart in as few steps as there can be.
    head, _, body = text.rpartition(":")
    decrypt = keyring.decrypts.get(head) if keyring is not None else None
    if decrypt is not None and len(body) % 4 == 0:
        try:
            raw = binascii.a2b_base64(body, strict_mode=True)
            return decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _binding(tenant, session_id, field)).decode()
        except (ValueError, _invalid_tag()):
            pass  # told below, without what led there
    raise SecretUnreadable(session_id, tenant, field)


def _binding(tenant: str, session_id: str, field: str) -> bytes:
    """None of the names can contain a NUL, so no other place is told by the same bytes."""
    return f"sojourn\0secret\0{tenant}\0{session_id}\0{field}".encode("utf-8", "surrogatepass")


def _invalid_tag() -> type[Exception]:
    """Imported where there is a keyring, and so the library was loaded before."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag
