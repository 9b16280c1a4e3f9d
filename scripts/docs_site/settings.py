"""The reference of settings: names, types, defaults and meanings as they stand in the code."""

from __future__ import annotations

import ast
import inspect
import re
from datetime import timedelta
from typing import Final, NamedTuple

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from sojourn import ArchiveRetention, HookSettings, Limits, Settings, TenantLimits

__all__ = ["documented", "settings_text"]

_MODELS: Final[tuple[tuple[type[BaseModel], str, str], ...]] = (
    (Settings, "", ""),
    (HookSettings, "hooks", "Each entry of `hooks` is a name with"),
    (ArchiveRetention, "archive_retention", "Each rule in the list `archive_retention` has"),
    (
        Limits,
        "limits",
        "What one session may hold. Sizes are bytes as stored; too much is refused before anything is sent",
    ),
    (TenantLimits, "tenant_limits", "What a new tenant begins with; null is no limit"),
)
"""The models with the setting that each is the type of, and a sentence before its table."""


class _Attribute(NamedTuple):
    annotation: str
    docstring: str


_SECTIONS: Final = frozenset(name for _, name, _ in _MODELS)
"""Settings with a heading of their own, and so an anchor."""


def _attributes(model: type[BaseModel]) -> dict[str, _Attribute]:
    """The fields of a model as its source has them; a docstring is the text that follows a field."""
    body = [
        line
        for each in ast.parse(inspect.getsource(model)).body
        if isinstance(each, ast.ClassDef)
        for line in each.body
    ]
    found = {}
    for statement, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and after.value.value
            docstring = " ".join(str(told or "").split())
            found[statement.target.id] = _Attribute(ast.unparse(statement.annotation), docstring)
    return {name: found[name] for name in model.model_fields}


def documented(model: type[BaseModel]) -> dict[str, str]:
    """The fields of a model, each with its docstring in one line; "" where it has none."""
    return {name: attribute.docstring for name, attribute in _attributes(model).items()}


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
    for name, attribute in _attributes(model).items():
        if not attribute.docstring:
            raise ValueError(
                f"{model.__name__}.{name} has no docstring, so the reference of settings cannot tell what it is"
            )
        anchor = f'<a id="{name}"></a>' if of_environment and name not in _SECTIONS else ""
        cells = [
            f"{anchor}`{name}`",
            _type(attribute.annotation),
            _default(model, name),
            _markdown(attribute.docstring),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return rows


def _type(text: str) -> str:
    for before, after in _WORDS:
        text = text.replace(before, after)
    return _choices(text) if "Literal" in text else text.replace("|", "or")


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
    choices = [f"`{each.strip().strip(chr(39))}`" for each in inside.split(",")]
    return " or ".join([*choices, "null"] if text.endswith("null") else choices)


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.default is PydanticUndefined and field.default_factory is None:
        return "(required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        return f"[below](#{name})"
    if isinstance(value, timedelta):
        return _duration(value.total_seconds())
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if value is None:
        return "null"
    if isinstance(value, SecretStr) or value in ((), {}, ""):
        return "(empty)"
    return f"`{value}`"


def _duration(seconds: float) -> str:
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)):
        count, rest = divmod(seconds, size)
        if count and not rest:
            return f"{count:g} {unit}{'s' if count > 1 else ''}"
    return f"{seconds:g} seconds"


def _markdown(text: str) -> str:
    return re.sub(r"\bNone\b", "null", text).replace("``", "`").replace("|", "\\|")
