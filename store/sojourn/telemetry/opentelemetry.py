"""Spans and durations of calls by OpenTelemetry, after its conventions for database clients.

https://opentelemetry.io/docs/specs/semconv/database/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sojourn.errors import SessionNotFound, SojournError, TokenInvalid
from sojourn.redis_urls import url_options
from sojourn.settings import Settings
from sojourn.telemetry.observing import Call, Ended, Observer, Outcome

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

__all__ = ["OpenTelemetry"]

_NAME: Final = "sojourn"
_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)
"""As the conventions ask for of db.client.operation.duration."""
_NO_FAILURES: Final = (SessionNotFound, TokenInvalid)
"""Answers, rather than failures: a client asks to hear them."""


class OpenTelemetry(Observer):
    """A span ``sojourn.<operation>`` for each call, and its duration in ``db.client.operation.duration``.

    Spans are children of the caller's, and what is done within the call is their child, across threads, tasks and
    processes as the providers have it. The caller's trace id goes into the events of what a call changes, so that the
    audit trail leads to the trace and back; a `trace_id` that the store was given goes before. No span has a session's
    id: it is a handle to the session, and spans go to more hands than the audit trail, which has it beside the trace.

    Args:
        tracer_provider: None: the global one.
        meter_provider: None: the global one.

    Raises:
        SojournError: opentelemetry-api is not installed.

    Example:
        >>> store = SessionStore(observers=[OpenTelemetry()])  # doctest: +SKIP
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        try:
            from opentelemetry import context, metrics, trace
        except ImportError as error:
            raise SojournError(f"it needs opentelemetry-api ({error}): pip install 'sojourn[telemetry]'") from None
        self._context, self._trace = context, trace
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        self._durations = metrics.get_meter(_NAME, meter_provider=meter_provider).create_histogram(
            "db.client.operation.duration", unit="s", description="Duration of database client operations.",
            explicit_bucket_boundaries_advisory=_BUCKETS_S,
        )  # fmt: skip
        self._server: dict[str, Any] = {"db.system.name": "redis"}

    def attach(self, settings: Settings) -> None:
        """Note where the store's Redis is; of several stores, the last one's."""
        given = url_options(settings.redis_url)
        self._server = {"db.system.name": "redis", "db.namespace": str(given.get("db") or 0)}
        if "host" in given:
            self._server |= {"server.address": given["host"], "server.port": int(given.get("port", 6379))}
        elif "path" in given:
            self._server["server.address"] = given["path"]

    def trace_id(self) -> str:
        """That of the current span, in hexadecimal digits."""
        current = self._trace.get_current_span().get_span_context()
        return format(current.trace_id, "032x") if current.is_valid else ""

    def started(self, call: Call) -> Ended:
        """Begin a span, and make it the current one until it ends."""
        common = {**self._server, "db.operation.name": call.operation}
        span = self._tracer.start_span(
            f"sojourn.{call.operation}", kind=self._trace.SpanKind.CLIENT,
            attributes={**common, "sojourn.tenant": call.tenant},
        )  # fmt: skip
        token = self._context.attach(self._trace.set_span_in_context(span))

        def ended(outcome: Outcome) -> None:
            self._context.detach(token)
            span.set_attribute("sojourn.result", outcome.result)
            attributes = common
            error = outcome.error
            if error is not None and not isinstance(error, _NO_FAILURES):
                cls = type(error)
                attributes = {**common, "error.type": f"{cls.__module__}.{cls.__qualname__}"}
                span.set_attribute("error.type", attributes["error.type"])
                # What others raise, as in a function that was given to mutate(), may tell anything.
                told = str(error) if isinstance(error, SojournError) else None
                span.set_status(self._trace.StatusCode.ERROR, told)
            span.end()
            self._durations.record(outcome.duration_s, attributes)

        return ended
