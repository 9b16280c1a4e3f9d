"""What came of a session's executions of tools."""

from __future__ import annotations

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, computed_field

__all__ = ["ExecutionMetrics", "McpMetrics", "Within"]


class Within(BaseModel):
    """How many executions took at most so long; `bound_ms` None: however long they took."""

    model_config = ConfigDict(frozen=True)

    bound_ms: int | None
    count: int


class ExecutionMetrics(BaseModel):
    """Counts of executions, exact, and their durations, exact to the microsecond."""

    model_config = ConfigDict(frozen=True)

    total: int
    failed: int
    duration: timedelta
    """All of them together."""
    buckets: tuple[Within, ...]
    """The shortest bound first; each counts what the ones before it do."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def success_rate(self) -> float | None:
        """Of 1.0; None without any execution."""
        return (self.total - self.failed) / self.total if self.total else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def average_duration(self) -> timedelta | None:
        """None without any execution."""
        return self.duration / self.total if self.total else None


class McpMetrics(ExecutionMetrics):
    """The same for a whole session, and for each of its tools."""

    session_id: str
    tools: dict[str, ExecutionMetrics]
    others: ExecutionMetrics | None
    """Of the tools together that came when as many were counted as the setting ``limits.tools`` allows."""
    log_length: int
    """Executions whose entries Redis holds."""
    log_first: int
    """The position of the first of them, counted from the session's very first."""
    log_dropped: int
    """Entries that had to leave Redis before the archive was known to have them."""
