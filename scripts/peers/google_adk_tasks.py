"""google-adk: DatabaseSessionService on PostgreSQL; the payload is the session's state."""

from __future__ import annotations

from typing import Any

from google.adk.events import Event, EventActions
from google.adk.sessions import DatabaseSessionService

from peers.protocol import Tasked, serve

WHO = {"app_name": "bench", "user_id": "ada"}


class Adapter(Tasked):
    """One service for all tasks."""

    packages = ("google-adk", "sqlalchemy", "asyncpg")

    async def begin(self, told: dict[str, Any]) -> list[str]:
        """Create the sessions with the payload as their state."""
        url = told["postgres"].replace("postgresql://", "postgresql+asyncpg://", 1)
        self.service = DatabaseSessionService(db_url=url)
        self.changes = told["changes"]
        self.held = [await self.service.create_session(state=told["payload"], **WHO) for _ in range(told["clients"])]
        made = [await self.service.create_session(state=told["payload"], **WHO) for _ in range(told["sessions"])]
        return [each.id for each in made]

    async def get(self, session_id: str) -> Any:
        """Read it, and its events, of which there are none."""
        session = await self.service.get_session(session_id=session_id, **WHO)
        if session is None:
            raise LookupError(session_id)
        return session

    async def update(self, client: int) -> None:
        """Read it, for only who has it can append, and append an event that changes the state."""
        self.held[client] = await self.get(self.held[client].id)
        await self.save(client)

    async def save(self, client: int) -> None:
        """Append an event that changes the state, which the service does if the session is not stale."""
        session = self.held[client]
        await self.service.append_event(session, Event(author="user", actions=EventActions(state_delta=self.changes)))


if __name__ == "__main__":
    serve(Adapter())
