"""How one field of a model is stored: which hash field, and which text."""

from __future__ import annotations

import base64
import math
import operator
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from functools import lru_cache
from typing import Annotated, Any, Final, Union, get_args, get_origin
from uuid import UUID

from pydantic import (
    AwareDatetime,
    ConfigDict,
    FutureDate,
    FutureDatetime,
    JsonValue,
    NaiveDatetime,
    PastDatetime,
    PydanticUserError,
    SecretBytes,
    SecretStr,
    TypeAdapter,
)
from pydantic_core import PydanticSerializationError, from_json

from sojourn.codec.checks import FIELD_NAME, is_unicode
from sojourn.codec.fidelity import same
from sojourn.errors import InvalidField, InvalidModel
from sojourn.models import Counter, Indexed, Session
from sojourn.sealing import holds_secret, secret_type, secret_value_type

__all__ = ["UNREADABLE", "FieldCodec", "datetime_from", "field_codec", "json_text", "json_value", "ms_from"]

UNREADABLE: Final = (ValueError, OverflowError, KeyError)
"""What decoding a text raises that is no value of its field."""
_NUL: Final = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_REPLACED: Final = "\ufffd".encode()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)
_EXACT_AS_FLOAT_MS: Final = 2**32 * 1000
EXACT_INT: Final = 2**53 - 1
"""The scripts count in doubles, which hold integers exactly up to here."""


def datetime_from(ms: int) -> datetime:
    """Milliseconds since the epoch as an aware datetime in UTC.

    Example:
        >>> datetime_from(1500).isoformat()
        '1970-01-01T00:00:01.500000+00:00'
    """
    # A double holds a moment before 2106 to within half a microsecond, and fromtimestamp takes a third of the time.
    if 0 <= ms < _EXACT_AS_FLOAT_MS:
        return datetime.fromtimestamp(ms / 1000, UTC)
    return _EPOCH + timedelta(milliseconds=ms)


def ms_from(moment: datetime) -> int:
    """An aware datetime as milliseconds since the epoch, rounded down.

    Raises:
        InvalidField: it is naive.
    """
    if moment.tzinfo is None:
        raise InvalidField("datetime", "is naive: give it a time zone")
    return (moment - _EPOCH) // _MS


@dataclass(frozen=True)
class FieldCodec:
    """How one field is stored."""

    name: str
    stored_as: str
    """The name of the hash field."""
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]
    is_json: bool = False
    exact: bool = False
    """Whether a valid value certainly reads back as it was written."""
    agrees: Callable[[Any, Any], bool] | None = same
    """Whether what is read back is what was written; None where it is known to be told less exactly."""
    none_is_absent: bool = False
    """Whether None is told by the hash field's absence; else it is JSON's null."""
    indexed: bool = False
    many: bool = False
    """Whether an indexed field holds several values."""
    counter: bool = False
    kept_by: str = ""
    """The call that alone changes a counter; '' for any."""
    secret: type[Any] | None = None
    """The class of a secret's values. The codec's texts are then clear ones, to be sealed before they are stored."""

    @property
    def is_text(self) -> bool:
        """Whether its values are text, which it holds as it is."""
        return self.decode is str or (self.secret is not None and issubclass(self.secret, SecretStr | SecretBytes))

    @property
    def index_spec(self) -> str:
        """How the scripts are told of an indexed field."""
        return self.stored_as + ("[]" if self.many else "")


def _encode_text(value: Any) -> str:
    if "\x00" in value:
        raise ValueError("contains a NUL character, which PostgreSQL cannot store")
    if not value.isascii():
        value.encode()  # lone surrogates end here
    return str(value)


def _encode_counter(value: Any) -> str:
    if abs(value) > EXACT_INT:
        raise ValueError("a counter is within +-(2**53 - 1)")
    return str(value)


def _encode_bool(value: Any) -> str:
    return "true" if value else "false"


