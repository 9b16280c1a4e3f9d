"""Whether what a worker needs is there."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from redis.exceptions import ResponseError

from sojourn.errors import SojournError, StoreError
from sojourn.operations.core import Operation, raise_for
from sojourn.operations.read import open_layout
from sojourn.scripts import script
from sojourn.settings import Settings
from sojourn.transport.blocking import Transport

__all__ = ["Check", "readiness"]


@dataclass(frozen=True)
class Check:
    """One thing that must be there.

    Example:
        >>> Check("redis", True).to_json()
        {'check': 'redis', 'ok': True, 'told': ''}
    """

    check: str
    ok: bool
    told: str = ""
    """What is wrong."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def readiness(settings: Settings) -> tuple[Check, ...]:
    """Whether Redis answers, is laid out as the settings say, and takes our scripts.

    Example:
        >>> all(each.ok for each in readiness(load_settings()))  # doctest: +SKIP
        True
    """
    transport = Transport(settings)
    try:
        return tuple(_looked(transport, settings))
    finally:
        transport.close()


def _looked(transport: Transport, settings: Settings) -> list[Check]:
    look, _ = open_layout(settings.partitions)
    load = _load("claim_due")
    try:
        layout, loaded = transport.execute([look, load])
    except StoreError as error:
        return [Check("redis", ok=False, told=str(error))]
    found = [Check("redis", ok=True)]
    for name, operation, replies in (("layout", look, layout), ("scripts", load, loaded)):
        try:
            operation.parse(replies)
        except SojournError as error:
            found.append(Check(name, ok=False, told=str(error)))
        else:
            found.append(Check(name, ok=True))
    return found


def _load(name: str) -> Operation[None]:
    def parse(replies: list[Any]) -> None:
        if isinstance(replies[0], ResponseError):
            raise_for(replies[0], "-", "-")

    return Operation((("SCRIPT", "LOAD", script(name).source),), parse)
