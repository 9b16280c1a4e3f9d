"""Whether a deployment is well: healthy, degraded or unhealthy, with the reasons, by thresholds in the settings."""

from __future__ import annotations

from sojourn.health.judge import judge
from sojourn.health.model import Health, Reason, State
from sojourn.health.ready import Check, readiness
from sojourn.health.watch import Watch, read_health

__all__ = ["Check", "Health", "Reason", "State", "Watch", "judge", "read_health", "readiness"]
