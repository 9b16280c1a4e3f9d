"""The sessions of the load: what they hold, how often what is done with them, and what a caller knows of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from sojourn import Counter, Indexed, McpSession

__all__ = ["BASE", "LIVE", "OWNED", "TENANT", "Known", "LoadSession", "fields"]

LIVE: Final = 10_000
"""Live sessions at factor 1."""
BASE: Final = {
    "create": 1_000.0,
    "end": 1_000.0,
    "get": 500.0,
    "update": 100.0,
    "touch": 100.0,
    "increment": 50.0,
    "record": 100_000 / 3_600,
    "list": 2.0,
    "issue": 5.0,
    "verify": 20.0,
}
"""Calls per second at factor 1. What is created must end, so that there are as many live ones as before."""
OWNED: Final = 50
"""Sessions of one owner."""
TENANT: Final = "load"
_NOTES: Final = "n" * 300


class LoadSession(McpSession, kind="load"):
    """A session of some 25 fields and 1 KB."""

    region: Annotated[str, Indexed()] = "eu"
    step: int = 0
    hits: Annotated[int, Counter()] = 0
    notes: str = ""


def fields(process: int, number: int) -> dict[str, Any]:
    """Those of a process's session of that number."""
    return {
        "owner": f"owner-{process}-{number // OWNED}",
        "client_type": "load",
        "tags": ["one"],
        "metadata": {"plan": "free", "number": number},
        "edge_mcp_id": f"edge-{process}",
        "region": "eu-west-1",
        "notes": _NOTES,
    }


@dataclass(slots=True)
class Known:
    """What Redis acknowledged of a session."""

    owner: str
    version: int = 1
    hits: int = 0
    executions: int = 0
    unsure: int = 0
    """Changes that were sent and got no answer: they were made, or were not."""
    ending: bool = False
    """Its end was sent; from now on it may refuse what comes."""
    ended: bool = False
