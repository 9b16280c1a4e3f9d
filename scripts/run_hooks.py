"""The hook of the main job: notes each ended session in a file, a line per call."""

from __future__ import annotations

import json
import os
from pathlib import Path

from sojourn import Event, Session

__all__ = ["note_end"]


def note_end(event: Event, session: Session | None) -> None:
    """Append what happened to ``$SOJOURN_RUN_HOOKS``; short appends by several processes do not mix."""
    found = session is not None and session.id == event.session_id
    line = {"event": event.id, "tenant": event.tenant, "type": event.type, "found": found}
    with Path(os.environ["SOJOURN_RUN_HOOKS"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
