"""Session models: the base class, the ready ones, and the markers for your own."""

from sojourn.models.base import ENDED, LIVE, Session, Status, UnknownSession
from sojourn.models.documentation import DocumentationSession, Note, Progress
from sojourn.models.markers import Counter, Indexed, Log
from sojourn.models.mcp import ClientInfo, McpSession, ToolExecution
from sojourn.models.metrics import ExecutionMetrics, McpMetrics, Within

__all__ = [
    "ENDED",
    "LIVE",
    "ClientInfo",
    "Counter",
    "DocumentationSession",
    "ExecutionMetrics",
    "Indexed",
    "Log",
    "McpMetrics",
    "McpSession",
    "Note",
    "Progress",
    "Session",
    "Status",
    "ToolExecution",
    "UnknownSession",
    "Within",
]
