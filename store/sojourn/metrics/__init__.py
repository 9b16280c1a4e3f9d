"""How a deployment and its tenants are doing, in numbers that Redis keeps: exact, whatever workers come and go."""

from __future__ import annotations

from sojourn.metrics.deployment import read_metrics
from sojourn.metrics.model import GroupState, HookRuns, Metrics
from sojourn.metrics.shown import Choice
from sojourn.metrics.tenant import LabelCounts, TenantMetrics

__all__ = ["Choice", "GroupState", "HookRuns", "LabelCounts", "Metrics", "TenantMetrics", "read_metrics"]
