"""Hooks as careless as those of others: they log the session that they get, and fail with it in hand."""

from __future__ import annotations

import logging

from sojourn import Event, McpSession, Session

__all__ = ["careless", "failing"]


def careless(event: Event, session: Session | None) -> None:
    """Log and print all there is."""
    logging.getLogger("careless").warning("event %r of %r: %s", event, session, session)
    print(event, session, session and session.model_dump(), session and session.model_dump_json(), flush=True)


def failing(event: Event, session: Session | None) -> None:
    """Fail with the value of a secret in a local variable."""
    opened = session.credentials.get_secret_value() if isinstance(session, McpSession) and session.credentials else {}
    raise RuntimeError(f"event {event.id}: {len(opened)} credentials of {session!r}")
