"""The operations that change a session. Each is one script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sojourn.codec import Changes, Codec, check_log, datetime_from, encode_entry, quoted
from sojourn.errors import InvalidField, InvalidInput
from sojourn.keys import check_id
from sojourn.limits import Ttl, milliseconds
from sojourn.models import LIVE, Log, Session, Status
from sojourn.operations.core import (
    Argument,
    Context,
    Operation,
    call,
    new_operation_id,
    new_session_id,
    raise_for,
    registration,
)
from sojourn.operations.record import decode_written

__all__ = ["append", "create", "end", "ending", "increment", "set_lifetime", "touch", "update"]

S = TypeVar("S", bound=Session)
E = TypeVar("E")

_EXACT = 2**53 - 1
_REASON_BYTES = 1024


def create(
    context: Context,
    codec: Codec[S],
    ttl: Ttl,
    max_lifetime: Ttl,
    fields: Mapping[str, Any],
    *,
    register: bool,
) -> Operation[S]:
    """A new session. `register`: also note the tenant as known."""
    ttl_ms, max_ms = milliseconds(ttl), milliseconds(max_lifetime, "max_lifetime")
    session_id, tenant, keys = new_session_id(), context.tenant, context.keys
    if context.owner:
        fields = {**fields, "owner": context.own(fields.get("owner"))}
    session, encoded = codec.encode_new(fields, session_id, tenant, context.limits, context.keyring)
    status = encoded.pop("status")
    args: list[Argument] = [
        keys.partition.prefix, tenant, session_id, new_operation_id(), codec.kind, status, codec.index_specs,
        "" if ttl_ms is None else ttl_ms, "" if max_ms is None else max_ms, context.grace_ms, context.retention_ms,
        context.events_cap, context.actor, context.trace,
    ]  # fmt: skip
    for pair in encoded.items():
        args += pair

    def parse(reply: Any) -> S:
        raise_for(reply, session_id, tenant)
        created = datetime_from(reply[0])
        # Nobody else has seen the session yet, so it can still be completed in place.
        session.__dict__.update(
            created_at=created,
            updated_at=created,
            accessed_at=created,
            expires_at=datetime_from(reply[1]) if reply[1] else None,
            ttl=None if ttl_ms is None else timedelta(milliseconds=ttl_ms),
            max_lifetime=None if max_ms is None else timedelta(milliseconds=max_ms),
        )
        return session

    before = registration(keys) if register else ()
    return call("create_session", [keys.session(session_id)], args, parse, before)


def _start(context: Context, session_id: str) -> tuple[list[str], list[Argument]]:
    """The keys and first arguments that all scripts on one session share."""
    session_id = check_id(session_id)
    keys = context.keys
    return [keys.session(session_id)], [keys.partition.prefix, keys.tenant, session_id]


def _kinds(context: Context, model: type[Session]) -> str:
    return context.expects(model)


def update(context: Context, codec: Codec[S], session_id: str, version: int | None, changes: Changes) -> Operation[S]:
    """Named fields, against a version or not."""
    keys, args = _start(context, session_id)
    allowed = ""
    if changes.status:
        if changes.status not in LIVE:
            raise InvalidField(
                "status",
                f"becomes '{changes.status}' by complete(), fail(), terminate() or delete(), not by an update",
            )
        allowed = context.models.sources(codec.model, Status(changes.status))
    args += [
        new_operation_id(), _kinds(context, codec.model), _expected(version), changes.status, allowed,
        int(context.sliding), context.grace_ms, context.actor, context.trace, changes.told,
        len(changes.cleared), *changes.cleared,
    ]  # fmt: skip
    for pair in changes.set.items():
        args += pair
    return call("update_session", keys, args, lambda reply: decode_written(context, codec.model, reply, session_id))


def _expected(version: int | None) -> Argument:
    if version is None:
        return ""
    if type(version) is not int or not 1 <= version <= _EXACT:
        raise InvalidField("version", "is the positive integer that the session was read with, or None")
    return version


def touch(context: Context, model: type[Session], session_id: str) -> Operation[datetime | None]:
    """Slide the deadline; the new one is the result."""
    keys, args = _start(context, session_id)
    args += [
        _kinds(context, model), 0, context.grace_ms, int(context.tells_touches), context.actor, context.trace,
        "deadline",
    ]  # fmt: skip

    def parse(reply: Any) -> datetime | None:
        raise_for(reply, session_id, context.tenant)
        return datetime_from(reply) if reply else None

    return call("touch_session", keys, args, parse)


def set_lifetime(context: Context, model: type[S], session_id: str, ttl: Ttl) -> Operation[S]:
    """Another TTL from now on; None for no expiry."""
    keys, args = _start(context, session_id)
    ttl_ms = milliseconds(ttl)
    told = f'{{"ttl_ms":{"null" if ttl_ms is None else ttl_ms}}}'
    args += [
        new_operation_id(), _kinds(context, model), "" if ttl_ms is None else ttl_ms, context.grace_ms,
        context.actor, context.trace, told,
    ]  # fmt: skip
    return call("set_lifetime", keys, args, lambda reply: decode_written(context, model, reply, session_id))


def increment(
    context: Context, codec: Codec[S], session_id: str, amounts: Mapping[str, int]
) -> Operation[dict[str, int]]:
    """Add to counters; their new values are the result."""
    keys, args = _start(context, session_id)
    if not amounts:
        raise InvalidInput("increment() needs at least one counter and amount")
    args += [
        new_operation_id(), _kinds(context, codec.model), int(context.sliding), context.grace_ms, context.actor,
        context.trace,
    ]  # fmt: skip
    for name, amount in amounts.items():
        field = codec.fields.get(name)
        if field is None or not field.counter:
            raise InvalidField(name, f"is not a counter of {codec.model.__name__}")
        codec.check_counted(name)
        if type(amount) is not int or abs(amount) > _EXACT:
            raise InvalidField(name, "the amount must be an int within +-(2**53 - 1)")
        args += [name, amount]

    def parse(reply: Any) -> dict[str, int]:
        raise_for(reply, session_id, context.tenant)
        return {name: int(value or 0) for name, value in zip(amounts, reply, strict=True)}

    return call("increment_fields", keys, args, parse)


def append(
    context: Context, model: type[Session], session_id: str, log: Log[E], entries: Sequence[E]
) -> Operation[int]:
    """Entries to a log; how many it has had with these is the result."""
    keys, args = _start(context, session_id)
    check_log(log)
    limits = context.limits
    if not entries:
        raise InvalidInput("append() needs at least one entry")
    if len(entries) > limits.batch:
        raise InvalidInput(f"append() takes at most {limits.batch} entries in one call, not {len(entries)}")
    args += [
        new_operation_id(), _kinds(context, model), int(context.sliding), context.grace_ms, context.actor,
        context.trace, log.name, log.keep or "", limits.log_entries,
    ]  # fmt: skip
    args += [encode_entry(log, entry, limits) for entry in entries]

    def parse(reply: Any) -> int:
        raise_for(reply, session_id, context.tenant)
        return int(reply)

    return call("append_entries", keys, args, parse)


def end(
    context: Context, model: type[S], session_id: str, status: Status, version: int | None, reason: str | None
) -> Operation[S]:
    """A final status."""
    keys, args = _start(context, session_id)
    allowed, reason, told = ending(context, model, status, reason)
    args += [
        new_operation_id(), _kinds(context, model), _expected(version), status, allowed, reason, context.grace_ms,
        context.retention_ms, context.actor, context.trace, told,
    ]  # fmt: skip
    return call("end_session", keys, args, lambda reply: decode_written(context, model, reply, session_id))


def ending(context: Context, model: type[Session], status: Status, reason: str | None) -> tuple[str, str, str]:
    """What the scripts that end a session want to know: what may end so, the reason, and the changes as JSON.

    Raises:
        InvalidField: the reason is no good.
    """
    reason = _checked_reason(reason)
    # Every session may be deleted, ended ones too.
    allowed = "" if status is Status.DELETED else context.models.sources(model, status)
    told = f'{{"status":"{status}"' + (f',"end_reason":{quoted(reason)}' if reason else "") + "}"
    return allowed, reason, told


def _checked_reason(reason: str | None) -> str:
    if reason is None:
        return ""
    if not isinstance(reason, str) or "\x00" in (reason := str.__str__(reason)):
        raise InvalidField("reason", "is not text, or contains a NUL character")
    try:
        size = len(reason.encode())
    except UnicodeEncodeError:
        raise InvalidField("reason", "is not valid Unicode text") from None
    if size > _REASON_BYTES:
        raise InvalidField("reason", f"takes {size} bytes; at most {_REASON_BYTES} are allowed")
    return reason
