"""All schemas by name, and what they say of values."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter

from sojourn.cli.schemas import archive, events, failures, looking, operating, sessions, tenants

__all__ = ["OPEN", "SCHEMAS", "adapter", "fields_of", "json_schema"]

SCHEMAS: Final[dict[str, type]] = {
    name.removesuffix("Json"): found
    for module in (sessions, events, looking, tenants, archive, operating, failures)
    for name, found in vars(module).items()
    if name.endswith("Json")
}
"""By the names that commands declare, in the order of the page that is made of them."""
OPEN: Final = frozenset({"Session", "Counters", "Entry", "Metrics"})
"""Those of what has other fields, too."""


@cache
def adapter(name: str) -> TypeAdapter[Any]:
    """What validates JSON values against a schema."""
    return TypeAdapter(SCHEMAS[name])


def fields_of(name: str) -> tuple[str, ...]:
    """The fields of a schema, in order."""
    return tuple(SCHEMAS[name].__annotations__)


def json_schema(name: str) -> dict[str, Any]:
    """A schema as JSON Schema.

    Example:
        >>> json_schema("Dropped")["required"]
        ['dropped', 'dry_run']
    """
    return adapter(name).json_schema()
