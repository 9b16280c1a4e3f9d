"""What several of the archive's tests need."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import redis
from pydantic import BaseModel

from sojourn import Note
from sojourn.keys import TenantKeys

__all__ = ["dirty_members", "exactly", "keys_of", "note"]

PARTITIONS = 64


def note(path: str = "a.py", **more: Any) -> Note:
    """Make a note."""
    return Note(**{"file_path": path, "status": "ok", "created_at": datetime(2024, 1, 1, tzinfo=UTC), **more})


def keys_of(tenant: str = "default") -> TenantKeys:
    """Return the keys of a tenant."""
    return TenantKeys.of(tenant, PARTITIONS)


def dirty_members(client: redis.Redis, tenant: str = "default") -> list[str]:
    """Return what waits for the archive in a tenant's partition."""
    found: Any = client.zrange(keys_of(tenant).partition.dirty, 0, -1)
    return list(found)


def exactly(value: Any) -> Any:
    """Return a form of a value in which only equal values of the same types are equal, -0.0 and 0.0 apart."""
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in (*type(value).model_fields, *(value.model_extra or ()))}
        return type(value).__name__, exactly(fields)
    if type(value) is dict:
        return "dict", sorted((repr(name), exactly(each)) for name, each in value.items())
    if isinstance(value, Mapping):
        return type(value).__name__, [(repr(name), exactly(each)) for name, each in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [exactly(each) for each in value]
    return type(value).__name__, repr(value)
