"""What a field's annotation says: its type, what is in it, and pydantic's adapter for it."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter

from sojourn.models import Session

__all__ = ["adapter_config", "adapter_of", "bare_type", "element_type", "has_config", "is_a"]


def bare_type(annotation: Any) -> tuple[Any, bool]:
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


def is_a(annotation: Any, bases: tuple[type, ...]) -> bool:
    """Whether it is a class that derives from one of these."""
    return isinstance(annotation, type) and issubclass(annotation, bases)


def element_type(annotation: Any) -> Any:
    """The element type of a homogeneous list, tuple or set; None for anything else."""
    arguments = [each for each in get_args(annotation) if each is not Ellipsis]
    if get_origin(annotation) in (list, tuple, set, frozenset) and len(arguments) == 1:
        return bare_type(arguments[0])[0]
    return None


def adapter_of(annotation: Any, config: ConfigDict | None) -> TypeAdapter[Any]:
    """Its adapter; the configuration is left out for types that take none."""
    try:
        return TypeAdapter(annotation, config=config)
    except PydanticUserError as error:
        if config is None or error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(annotation)  # dataclasses and typed dictionaries take none from outside


def has_config(bare: Any) -> bool:
    """Whether a type brings a pydantic config of its own, which an adapter must then not be given."""
    return hasattr(bare, "__pydantic_core_schema__") or hasattr(bare, "__pydantic_config__")


def adapter_config(model: type[Session]) -> ConfigDict:
    """The configuration under which a model's fields are encoded and decoded one by one."""
    config = model.model_config
    return ConfigDict(
        ser_json_bytes=config.get("ser_json_bytes", "base64"),
        val_json_bytes=config.get("val_json_bytes", "base64"),
        ser_json_inf_nan="constants",
        arbitrary_types_allowed=config.get("arbitrary_types_allowed", False),
    )
