"""What processes say of themselves in Redis: that they are there, and which of their settings must agree with others'.

Workers say it every few seconds, stores once, and only where the setting `tells_settings` is on. It holds no secret: of
keys their ids, of other servers' addresses a digest.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Final

from sojourn import redis_urls
from sojourn.errors import SettingsError
from sojourn.keys import CLIENTS
from sojourn.operations.core import Operation, call, raise_for
from sojourn.operations.record import now_ms
from sojourn.settings import Settings

__all__ = ["ALIVE_S", "STORE", "TELL_EVERY_S", "Client", "clients", "described", "tell_client"]

TELL_EVERY_S: Final = 10.0
"""How often workers say it."""
ALIVE_S: Final = 35.0
"""A worker that was silent for longer is gone, or stuck."""
STORE: Final = "store"
"""The role of what is no worker."""
_KEPT_MS: Final = 24 * 60 * 60 * 1000
_MOST: Final = 1_000
_LONGEST: Final = 10_000
_TOLD: Final = (
    "queue_prefix", "queue", "archive", "grace_s", "retention_s", "events_cap", "seals", "opens", "hooks", "version",
)  # fmt: skip


@dataclass(frozen=True)
class Client:
    """One process.

    Example:
        >>> Client("listen", "web1", 7, {"grace_s": 60}).name
        'listen web1/7'
    """

    role: str
    host: str
    pid: int
    settings: dict[str, Any] = field(default_factory=dict)
    silent_s: float = 0.0
    """Since when it has not said so, by Redis's clock."""

    @property
    def name(self) -> str:
        """Which one it is, for people."""
        return f"{self.role} {self.host}/{self.pid}"

    @property
    def is_alive(self) -> bool:
        """Whether it is there, as far as known; a store says so only once."""
        return self.role == STORE or self.silent_s <= ALIVE_S


def described(settings: Settings) -> dict[str, Any]:
    """Those settings that must agree with other processes', without anything secret.

    Example:
        >>> described(Settings(retention=5))["retention_s"]
        5.0
    """
    keyring = settings.keyring
    return {
        "queue_prefix": settings.queue_prefix,
        "queue": _redis_digest(settings.queue_url or settings.redis_url),
        "archive": _archive_digest(settings.archive_url),
        "grace_s": settings.grace.total_seconds(),
        "retention_s": settings.retention.total_seconds(),
        "events_cap": settings.events_cap,
        "seals": None if keyring is None else keyring.newest,
        "opens": [] if keyring is None else sorted(keyring.ids),
        "hooks": _digest(json.dumps({name: each.function for name, each in sorted(settings.hooks.items())})),
        "version": _version(),
    }


@cache
def _version() -> str:
    try:
        return importlib.metadata.version("sojourn")
    except importlib.metadata.PackageNotFoundError:  # a checkout that was never installed
        return ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _redis_digest(url: str) -> str:
    """Where a URL leads, without user and password."""
    options = redis_urls.url_options(url)
    return _digest(json.dumps([options.get(name) for name in ("path", "host", "port", "db")]))


def _archive_digest(url: str | None) -> str | None:
    if url is None:
        return None
    try:
        from sojourn.archive.database import place
    except ImportError:  # a client without the worker's libraries
        return None
    try:
        return _digest(place(url))
    except SettingsError:
        return None


def tell_client(settings: Settings, role: str, *, leaves: bool = False) -> Operation[None]:
    """Say in Redis that this process is there, or that it is about to end. A refusal is nobody's harm.

    Args:
        settings: what it works with.
        role: what it is: a worker's role, or ``store``.
        leaves: whether it is about to end.
    """
    told = {"role": role, "host": socket.gethostname(), "pid": os.getpid(), "settings": described(settings)}
    text = json.dumps(told, sort_keys=True)
    return call("tell_client", [CLIENTS], (text, _KEPT_MS, _MOST, int(leaves)), lambda _: None)


def clients() -> Operation[tuple[Client, ...]]:
    """The processes that said that they are there, the last one first."""

    def parse(replies: list[Any]) -> tuple[Client, ...]:
        for reply in replies:
            raise_for(reply, "-", "-")
        flat, time = replies
        at_ms = now_ms(time)
        found = (_client(text, float(score), at_ms) for text, score in zip(flat[::2], flat[1::2], strict=True))
        return _last_of_each(each for each in found if each is not None)

    return Operation((("ZREVRANGE", CLIENTS, 0, _MOST - 1, "WITHSCORES"), ("TIME",)), parse)


def _last_of_each(found: Iterable[Client]) -> tuple[Client, ...]:
    """A process that was given other settings says other things than before."""
    return tuple({each.name: each for each in reversed(list(found))}.values())[::-1]


def _client(text: str, score: float, at_ms: int) -> Client | None:
    """What one says; None where other hands wrote it."""
    if len(text) > _LONGEST:
        return None
    try:
        told = json.loads(text)
        settings = {name: told["settings"].get(name) for name in _TOLD}
        made = Client(str(told["role"])[:80], str(told["host"])[:80], int(told["pid"]), settings)
        return Client(**asdict(made) | {"silent_s": max(0.0, (at_ms - score) / 1000)})
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
