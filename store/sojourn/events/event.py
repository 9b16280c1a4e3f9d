"""One thing that happened to one session."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sojourn.codec import datetime_from, ms_from
from sojourn.errors import InvalidInput

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to one session. `id` is the same whenever the event is delivered again."""

    id: str
    type: str
    """``created``, ``updated``, ``touched``, ``ended``, ``expired``, ``deleted``; ``rotated`` to another id, once for
    the old id and once for the new one; ``restored`` to an earlier state, or ``rehydrated``: put back as archived;
    ``lost`` where the record was gone though nobody had removed it, ``damaged`` where it could not be read at its
    deadline.
    ``token_issued``, ``token_refreshed``, ``token_revoked``, ``token_reused``: of the session's tokens. ``limited``: a
    limit refused something, told once a minute; ``administered``: a command of an operator. These two may be about no
    session; then `session_id` is empty."""
    tenant: str
    session_id: str
    kind: str
    version: int
    """The session's version after it."""
    at: datetime
    actor: str
    trace_id: str
    changes: Mapping[str, Any]
    """The changed fields as they are stored: times in milliseconds under a name that ends in ``_ms``."""
    before: Mapping[str, str | None] | None = None
    """What the record's hash held in those of them that changed, None for nothing; None as a whole: not known."""

    @classmethod
    def from_stream(cls, partition: int, stream_id: str, fields: Mapping[str, str]) -> Event:
        """From an entry of a partition's stream. A field that another program left out reads as empty."""
        return cls(
            id=f"{partition:02d}-{stream_id}",
            type=fields.get("type", ""),
            tenant=fields.get("tenant", ""),
            session_id=fields.get("id", ""),
            kind=fields.get("kind", ""),
            version=_integer(fields.get("version")),
            at=datetime_from(_integer(fields.get("at_ms"))),
            actor=fields.get("actor", ""),
            trace_id=fields.get("trace", ""),
            changes=_mapping(fields.get("changes", "")),
            before=_mapping(fields["before"]) if "before" in fields else None,
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values; times are milliseconds since the epoch."""
        return {
            "id": self.id, "type": self.type, "tenant": self.tenant, "session_id": self.session_id,
            "kind": self.kind, "version": self.version, "at_ms": ms_from(self.at), "actor": self.actor,
            "trace_id": self.trace_id, "changes": dict(self.changes),
            "before": None if self.before is None else dict(self.before),
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Event:
        """What `to_json` wrote.

        Raises:
            InvalidInput: it did not.
        """
        try:
            rest = {name: value for name, value in data.items() if name != "at_ms"}
            made = cls(at=datetime_from(data["at_ms"]), **rest)
            texts = (made.id, made.type, made.tenant, made.session_id, made.kind, made.actor, made.trace_id)
            fits = (
                all(isinstance(each, str) for each in texts)
                and type(data["at_ms"]) is int
                and type(made.version) is int
                and isinstance(made.changes, Mapping)
                and isinstance(made.before, Mapping | None)
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            fits = False
        if not fits:
            raise InvalidInput("not an event: a field is missing, unknown, or of another type")
        return made


def _integer(text: str | None) -> int:
    """A number up to the last moment that a datetime can tell; 0 for anything else."""
    return int(text) if text and text.isdecimal() and len(text) < 15 else 0


def _mapping(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
