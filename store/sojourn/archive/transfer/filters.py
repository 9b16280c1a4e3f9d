"""Which rows to export."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sojourn.errors import InvalidField
from sojourn.keys import check_kind, check_tenant
from sojourn.models import Status

__all__ = ["Filters", "statuses"]


@dataclass(frozen=True)
class Filters:
    """What the sessions have in common whose rows are exported; None, and no status, for whatever it is."""

    tenant: str | None
    statuses: tuple[str, ...] = ()
    kind: str | None = None
    owner: str | None = None
    client_type: str | None = None
    tag: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        if self.tenant is not None:
            check_tenant(self.tenant)
        if self.kind is not None:
            check_kind(self.kind)
        for name in ("owner", "client_type", "tag"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not _is_storable(value)):
                raise InvalidField(name, "is no text that could be archived")
        for name in ("created_after", "created_before"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, datetime) or value.tzinfo is None):
                raise InvalidField(name, "is no time with a time zone")


def statuses(asked: str | Iterable[str] | None) -> tuple[str, ...]:
    """One status or several, checked; none for all.

    Raises:
        InvalidField: one of them is no status, or it is an empty choice.
    """
    if asked is None:
        return ()
    try:
        found = tuple(sorted({str(Status(each)) for each in ((asked,) if isinstance(asked, str) else asked)}))
    except (ValueError, TypeError):
        raise InvalidField("status", f"is one of {', '.join(Status)}") from None
    if not found:
        raise InvalidField("status", "an empty choice matches nothing")
    return found


def _is_storable(text: str) -> bool:
    return "\x00" not in text and not any("\ud800" <= each <= "\udfff" for each in text)
