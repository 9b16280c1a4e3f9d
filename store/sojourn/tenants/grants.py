"""Which Redis users are confined to which tenants: Redis keeps them apart from its data, and beyond a loss of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from redis.exceptions import ResponseError

from sojourn.errors import StoreError, StoreUnavailable
from sojourn.keys import partition_note
from sojourn.operations.core import Operation
from sojourn.tenants.link import Link

__all__ = ["Grant", "command", "grants", "seen_grants"]

_PREFIX: Final = re.compile(r"~sojourn:\{(\d{3,6})\}:\*")
_NOTE: Final = re.compile(rf"(?:%R)?~{re.escape(partition_note(''))}(\S+)")


@dataclass(frozen=True)
class Grant:
    """A user who may use the keys of one tenant's own partition."""

    user: str
    tenant: str
    partition: int


def grants(link: Link) -> tuple[Grant, ...]:
    """All users that are confined to a tenant; none where that may not be asked."""
    return seen_grants(link) or ()


def seen_grants(link: Link) -> tuple[Grant, ...] | None:
    """All users that are confined to a tenant; None where that may not be asked."""
    try:
        lines = command(link, "ACL", "LIST")
    except StoreUnavailable:
        raise
    except StoreError:
        return None
    return tuple(_read(lines))


def _read(lines: list[str]) -> Iterator[Grant]:
    for line in lines:
        _, user, *rule = line.split(" ")
        numbers = [found[1] for found in map(_PREFIX.fullmatch, rule) if found]
        tenants = [found[1] for found in map(_NOTE.fullmatch, rule) if found]
        for number in numbers:
            yield Grant(user, tenants[0] if tenants else "", int(number))


def command(link: Link, *words: str) -> Any:
    """The reply to a command that this user may not be allowed.

    Raises:
        StoreError: Redis refused it.
    """

    def parse(replies: list[Any]) -> Any:
        if isinstance(replies[0], ResponseError):
            raise StoreError(f"Redis refused {' '.join(words[:2])}: {replies[0]}")
        return replies[0]

    return link.run(Operation((words,), parse))
