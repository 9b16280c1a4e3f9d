"""Telling what a store's calls do: counts for Redis or Prometheus, spans for OpenTelemetry, or what you like.

Nothing of it is done unless it is asked for: ``SessionStore(observers=[...])``, or the setting ``operation_metrics``.
"""

from sojourn.telemetry.observing import Call, Observer, Outcome
from sojourn.telemetry.opentelemetry import OpenTelemetry
from sojourn.telemetry.prometheus import Prometheus
from sojourn.telemetry.to_redis import ToRedis

__all__ = ["Call", "Observer", "OpenTelemetry", "Outcome", "Prometheus", "ToRedis"]
