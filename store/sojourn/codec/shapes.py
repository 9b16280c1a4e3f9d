"""What pydantic does with each field of a model, as far as it can be told from its schema and done without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

from pydantic import SecretStr, TypeAdapter
from pydantic_core import CoreConfig, CoreSchema, SchemaError, SchemaValidator

from sojourn.models import Session

__all__ = ["Shape", "shapes_of"]

_TOLD: Final = frozenset({"type", "metadata", "ref", "serialization", "strict"})
"""Keys of a schema that do not touch how a value of exactly its type is validated."""
_CONFIG: Final = frozenset({
    "title", "extra_fields_behavior", "strict", "allow_inf_nan", "from_attributes", "ser_json_bytes", "val_json_bytes",
    "ser_json_inf_nan", "ser_json_timedelta", "ser_json_temporal", "hide_input_in_errors", "loc_by_alias",
    "validate_by_alias", "validate_by_name", "serialize_by_alias", "validation_error_cause",
})  # fmt: skip
"""The same, of a model's configuration."""
_REFUSED: Final = {"ge": "<", "gt": "<=", "le": ">", "lt": ">=", "min_length": "<", "max_length": ">"}
"""Bounds, and the comparison by which a value is found outside of them."""
_BOUNDS: Final[dict[str, frozenset[str]]] = {
    "str": frozenset({"min_length", "max_length"}),
    "int": frozenset({"ge", "gt", "le", "lt"}),
    "float": frozenset({"ge", "gt", "le", "lt"}),
}


@dataclass(frozen=True)
class Shape:
    """What comes of one field."""

    kind: str
    """How a value is validated whose type is exactly right, by a short name; '' for however `validate` does it."""
    validate: Callable[..., Any]
    """The field's own validator, as the model's has it within."""
    required: bool
    default: Any = None
    copied: bool = False
    """Whether the default is copied for each instance."""
    factory: Callable[[], Any] | None = None
    bounds: tuple[tuple[str, Any], ...] = ()
    """Comparisons that a value must not meet, each with what it is compared with."""
    members: tuple[Any, ...] = ()
    """An enum's."""
    nullable: bool = False
    """Whether None is a value."""
    strict: bool = False
    """Whether a value of another type is refused, though it could be converted."""
    runs_code: bool = False
    """Whether validating runs functions that are not pydantic's. They may change what they are given, so once it is."""


def shapes_of(model: type[Session]) -> dict[str, Shape] | None:
    """The fields' shapes in order; None where an instance cannot be put together of separately decoded fields.

    So it is where a model has validators of the whole or ones that look at other fields, private attributes, types for
    extra fields, or makes its instances in a way of its own.
    """
    schema: Any = model.__pydantic_core_schema__
    definitions: list[CoreSchema] = []
    if not isinstance(schema, dict):
        return None
    if schema["type"] == "definitions":
        definitions, schema = schema["definitions"], schema["schema"]
    named = {cast("str", each.get("ref")): each for each in definitions}
    schema = _resolved(schema, named)
    inner = schema.get("schema", {})
    config = schema.get("config", {})
    if (
        schema["type"] != "model"
        or schema["cls"] is not model
        or any(schema.get(each) for each in ("custom_init", "root_model", "post_init"))
        or inner["type"] != "model-fields"
        or any(each in inner for each in ("extras_schema", "extras_keys_schema"))
        or (_allows_extra(inner, config) and any(_has_alias(each) for each in inner["fields"].values()))
        or not config.keys() <= _CONFIG
        or model.__new__ is not object.__new__
        or model.__private_attributes__
        or list(inner["fields"]) != list(model.model_fields)
    ):
        return None
    try:
        shapes = {name: _shape(each["schema"], named, definitions, config) for name, each in inner["fields"].items()}
    except _NotPlainError:
        return None
    return shapes


