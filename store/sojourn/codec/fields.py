"""How one field of a model is stored: which hash field, and which text."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, Flag
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import (
    AwareDatetime,
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

from sojourn.codec.annotations import adapter_config, adapter_of, bare_type, element_type, has_config, is_a
from sojourn.codec.checks import FIELD_NAME
from sojourn.codec.fidelity import same
from sojourn.codec.json_texts import json_coder, json_object, plain_coder, stays
from sojourn.codec.secret_fields import secret_coder
from sojourn.codec.texts import (
    bool_from,
    counter_text,
    duration_from,
    finite_from,
    moment_from,
    plain_text,
    text_of_bool,
    text_of_duration,
    text_of_float,
    text_of_moment,
)
from sojourn.errors import InvalidModel
from sojourn.models import Counter, Indexed, Session
from sojourn.sealing import holds_secret, secret_type

__all__ = ["FieldCodec", "field_codec"]


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


_EXACT: Final[dict[Any, tuple[str, Callable[[Any], str], Callable[[str], Any]]]] = {
    str: ("", plain_text, str),
    int: ("", str, int),
    bool: ("", text_of_bool, bool_from),
    float: ("", text_of_float, finite_from),
    datetime: ("_ms", text_of_moment, moment_from),
    timedelta: ("_ms", text_of_duration, duration_from),
} | dict.fromkeys((AwareDatetime, PastDatetime), ("_ms", text_of_moment, moment_from))
_PLAIN: Final = (UUID, Decimal, date, time)
_JSON_OBJECT: Final = dict[str, JsonValue]
_INDEXABLE: Final = (str, int, UUID, Enum)


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
    bare, nullable = bare_type(info.annotation)
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
    element = element_type(bare)
    if (indexed and not (is_a(bare, _INDEXABLE) or is_a(element, (str,)))) or (indexed and bare is bool):
        raise InvalidModel(f"{where}: only strings, ints, enums, UUIDs and lists of strings can be indexed")

    # None is told by absence. Where absence would come back as something else, JSON can say null.
    none_is_absent = not info.is_required() and info.default_factory is None and info.default is None
    annotation: Any = info.annotation
    if info.metadata:
        annotation = Annotated[annotation, *info.metadata]
    try:
        adapter = adapter_of(annotation, None if has_config(bare) else adapter_config(model))
    except (PydanticUserError, NameError) as error:
        raise InvalidModel(f"{where}: {str(error).splitlines()[0]}") from error
    if secret is not None:
        optional = nullable and not none_is_absent
        encode, decode, agrees = secret_coder(model, name, secret, bare, adapter, optional=optional)
        return FieldCodec(name, name, encode, decode, agrees=agrees, none_is_absent=not optional, secret=secret)
    if holds_secret(adapter.core_schema):
        raise InvalidModel(
            f"{where}: a secret inside of another type cannot be sealed; make it a field of its own, or "
            "the whole one field of type pydantic.Secret[...]"
        )
    # Validated JSON holds nothing whose type == could pass over, and metadata are written with every session.
    agrees = operator.eq if bare == _JSON_OBJECT else stays(adapter)
    if nullable and not none_is_absent:
        if indexed:
            raise InvalidModel(f"{where}: an indexed field that may be None needs None as its default")
        encode, decode = json_coder(adapter)
        return FieldCodec(name, name, encode, decode, is_json=True, agrees=agrees)
    if bare in _EXACT:
        suffix, encode, decode = _EXACT[bare]
        return FieldCodec(
            name,
            name + suffix,
            counter_text if counter else encode,
            decode,
            agrees=None,
            exact=bare in (str, int, bool, float),
            none_is_absent=none_is_absent,
            indexed=indexed,
            counter=counter,
            kept_by=counters[0].kept_by if counters else "",
        )
    if is_a(bare, (Enum,)) and all(isinstance(each.value, (str, int)) for each in bare):
        encode, decode = plain_coder(TypeAdapter(bare))
        if not is_a(bare, (str,)) and any(isinstance(each.value, int) for each in bare):
            by_text = {str(each.value): each for each in bare}
            if len(by_text) < len(bare):
                raise InvalidModel(f"{where}: two members of {bare.__name__} are written alike, such as 1 and '1'")
            decode = (lambda text: bare(int(text))) if is_a(bare, (Flag,)) else by_text.__getitem__
        return FieldCodec(name, name, encode, decode, none_is_absent=none_is_absent, indexed=indexed)
    if is_a(bare, _PLAIN):
        encode, decode = plain_coder(TypeAdapter(bare))
        return FieldCodec(
            name, name, encode, decode, agrees=operator.eq, none_is_absent=none_is_absent, indexed=indexed
        )
    encode, decode = json_coder(adapter)
    return FieldCodec(
        name,
        name,
        encode,
        json_object if bare == _JSON_OBJECT else decode,
        is_json=True,
        exact=element is str,
        agrees=agrees,
        none_is_absent=none_is_absent,
        indexed=indexed,
        many=indexed,
    )


def _has_validator(model: type[Session], name: str) -> bool:
    """Whether a validator is declared for the field with a decorator."""
    found = model.__pydantic_decorators__.field_validators.values()
    return any(name in each.info.fields or "*" in each.info.fields for each in found)
