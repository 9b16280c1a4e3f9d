"""The model of a session of an MCP server: who is connected, and which tools it ran."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, Secret

from sojourn.models.base import Session
from sojourn.models.markers import Counter, Indexed, Log

__all__ = ["ClientInfo", "McpSession", "ToolExecution"]

_COUNTED = Counter(kept_by="mcp.record_tool_execution()")


class ClientInfo(BaseModel):
    """What a client told of itself when it connected."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    version: str | None = None
    protocol_version: str | None = None
    capabilities: dict[str, JsonValue] | None = None


class ToolExecution(BaseModel):
    """One execution of a tool."""

    model_config = ConfigDict(frozen=True)

    tool: str
    at: AwareDatetime
    """When it was recorded, by Redis's clock."""
    duration: timedelta
    success: bool
    error: str | None = None
    arguments_digest: str | None = None
    """SHA-256, in hexadecimal, of the arguments as JSON: keys sorted, no white space, UTF-8. They are kept nowhere."""


class McpSession(Session, kind="mcp"):
    """A session of an MCP server, for its executions of tools.

    ``store.mcp`` records executions, and tells what came of them. The fields that count them, and the log, stay as they
    are where an earlier state of the session is restored.

    Example:
        >>> McpSession.tool_executions
        Log('tool_executions')
    """

    edge_mcp_id: Annotated[str | None, Indexed()] = None
    client_info: ClientInfo | None = None
    credentials: Secret[dict[str, str]] | None = None
    """Of the client, passed through to what tools call; sealed wherever they are stored."""
    executions: Annotated[int, _COUNTED] = 0
    failed_executions: Annotated[int, _COUNTED] = 0
    execution_time_us: Annotated[int, _COUNTED] = 0

    tool_executions: ClassVar[Log[ToolExecution]] = Log(ToolExecution, keep=1_000)
