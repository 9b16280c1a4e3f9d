"""The reference of settings: names, types, defaults and meanings as they stand in the code."""

from __future__ import annotations

from typing import Any, Final

import griffe
from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from sojourn import ArchiveRetention, HookSettings, Limits, Settings, TenantLimits

__all__ = ["documented", "settings_text"]

_MODELS: Final[tuple[tuple[type[BaseModel], str, str], ...]] = (
    (Settings, "", ""),
    (HookSettings, "hooks", "Each entry of `hooks` is a name with"),
    (ArchiveRetention, "archive_retention", "Each rule in the list `archive_retention` has"),
    (Limits, "limits", "What one session may hold. Sizes are bytes as stored; too much is refused before anything is sent"),
    (TenantLimits, "tenant_limits", "What a new tenant begins with; null is no limit"),
)
"""The models with the setting that each is the type of, and a sentence before its table."""


def documented(model: type[BaseModel]) -> dict[str, str]:
    """The fields of a model, each with its docstring in one line; "" where it has none."""
    found = griffe.load(model.__module__, resolve_aliases=False)[model.__name__]
    return {
        name: " ".join(found.members[name].docstring.value.split()) if found.members[name].docstring else ""
        for name in model.model_fields
    }


def settings_text() -> str:
    """A table for each model.

    Raises:
        ValueError: a setting has no docstring.
    """
    parts = []
    for model, name, sentence in _MODELS:
        if name:
            parts += [f"## {name}", "", f"{sentence}:", ""]
        parts += _table(model, of_environment=model is Settings)
        parts.append("")
    return "\n".join(parts)


def _table(model: type[BaseModel], *, of_environment: bool) -> list[str]:
    rows = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    loaded = griffe.load(model.__module__, resolve_aliases=False)[model.__name__]
    for name, meaning in documented(model).items():
        if not meaning:
            raise ValueError(f"{model.__name__}.{name} has no docstring, so the reference of settings cannot tell what it is")
        anchor = f'<a id="{name}"></a>' if of_environment else ""
        cells = [f"{anchor}`{name}`", _type(loaded.members[name]), _default(model, name), _markdown(meaning)]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _type(attribute: Any) -> str:
    text = str(attribute.annotation)
    for before, after in _WORDS:
        text = text.replace(before, after)
    return text.replace("|", "or").replace('"', "`") if "Literal" not in text else _choices(text)


_WORDS: Final = (
    ("Annotated[tuple[SecretStr, ...], NoDecode]", "list of text"),
    ("Annotated[int, Field(gt=0, le=1000)]", "int"),
    ("tuple[ArchiveRetention, ...]", "list of rules"),
    ("tuple[EventType, ...]", "list of event types"),
    ("tuple[str, ...]", "list of text"),
    ("dict[str, HookSettings]", "hooks by name"),
    ("TenantLimits", "limits"),
    ("Limits", "limits"),
    ("timedelta", "duration"),
    ("Seconds", "seconds"),
    ("Status", "status"),
    ("Positive", "int"),
    ("Count", "int"),
    ("Rate", "rate"),
    ("Path", "path"),
    ("str", "text"),
    ("None", "null"),
)


def _choices(text: str) -> str:
    inside = text.partition("Literal[")[2].rpartition("]")[0]
    return " or ".join(f"`{each.strip().strip(chr(39)).strip(chr(34))}`" for each in inside.split(","))


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.default is PydanticUndefined and field.default_factory is None:
        return "(required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return f"[below](#{name})"
    if hasattr(value, "total_seconds"):
        return f"`{value.total_seconds():g}` s"
    if value is None:
        return "null"
    if isinstance(value, SecretStr) or value in ((), {}, ""):
        return "(empty)"
    return f"`{value}`"


def _markdown(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|").replace("<", "&lt;") if "`" not in text else text.replace("``", "`").replace("|", "\\|")
