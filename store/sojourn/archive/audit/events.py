"""Which events of the outbox are audited, and what the audit trail tells of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sojourn.archive.rows import Damage, check_text
from sojourn.codec import datetime_from
from sojourn.keys import is_tenant

__all__ = ["PRUNED", "Audited", "audited"]

PRUNED: Final = "audit.prune"
"""What retention tells of itself, in a row without an event."""

_LIFECYCLE: Final = frozenset(
    ("created", "ended", "expired", "deleted", "rotated", "restored", "rehydrated", "lost", "damaged")
)
_TOLD_WHOLE: Final = frozenset(("limited", "administered"))
"""What these changed is what a limit or an operator said; of others only the names of fields are told."""
_TOKENS: Final = "token_"
_UPDATED: Final = "updated"
_WATCHED: Final = ("status", "owner")
"""An update is audited if it changed one of these."""
_KEPT: Final = ("status", "end_reason")
"""What is told of what a session stores."""
_TEXT_BYTES: Final = 512
"""Of one text; ours are shorter. Those in indexes must be, or nobody could add the row."""
_DETAIL_BYTES: Final = 16_384
_SHORT: Final = 128
"""Changes of so few characters, such as a status, are the same in many events, and remembered."""
_decode: Final = json.JSONDecoder(parse_constant=str).decode
"""NaN is no JSON, and would be none on the way out."""
_encode: Final = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class Audited(NamedTuple):
    """What a row tells, apart from its place in the chain. Equal ones are the same event, delivered again."""

    tenant: str
    at: datetime
    actor: str
    action: str
    session_id: str | None
    trace_id: str
    event_id: str
    detail: str
    """JSON."""


def audited(partition: int, stream_id: str, fields: Mapping[str, str]) -> Audited | None:
    """What the audit trail tells of an entry of a partition's stream; None for events that it is not about.

    Never tells a stored value, but for the status and the reason of an end.

    Raises:
        Damage: it cannot be told: there is no such tenant, or a text is no valid Unicode or holds a NUL.
    """
    type_ = fields.get("type", "")
    if type_ == _UPDATED:
        text = fields.get("changes", "")
        if not any(f'"{name}"' in text for name in _WATCHED):  # nearly always; spares reading it
            return None
        changes = _changes(fields)
        if changes is not None and not any(name in changes for name in _WATCHED):
            return None
    elif type_ in _LIFECYCLE or type_ in _TOLD_WHOLE or type_.startswith(_TOKENS):
        changes = _changes(fields)
    else:
        return None
    action = type_
    if type_ == "administered" and changes and isinstance(changes.get("action"), str):
        action = changes["action"]
    tenant = fields.get("tenant", "")
    if not is_tenant(tenant):
        raise Damage("tenant")
    texts = fields.get("actor", ""), action, fields.get("id", ""), fields.get("trace", "")
    together = "".join(texts)
    if len(together) > _TEXT_BYTES or not together.isascii() or "\x00" in together:  # seldom: each for itself
        texts = _text("actor", texts[0]), _text("type", action), _text("id", texts[2]), _text("trace", texts[3])
    actor, action, session_id, trace = texts
    return Audited(
        tenant, _moment(fields.get("at_ms", "")), actor, action, session_id or None, trace,
        f"{partition:02d}-{stream_id}", _detail(type_, fields, changes),
    )  # fmt: skip


def _detail(type_: str, fields: Mapping[str, str], changes: Mapping[str, Any] | None) -> str:
    """A small JSON object, in ASCII."""
    if changes is not None and type_ not in _TOLD_WHOLE:
        stored = tuple(
            [(name, changes[name]) for name in ("status", "end_reason") if isinstance(changes.get(name), str)]
        )
        of_session = bool(fields.get("id"))
        return _short(
            _of_changes(of_session, fields.get("version", ""), fields.get("kind", ""), stored, tuple(sorted(changes)))
        )
    told: dict[str, Any] = {}
    if fields.get("id"):
        told = {"version": _integer(fields.get("version", "")), "kind": _text("kind", fields.get("kind", ""))}
    if changes is None:
        told["unreadable"] = True
    else:
        told["changes"] = {name: value for name, value in changes.items() if name != "action"}
    return _short(_encode(told))


def _short(text: str) -> str:
    if len(text) > _DETAIL_BYTES:
        text = _encode({"bytes": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()})
    return text


@lru_cache(maxsize=256)  # many changes are told alike
def _of_changes(
    of_session: bool, version: str, kind: str, stored: tuple[tuple[str, str], ...], changed: tuple[str, ...]
) -> str:
    told: dict[str, Any] = {"version": _integer(version), "kind": _text("kind", kind)} if of_session else {}
    told |= stored
    if changed:
        told["changed"] = changed
    return _encode(told)


def _changes(fields: Mapping[str, str]) -> Mapping[str, Any] | None:
    """The event's changes; None where they cannot be read."""
    text = fields.get("changes", "")
    return _short_object(text) if len(text) <= _SHORT else _object(text)


def _object(text: str) -> Mapping[str, Any] | None:
    if not text:
        return {}
    try:
        found = _decode(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


_short_object = lru_cache(maxsize=1024)(_object)


def _text(name: str, text: str) -> str:
    """A text, short enough for an index: of a longer one the beginning, and what tells it from others."""
    if text.isascii() and len(text) <= _TEXT_BYTES and "\x00" not in text:  # nearly all
        return text
    check_text(name, text)
    raw = text.encode()
    if len(raw) <= _TEXT_BYTES:
        return text
    digest = hashlib.sha256(raw).hexdigest()
    return f"{raw[: _TEXT_BYTES - 100].decode(errors='ignore')}... ({len(raw)} bytes, sha256 {digest})"


@lru_cache(maxsize=1024)  # those of neighbours are often the same
def _moment(text: str) -> datetime:
    return datetime_from(_integer(text))


def _integer(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 15 else 0
