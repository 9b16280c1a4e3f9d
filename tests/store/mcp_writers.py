"""What the processes that record executions do. A module of its own, so that a fresh process can import it."""

from __future__ import annotations

from typing import Any

from sojourn import McpSession, SessionStore, Settings

__all__ = ["record_each"]


def record_each(url: str, session_id: str, me: int, count: int, start: Any) -> None:
    """Record executions one by one; every third fails, and each tells by its duration who did it, and which it is."""
    with SessionStore(model=McpSession, settings=Settings(redis_url=url)) as store:
        store.get(session_id)
        start.wait(60)
        for number in range(count):
            store.mcp.record_tool_execution(
                session_id, tool=f"tool-{me}", duration=number / 1000, success=number % 3 > 0,
                error=None if number % 3 else f"{me}/{number}",
            )  # fmt: skip
