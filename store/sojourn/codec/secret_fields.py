"""How a secret is told as text before it is sealed."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from pydantic import SecretBytes, SecretStr, TypeAdapter

from sojourn.codec.annotations import adapter_config, adapter_of, bare_type, has_config
from sojourn.codec.fidelity import same
from sojourn.codec.json_texts import json_text, json_value
from sojourn.errors import InvalidModel
from sojourn.models import Session
from sojourn.sealing import holds_secret, secret_value_type, settled

__all__ = ["secret_coder"]


def secret_coder(
    model: type[Session], name: str, secret: type[Any], bare: Any, adapter: TypeAdapter[Any], *, optional: bool
) -> tuple[Callable[[Any], str], Callable[[str], Any], Callable[[Any, Any], bool]]:
    """How a secret is encoded, decoded, and found to be read back as it was.

    `optional`: None is a value like others, and sealed as they.

    Raises:
        InvalidModel: there is a secret in what it holds.
    """
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]
    if issubclass(secret, SecretStr):
        encode, decode = _encode_secret_text, bare
    elif issubclass(secret, SecretBytes):
        encode, decode = _encode_secret_bytes, lambda text: bare(base64.b64decode(text, validate=True))
    else:
        inner = secret_value_type(bare)
        own = adapter_of(inner, None if has_config(bare_type(inner)[0]) else adapter_config(model))
        if holds_secret(own.core_schema):
            raise InvalidModel(f"{model.__name__}.{name}: a secret inside of a secret would be written as asterisks")
        encode = lambda value: json_text(own, value.get_secret_value())  # noqa: E731
        decode = lambda text: secret(json_value(own, text))  # noqa: E731
    if optional:
        encode, decode = _or_none(encode, decode)

    def agrees(value: Any, found: Any) -> bool:
        value, again = settled(value), adapter.validate_python(found, by_alias=True, by_name=True)
        return type(value) is type(found) is type(again) and all(
            same(_revealed(value), _revealed(each)) for each in (found, again)
        )

    return encode, decode, agrees


def _revealed(value: Any) -> Any:
    return value if value is None else value.get_secret_value()


def _encode_secret_text(value: Any) -> str:
    text: str = value.get_secret_value()
    text.encode()  # lone surrogates end here
    return text


def _encode_secret_bytes(value: Any) -> str:
    return base64.b64encode(value.get_secret_value()).decode()


def _or_none(
    encode: Callable[[Any], str], decode: Callable[[str], Any]
) -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """The same for what may also be None."""
    return (
        lambda value: "" if value is None else "=" + encode(value),
        lambda text: decode(text[1:]) if text else None,
    )
