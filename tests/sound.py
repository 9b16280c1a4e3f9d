"""What the doctor makes of servers that the tests start, and such a server made as it should be."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sojourn.doctor import Finding

__all__ = ["PLAIN", "make_sound", "troubles"]

PLAIN = frozenset({"encoding", "notifications", "persistence", "version"})
"""The checks that complain of a plain server: of what tests need not configure, and of the old one that they use."""


def troubles(findings: Iterable[Finding]) -> list[Finding]:
    """Return what is not well beyond that."""
    return [each for each in findings if each.severity != "ok" and each.check not in PLAIN]


def make_sound(client: Any) -> None:
    """Configure a server as the doctor recommends; the next test finds it as it was."""
    client.config_set("notify-keyspace-events", "Exe")
    client.config_set("appendonly", "yes")
    bound = "hash-max-ziplist-value" if client.info("server")["redis_version"].startswith("6") else None
    client.config_set(bound or "hash-max-listpack-value", 1024)
