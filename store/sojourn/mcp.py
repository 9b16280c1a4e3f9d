"""What stores do with sessions of MCP servers: ``store.mcp``, synchronous and asynchronous twins."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sojourn.errors import InvalidInput
from sojourn.facade import kept
from sojourn.models import McpMetrics, McpSession, Session, Status, ToolExecution
from sojourn.operations import mcp, read, write

if TYPE_CHECKING:
    from sojourn.aio import AsyncSessionStore
    from sojourn.client import SessionStore
    from sojourn.facade import Facade
    from sojourn.operations.core import Operation
    from sojourn.operations.read import LogPage

__all__ = ["AsyncMcpCalls", "McpCalls", "mcp_model"]

Duration = timedelta | float


def mcp_model(model: type[Session]) -> type[McpSession]:
    """The model of the MCP sessions that a store of `model` sees.

    Raises:
        InvalidInput: it sees none.
    """
    if model is Session:
        return McpSession
    if not issubclass(model, McpSession):
        raise InvalidInput(f"a store of {model.__name__} has no MCP sessions: open one with model=McpSession")
    return model


class _Calls:
    """Builds the operations behind each method."""

    def __init__(self, store: Facade[Any, Any]) -> None:
        self._model = mcp_model(store.model)
        self._for_owner = store._for_owner  # noqa: SLF001

    def _record(self, session_id: str, executions: Iterable[Mapping[str, Any]], owner: str | None) -> Operation[int]:
        return mcp.record(self._for_owner(owner), self._model, session_id, executions)

    def _metrics(self, session_id: str, owner: str | None) -> Operation[McpMetrics]:
        return mcp.metrics(self._for_owner(owner), self._model, session_id)

    def _executions(
        self, session_id: str, start: int, count: int | None, owner: str | None
    ) -> Generator[Operation[Any], Any, LogPage[ToolExecution]]:
        return read.page_flow(self._for_owner(owner), self._model, session_id, McpSession.tool_executions, start, count)

    def _terminate(self, session_id: str, owner: str | None, reason: str | None) -> Operation[McpSession]:
        return write.end(self._for_owner(owner), self._model, session_id, Status.TERMINATED, None, reason)


class McpCalls(_Calls):
    """Calls on MCP sessions of one store. Each raises what the store's own methods do, and `WrongOwner` for another's.

    An id is a handle, not a proof: who knows the caller names it as `owner`, and gets at nobody else's sessions.

    Example:
        >>> store = SessionStore(model=McpSession)  # doctest: +SKIP
        >>> session = store.create(owner="ada", edge_mcp_id="edge-1")  # doctest: +SKIP
        >>> store.mcp.record_tool_execution(session.id, tool="search", duration=0.12, owner="ada")  # doctest: +SKIP
        1
    """

    def __init__(self, store: SessionStore[Any]) -> None:
        super().__init__(store)
        self._run = store._run  # noqa: SLF001
        self._drive = store._drive  # noqa: SLF001

    def record_tool_execution(
        self, session_id: str, *, tool: str, duration: Duration, success: bool = True, error: str | None = None,
        arguments: Any = None, owner: str | None = None,
    ) -> int:  # fmt: skip
        """Note one execution of a tool, in the log and in the counts; how many the session has had is the result.

        Args:
            session_id: which session.
            tool: which tool: printable text of 1 to 128 bytes.
            duration: how long it took: seconds, or a timedelta; up to 30 days, kept to the microsecond.
            success: whether it did what it should.
            error: what went wrong, where it did not; the first 1,024 bytes are kept.
            arguments: a JSON value. Only its SHA-256 is kept; see `ToolExecution.arguments_digest`.
            owner: whose session it must be.

        Raises:
            InvalidField: one of them is no good; nothing was recorded.
            SessionNotFound, SessionEnded: the session can no longer be written to.
            WrongOwner: it is another owner's.
            WrongKind: it is no MCP session.
            CounterOutOfRange: its executions took longer than can be counted.
        """
        execution = {"tool": tool, "duration": duration, "success": success, "error": error, "arguments": arguments}
        return self.record_tool_executions(session_id, [execution], owner=owner)

    def record_tool_executions(
        self, session_id: str, executions: Iterable[Mapping[str, Any]], *, owner: str | None = None
    ) -> int:
        """Note several executions in one call, all or none; each has what `record_tool_execution` takes.

        Raises:
            InvalidInput: one of them is no good, or there are more than the setting ``limits.batch``.
            SojournError: what `record_tool_execution` raises.

        Example:
            >>> store.mcp.record_tool_executions(session.id, [{"tool": "search", "duration": 0.1}])  # doctest: +SKIP
            2
        """
        given = kept(executions)
        return self._run(lambda: self._record(session_id, given, owner))

    def metrics(self, session_id: str, *, owner: str | None = None) -> McpMetrics:
        """What came of the session's executions: exact counts and durations, in all and per tool.

        Raises:
            SessionNotFound: there is no such session.
            WrongOwner: it is another owner's.
            WrongKind: it is no MCP session.
            SessionCorrupt: it was damaged by other hands.

        Example:
            >>> store.mcp.metrics(session.id).success_rate  # doctest: +SKIP
            0.97
        """
        return self._run(lambda: self._metrics(session_id, owner))

    def executions(
        self, session_id: str, *, start: int = 0, count: int | None = None, owner: str | None = None
    ) -> LogPage[ToolExecution]:
        """The executions that Redis still has of `count` from the `start`th on, which is 0 for the session's first.

        Its log is a bounded one: where the page's own `start` is later, the ones before are in the archive
        (``store.archive.entries(session_id, McpSession.tool_executions)``).

        Raises:
            SessionNotFound: there is no such session.
            WrongOwner: it is another owner's.
            WrongKind: it is no MCP session.
            SessionCorrupt: an entry cannot be read.

        Example:
            >>> [each.tool for each in store.mcp.executions(session.id).entries]  # doctest: +SKIP
            ['search', 'fetch']
        """
        return self._drive(lambda: self._executions(session_id, start, count, owner))

    def terminate(self, session_id: str, *, owner: str | None = None, reason: str | None = None) -> McpSession:
        """End the session as terminated; its event tells by whom and why. Raises what `SessionStore.terminate` does."""
        return self._run(lambda: self._terminate(session_id, owner, reason))


class AsyncMcpCalls(_Calls):
    """The twin of `McpCalls`: the same methods, awaited."""

    def __init__(self, store: AsyncSessionStore[Any]) -> None:
        super().__init__(store)
        self._run = store._run  # noqa: SLF001
        self._drive = store._drive  # noqa: SLF001

    async def record_tool_execution(
        self, session_id: str, *, tool: str, duration: Duration, success: bool = True, error: str | None = None,
        arguments: Any = None, owner: str | None = None,
    ) -> int:  # fmt: skip
        """See `McpCalls.record_tool_execution`."""
        execution = {"tool": tool, "duration": duration, "success": success, "error": error, "arguments": arguments}
        return await self.record_tool_executions(session_id, [execution], owner=owner)

    async def record_tool_executions(
        self, session_id: str, executions: Iterable[Mapping[str, Any]], *, owner: str | None = None
    ) -> int:
        """See `McpCalls.record_tool_executions`."""
        given = kept(executions)
        return await self._run(lambda: self._record(session_id, given, owner))

    async def metrics(self, session_id: str, *, owner: str | None = None) -> McpMetrics:
        """See `McpCalls.metrics`."""
        return await self._run(lambda: self._metrics(session_id, owner))

    async def executions(
        self, session_id: str, *, start: int = 0, count: int | None = None, owner: str | None = None
    ) -> LogPage[ToolExecution]:
        """See `McpCalls.executions`."""
        return await self._drive(lambda: self._executions(session_id, start, count, owner))

    async def terminate(self, session_id: str, *, owner: str | None = None, reason: str | None = None) -> McpSession:
        """See `McpCalls.terminate`."""
        return await self._run(lambda: self._terminate(session_id, owner, reason))
