"""What is told of a deployment's health."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Health", "Reason", "State"]


class State(StrEnum):
    """How a deployment is: `UNHEALTHY` where it cannot do what it is for."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True)
class Reason:
    """Why a deployment is not healthy.

    Example:
        >>> Reason("archive", State.DEGRADED, "it is away", "start PostgreSQL").to_json()["state"]
        'degraded'
    """

    what: str
    """What was looked at: ``redis``, ``sessions``, ``memory``, ``cleanup``, ``sweeper``, ``scheduler``, ``archive``,
    ``archive_lag``, ``queues``, ``outbox``, ``redis_memory`` or ``roles``."""
    state: State
    """How bad that alone is."""
    told: str
    """What was found."""
    mend: str
    """What to do."""
    value: float | None = None
    """The number that was found, if it is about one."""
    threshold: float | None = None
    """The one that it may not pass."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"state": str(self.state)}


@dataclass(frozen=True)
class Health:
    """A deployment's state, and all the reasons for it.

    Example:
        >>> Health().state
        <State.HEALTHY: 'healthy'>
    """

    reasons: tuple[Reason, ...] = ()

    @property
    def state(self) -> State:
        """The worst that there is a reason for."""
        return max((each.state for each in self.reasons), key=list(State).index, default=State.HEALTHY)

    def and_also(self, *reasons: Reason) -> Health:
        """The same with further reasons."""
        return Health((*self.reasons, *reasons))

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"state": str(self.state), "reasons": [each.to_json() for each in self.reasons]}