def _decode_bool(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("neither true nor false")
    return text == "true"


def _encode_float(value: Any) -> str:
    if not math.isfinite(value):
        raise ValueError("is not a finite number")
    return repr(float(value))


def _encode_datetime(value: Any) -> str:
    if value.tzinfo is None:
        raise ValueError("is a naive datetime: give it a time zone")
    return str((value - _EPOCH) // _MS)


def _decode_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _decode_datetime(text: str) -> datetime:
    return datetime_from(int(text))


def _encode_duration(value: Any) -> str:
    return str(value // _MS)


@lru_cache(maxsize=256)  # sessions share a few TTLs
def _decode_duration(text: str) -> timedelta:
    return timedelta(milliseconds=int(text))


def json_text(adapter: TypeAdapter[Any], value: Any) -> str:
    """A value as JSON.

    Raises:
        ValueError: it cannot be written as JSON, or contains a number that is not finite.
    """
    try:
        # What pydantic would warn of is found by reading it back, or is of no account.
        raw = adapter.dump_json(value, by_alias=True, round_trip=True, warnings=False)
    except PydanticSerializationError as error:
        # What an object of the caller's raised, with its words, is told here too.
        told = f" ({error})" if str(error).startswith("Unable to serialize unknown type") else ""
        raise ValueError(f"cannot be written as JSON{told}") from None
    if b"NaN" in raw or b"Infinity" in raw:
        try:
            from_json(raw, allow_inf_nan=False)
        except ValueError:
            raise ValueError("contains a number that is not finite") from None
    if b"u0000" in raw and _NUL.search(raw):
        raise ValueError("contains a NUL character, which PostgreSQL cannot store")
    if _REPLACED in raw and not _has_unicode_keys(adapter.dump_python(value, warnings=False)):
        raise ValueError("is not valid Unicode text")
    return raw.decode()


def json_value(adapter: TypeAdapter[Any], text: str) -> Any:
    """What `json_text` wrote. A field with an alias for validation only was written under its name.

    Raises:
        ValueError: it is no value of the type.
    """
    return adapter.validate_json(text, by_alias=True, by_name=True)


def _has_unicode_keys(value: Any) -> bool:
    """Whether no key in a nested value has a lone surrogate, which pydantic refuses in values but replaces in keys."""
    layer = [value]
    while layer:
        mappings = [each for each in layer if isinstance(each, dict)]
        if not all(is_unicode(key) for each in mappings for key in each if isinstance(key, str)):
            return False
        inner = [child for each in mappings for child in each.values()]
        layer = inner + [child for each in layer if isinstance(each, (list, tuple)) for child in each]
    return True


def _json_coder(adapter: TypeAdapter[Any]) -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    return lambda value: json_text(adapter, value), lambda text: json_value(adapter, text)


def _stays(adapter: TypeAdapter[Any]) -> Callable[[Any, Any], bool]:
    """Whether a value is still the same when it was read; a reader validates once more what it decoded."""

    def agrees(value: Any, found: Any) -> bool:
        return same(value, found) and same(value, adapter.validate_python(found, by_alias=True, by_name=True))

    return agrees


def _plain_coder(adapter: TypeAdapter[Any]) -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """For scalars with a text form of their own: enums, UUIDs, decimals, dates."""

    def encode(value: Any) -> str:
        return _encode_text(str(adapter.dump_python(value, mode="json")))

    return encode, adapter.validate_strings


_EXACT: Final[dict[Any, tuple[str, Callable[[Any], str], Callable[[str], Any]]]] = {
    str: ("", _encode_text, str),
    int: ("", str, int),
    bool: ("", _encode_bool, _decode_bool),
    float: ("", _encode_float, _decode_float),
    datetime: ("_ms", _encode_datetime, _decode_datetime),
    timedelta: ("_ms", _encode_duration, _decode_duration),
} | dict.fromkeys((AwareDatetime, PastDatetime), ("_ms", _encode_datetime, _decode_datetime))
_PLAIN: Final = (UUID, Decimal, date, time)
_JSON_OBJECT: Final = dict[str, JsonValue]
_INDEXABLE: Final = (str, int, UUID, Enum)


def _bare(annotation: Any) -> tuple[Any, bool]:
    """The type inside Annotated and Optional, and whether None is allowed."""
    nullable = False
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType) and type(None) in get_args(annotation):
            rest = tuple(each for each in get_args(annotation) if each is not type(None))
            nullable = True
            if len(rest) != 1:
                return annotation, True
            annotation = rest[0]
        else:
            return annotation, nullable


def _is(annotation: Any, bases: tuple[type, ...]) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, bases)


def _element(annotation: Any) -> Any:
    """The element type of a homogeneous list, tuple or set; None for anything else."""
    arguments = [each for each in get_args(annotation) if each is not Ellipsis]
    if get_origin(annotation) in (list, tuple, set, frozenset) and len(arguments) == 1:
        return _bare(arguments[0])[0]
    return None


def field_codec(model: type[Session], name: str) -> FieldCodec:
    """How a field of a model is stored.

    Raises:
        InvalidModel: it cannot be stored as it is declared.
    """
    info = model.model_fields[name]
    markers = [each if not isinstance(each, type) else each() for each in info.metadata]
    indexed = any(isinstance(each, Indexed) for each in markers)
    counters = [each for each in markers if isinstance(each, Counter)]
    counter = bool(counters)
    bare, nullable = _bare(info.annotation)
    where = f"{model.__name__}.{name}"
    if not FIELD_NAME.fullmatch(name):
        raise InvalidModel(f"{where}: a field's name must match {FIELD_NAME.pattern}")
    if counter and bare is not int:
        raise InvalidModel(f"{where}: a counter is an int")
    if counter and (info.default != 0 or nullable):
        raise InvalidModel(f"{where}: a counter starts at 0, so its default must be 0")
    if counter and indexed:
        raise InvalidModel(f"{where}: a counter cannot be indexed, since increments move no index entries")
    if counter and (len(info.metadata) > 1 or _has_validator(model, name)):
        raise InvalidModel(f"{where}: a counter can have no bounds or validators, which increment() does not see")
    if bare in (FutureDate, FutureDatetime):
        raise InvalidModel(f"{where}: the future becomes the past, and the session unreadable; use AwareDatetime")
    secret = secret_type(bare)
    if secret is not None and indexed:
        raise InvalidModel(f"{where}: a secret cannot be indexed, since indexes hold values in clear")
    if bare is NaiveDatetime:
        raise InvalidModel(f"{where}: a naive datetime does not say which moment it means; use AwareDatetime")
    element = _element(bare)
    if (indexed and not (_is(bare, _INDEXABLE) or _is(element, (str,)))) or (indexed and bare is bool):
        raise InvalidModel(f"{where}: only strings, ints, enums, UUIDs and lists of strings can be indexed")

    # None is told by absence. Where absence would come back as something else, JSON can say null.
    none_is_absent = not info.is_required() and info.default_factory is None and info.default is None
    annotation: Any = info.annotation
    if info.metadata:
        annotation = Annotated[annotation, *info.metadata]
    try:
        adapter = _adapter(annotation, None if _has_config(bare) else adapter_config(model))
    except (PydanticUserError, NameError) as error:
        raise InvalidModel(f"{where}: {str(error).splitlines()[0]}") from error
    if secret is not None:
        return _secret_codec(model, name, secret, bare, adapter, optional=nullable and not none_is_absent)
    if holds_secret(adapter.core_schema):
        raise InvalidModel(
            f"{where}: a secret inside of another type cannot be sealed; make it a field of its own, or "
            "the whole one field of type pydantic.Secret[...]"
        )
    # Validated JSON holds nothing whose type == could pass over, and metadata are written with every session.
    agrees = operator.eq if bare == _JSON_OBJECT else _stays(adapter)
    if nullable and not none_is_absent:
        if indexed:
            raise InvalidModel(f"{where}: an indexed field that may be None needs None as its default")
        encode, decode = _json_coder(adapter)
        return FieldCodec(name, name, encode, decode, is_json=True, agrees=agrees)
    if bare in _EXACT:
        suffix, encode, decode = _EXACT[bare]
        return FieldCodec(
            name,
            name + suffix,
            _encode_counter if counter else encode,
            decode,
            agrees=None,
            exact=bare in (str, int, bool, float),
            none_is_absent=none_is_absent,
            indexed=indexed,
            counter=counter,
            kept_by=counters[0].kept_by if counters else "",
        )
    if _is(bare, (Enum,)) and all(isinstance(each.value, (str, int)) for each in bare):
        encode, decode = _plain_coder(TypeAdapter(bare))
        if not _is(bare, (str,)) and any(isinstance(each.value, int) for each in bare):
            by_text = {str(each.value): each for each in bare}
            if len(by_text) < len(bare):
                raise InvalidModel(f"{where}: two members of {bare.__name__} are written alike, such as 1 and '1'")
            decode = (lambda text: bare(int(text))) if _is(bare, (Flag,)) else by_text.__getitem__
        return FieldCodec(name, name, encode, decode, none_is_absent=none_is_absent, indexed=indexed)
    if _is(bare, _PLAIN):
        encode, decode = _plain_coder(TypeAdapter(bare))
        return FieldCodec(
            name, name, encode, decode, agrees=operator.eq, none_is_absent=none_is_absent, indexed=indexed
        )
    encode, decode = _json_coder(adapter)
    return FieldCodec(
        name,
        name,
        encode,
        decode,
        is_json=True,
        exact=element is str,
        agrees=agrees,
        none_is_absent=none_is_absent,
        indexed=indexed,
        many=indexed,
    )


def _secret_codec(
    model: type[Session], name: str, secret: type[Any], bare: Any, adapter: TypeAdapter[Any], *, optional: bool
) -> FieldCodec:
    """How a secret is told as text before it is sealed. `optional`: None is a value like others, and sealed as they."""
    encode: Callable[[Any], str]
    decode: Callable[[str], Any]
    if issubclass(secret, SecretStr):
        encode, decode = _encode_secret_text, bare
    elif issubclass(secret, SecretBytes):
        encode, decode = _encode_secret_bytes, lambda text: bare(base64.b64decode(text, validate=True))
    else:
        inner = secret_value_type(bare)
        own = _adapter(inner, None if _has_config(_bare(inner)[0]) else adapter_config(model))
        if holds_secret(own.core_schema):
            raise InvalidModel(f"{model.__name__}.{name}: a secret inside of a secret would be written as asterisks")
        encode = lambda value: json_text(own, value.get_secret_value())  # noqa: E731
        decode = lambda text: secret(json_value(own, text))  # noqa: E731
    if optional:
        encode, decode = _or_none(encode, decode)

    def agrees(value: Any, found: Any) -> bool:
        again = adapter.validate_python(found, by_alias=True, by_name=True)
        return type(value) is type(found) is type(again) and all(
            same(_revealed(value), _revealed(each)) for each in (found, again)
        )

    return FieldCodec(name, name, encode, decode, agrees=agrees, none_is_absent=not optional, secret=secret)


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


def _adapter(annotation: Any, config: ConfigDict | None) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=config)
    except PydanticUserError as error:
        if config is None or error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)  # dataclasses and typed dictionaries take none from outside


def _has_validator(model: type[Session], name: str) -> bool:
    """Whether a validator is declared for the field with a decorator."""
    found = model.__pydantic_decorators__.field_validators.values()
    return any(name in each.info.fields or "*" in each.info.fields for each in found)


def _has_config(bare: Any) -> bool:
    """Whether a type brings a pydantic config of its own, which an adapter must then not be given."""
    return hasattr(bare, "__pydantic_core_schema__") or hasattr(bare, "__pydantic_config__")


def adapter_config(model: type[Session]) -> ConfigDict:
    config = model.model_config
    return ConfigDict(
        ser_json_bytes=config.get("ser_json_bytes", "base64"),
        val_json_bytes=config.get("val_json_bytes", "base64"),
        ser_json_inf_nan="constants",
        arbitrary_types_allowed=config.get("arbitrary_types_allowed", False),
    )