def _allows_extra(inner: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    return "allow" in (inner.get("extra_behavior"), config.get("extra_fields_behavior"))


def _has_alias(field: Mapping[str, Any]) -> bool:
    """Whether a field may be given by another name, which an extra one may have."""
    return field.get("validation_alias") is not None


class _NotPlainError(Exception):
    """A field whose value depends on more than its text."""


def _resolved(schema: Any, named: Mapping[str, Any]) -> Any:
    while schema["type"] == "definition-ref":
        schema = named[schema["schema_ref"]]
    return schema


def _shape(schema: Any, named: Mapping[str, Any], definitions: list[CoreSchema], config: CoreConfig) -> Shape:
    given: dict[str, Any] = {"required": True}
    outer, schema = schema, _resolved(schema, named)
    if schema["type"] == "default":
        if schema.get("validate_default") or schema.get("on_error", "raise") != "raise":
            raise _NotPlainError
        if schema.get("default_factory_takes_data"):
            raise _NotPlainError
        given = {
            "required": False, "default": schema.get("default"), "copied": bool(schema.get("copy_default")),
            "factory": schema.get("default_factory"),
        }  # fmt: skip
        outer, schema = schema["schema"], _resolved(schema["schema"], named)
    functions = list(_functions(schema, named))
    if any(each.get("type") == "with-info" for each in functions):
        raise _NotPlainError
    if _has(schema, "default"):  # what is left out of the field itself, rather than of something in it
        raise _NotPlainError
    try:
        whole: Any = {"type": "definitions", "schema": outer, "definitions": definitions} if definitions else outer
        validate = SchemaValidator(whole, config).validate_python
    except SchemaError:
        raise _NotPlainError from None
    nullable = schema["type"] == "nullable"
    if nullable:
        schema = _resolved(schema["schema"], named)
    kind = _kind(schema, named)
    bounds = tuple((_REFUSED[key], schema[key]) for key in _BOUNDS.get(kind, ()) if schema.get(key) is not None)
    strict = bool(schema.get("strict", config.get("strict", False)))
    members = tuple(schema.get("members", ()))
    runs_code = any(not _is_of_pydantic(each["function"]) for each in functions)
    return Shape(
        kind, validate, bounds=bounds, members=members, nullable=nullable, strict=strict, runs_code=runs_code, **given
    )


def _is_of_pydantic(function: object) -> bool:
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__module__", "")).partition(".")[0] in ("pydantic", "pydantic_core")


def _has(schema: Any, kind: str) -> bool:
    """Whether a schema is of a kind, around whatever else."""
    while isinstance(schema, dict):
        if schema["type"] == kind:
            return True
        schema = schema.get("schema")
    return False


def _functions(schema: Any, named: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The functions in a schema."""
    waiting, seen = [schema], set()
    while waiting:
        found = waiting.pop()
        if not isinstance(found, dict | list | tuple) or id(found) in seen:
            continue
        seen.add(id(found))
        if isinstance(found, dict):
            if found.get("type") == "definition-ref":
                waiting.append(named[found["schema_ref"]])
            if isinstance(found.get("function"), dict):
                yield found["function"]
            waiting += [value for key, value in found.items() if key not in ("metadata", "serialization")]
        else:
            waiting += found


def _kind(schema: Any, named: Mapping[str, Any]) -> str:
    """The name of a way to validate that is known here; '' for any other."""
    kind: str = schema["type"]
    keys = schema.keys() - _TOLD
    if kind in _BOUNDS:
        return kind if keys - {"allow_inf_nan"} <= _BOUNDS[kind] else ""
    if kind == "bool":
        return "" if keys else kind
    if kind == "datetime":
        aware = schema.get("tz_constraint", "aware") == "aware"
        return kind if aware and keys <= {"tz_constraint", "microseconds_precision"} else ""
    if kind == "timedelta":
        return kind if keys <= {"microseconds_precision"} else ""
    if kind == "enum":
        return kind if keys <= {"cls", "members", "sub_type", "missing"} else ""
    if "serialization" in schema:  # JSON is written as that says
        return ""
    if kind == "lax-or-strict" and _bare(schema) == _SECRET_TEXT:
        return "secret_text"
    if kind == "tuple" and keys == {"items_schema", "variadic_item_index"} and schema["variadic_item_index"] == 0:
        items = schema["items_schema"]
        return "texts" if len(items) == 1 and _is_any_text(items[0], named) else ""
    if kind == "dict" and keys == {"keys_schema", "values_schema"}:
        values = schema["values_schema"]
        is_json = values["type"] == "definition-ref" and values["schema_ref"].startswith("pydantic.types.JsonValue:")
        return "json_object" if is_json and _is_any_text(schema["keys_schema"], named) else ""
    return ""


def _bare(schema: Any) -> Any:
    """A schema without its metadata, which hold functions of their own for each field."""
    if isinstance(schema, dict):
        return {key: _bare(value) for key, value in schema.items() if key != "metadata"}
    return [_bare(each) for each in schema] if isinstance(schema, list) else schema


_SECRET_TEXT: Final = _bare(TypeAdapter(SecretStr).core_schema)


def _is_any_text(schema: Any, named: Mapping[str, Any]) -> bool:
    schema = _resolved(schema, named)
    return schema["type"] == "str" and not schema.keys() - (_TOLD - {"serialization"})
