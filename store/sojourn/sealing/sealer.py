"""Sealing and opening the secrets of one session.

A sealed text is ``sealed:1:<key id>:<base64url of nonce, ciphertext and tag>``: AES-256-GCM under a random nonce of 96
bits. What it is bound to is authenticated with it: put into another field, session or tenant it cannot be opened.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass
from typing import Final

from sojourn.errors import SecretUnreadable, SettingsError
from sojourn.sealing.keyring import KEY_ID, Keyring

__all__ = ["PREFIX", "Sealer", "key_of"]

PREFIX: Final = "sealed:1:"
"""How every sealed text begins; the number is the version of the form."""
_NONCE_BYTES: Final = 12
_SEALED: Final = re.compile(rf"{PREFIX}({KEY_ID}):([A-Za-z0-9_-]{{38,}})")
_PADDING: Final = ("", "===", "==", "=")


def key_of(text: str) -> str | None:
    """The id of the key that sealed a text; None where it is not of the sealed form.

    Example:
        >>> key_of("sealed:1:2f9c01aa:" + "A" * 38), key_of("clear")
        ('2f9c01aa', None)
    """
    found = _SEALED.fullmatch(text)
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class Sealer:
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
        sealed = keyring.ciphers[keyring.newest].encrypt(nonce, clear.encode(), self._bound_to(field))
        body = base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()
        return f"{PREFIX}{keyring.newest}:{body}"

    def open(self, field: str, text: str) -> str:
        """What was sealed.

        Raises:
            SecretUnreadable: the key is missing, or this was not sealed for this field of this session.
        """
        found = _SEALED.fullmatch(text)
        cipher = self.keyring.ciphers.get(found[1]) if found and self.keyring else None
        if found is not None and cipher is not None:
            body = found[2]
            try:
                # What base64.urlsafe_b64decode does, in a fifth of its time.
                standard = body.replace("-", "+").replace("_", "/") + _PADDING[len(body) % 4]
                raw = binascii.a2b_base64(standard)
                return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], self._bound_to(field)).decode()
            except (ValueError, _invalid_tag()):
                pass  # told below, without what led there
        raise SecretUnreadable(self.session_id, self.tenant, field)

    def _bound_to(self, field: str) -> bytes:
        """None of the names can contain a NUL, so no other place is told by the same bytes."""
        return f"sojourn\0secret\0{self.tenant}\0{self.session_id}\0{field}".encode(errors="surrogatepass")


def _invalid_tag() -> type[Exception]:
    """Imported where there is a keyring, and so the library was loaded before."""
    from cryptography.exceptions import InvalidTag

    return InvalidTag
