"""Secrets as they are stored: sealed under a key, and bound to the session and the field that they belong to."""

from sojourn.sealing.keyring import Keyring, new_key, parse_keys, read_keys
from sojourn.sealing.sealer import Sealer, key_of, open_sealed
from sojourn.sealing.types import holds_secret, secret_type, secret_value_type
from sojourn.sealing.unopened import Deferred, Unreadable, deferred, settled, unreadable

__all__ = [
    "Deferred",
    "Keyring",
    "Sealer",
    "Unreadable",
    "deferred",
    "holds_secret",
    "key_of",
    "new_key",
    "open_sealed",
    "parse_keys",
    "read_keys",
    "secret_type",
    "secret_value_type",
    "settled",
    "unreadable",
]
