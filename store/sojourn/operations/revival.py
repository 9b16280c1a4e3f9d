"""Operations that bring sessions back from the archive: their logs are staged beside them, then all takes its place."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.models import Session
from sojourn.operations.core import Argument, Command, Context, Operation, call, raise_for, registration
from sojourn.operations.record import decode_written, now_ms

__all__ = ["Staged", "guard", "new_token", "rehydrate", "restore", "stage"]

S = TypeVar("S", bound=Session)
Staged = Mapping[str, str]
"""Staged logs: their names, and the keys that hold the entries."""
_GUARD_MS: Final = 120_000
_STAGED_MS: Final = 600_000
"""After so long without another entry, nobody comes back to what was staged."""


def new_token() -> str:
    """Tells apart what different callers stage."""
    return secrets.token_urlsafe(9)


def stage(key: str, entries: Sequence[str], *, first: bool) -> Operation[None]:
    """Put further entries of a log beside its session; the `first` begin anew."""

    def parse(replies: list[Any]) -> None:
        for reply in replies:
            raise_for(reply, "-", "-")

    begin: tuple[Command, ...] = (("DEL", key),) if first else ()
    texts = tuple(each.encode(errors="surrogateescape") for each in entries)
    return Operation((*begin, ("RPUSH", key, *texts), ("PEXPIRE", key, _STAGED_MS)), parse)


def guard(partitions: Sequence[PartitionKeys]) -> Operation[int]:
    """From now on for two minutes, have it noted what is removed; Redis's time, ms.

    What is read from the archive after this can be put back: had it ended and gone before, it would read as ended.
    """

    def parse(replies: list[Any]) -> int:
        for reply in replies:
            raise_for(reply, "-", "-")
        return now_ms(replies[0])

    return Operation((("TIME",), *(("SET", each.guard, "", "PX", _GUARD_MS) for each in partitions)), parse)


def _flat(staged: Staged, texts: Mapping[str, str]) -> list[Argument]:
    arguments: list[Argument] = [len(staged)]
    for pair in (*staged.items(), *texts.items()):
        arguments += pair
    return arguments


def rehydrate(
    context: Context, keys: TenantKeys, session_id: str, texts: Mapping[str, str], staged: Staged, read_at_ms: int
) -> Operation[str]:
    """Put a session back as archived; the outcome is told in a word (see the script).

    `read_at_ms`: what `guard` said before the session was read.
    """

    def parse(reply: Any) -> str:
        raise_for(reply, session_id, keys.tenant)
        return str(reply)

    args = [
        keys.partition.prefix, keys.tenant, session_id, context.grace_ms, context.actor, context.trace, read_at_ms,
        *_flat(staged, texts),
    ]  # fmt: skip
    return call("rehydrate_session", [keys.session(session_id)], args, parse, registration(keys))


def restore(
    context: Context,
    model: type[S],
    session_id: str,
    operation_id: str,
    texts: Mapping[str, str],
    staged: Staged,
    *,
    restored: int,
    held: Mapping[str, str],
    before: Mapping[str, str | None],
    ttl_ms: int | None,
    max_lifetime_ms: int | None,
) -> Operation[S | None]:
    """Make a state the newest version, live; None: Redis does not hold the session, so its logs must be staged first.

    Args:
        context: the context.
        model: what the caller writes to.
        session_id: which session.
        operation_id: of this write.
        texts: the state.
        staged: its logs, for where Redis does not hold the session.
        restored: which version that was, for the event.
        held: the state that the archive holds as the newest.
        before: what differs in that.
        ttl_ms: how long it lives; None: for ever.
        max_lifetime_ms: how long it can be kept alive.
    """
    keys = context.keys
    told = json.dumps({"restored": restored}, separators=(",", ":"))
    args: list[Argument] = [
        keys.partition.prefix, keys.tenant, session_id, operation_id, context.expects(model),
        held["version"], held["updated_at_ms"], "" if ttl_ms is None else ttl_ms,
        "" if max_lifetime_ms is None else max_lifetime_ms, context.grace_ms, context.actor, context.trace, told,
        json.dumps(dict(before), ensure_ascii=False, separators=(",", ":")), *_flat(staged, texts),
    ]  # fmt: skip

    def parse(reply: Any) -> S | None:
        if reply == "unstaged":
            return None
        return decode_written(context, model, reply, session_id)

    return call("restore_session", [keys.session(session_id)], args, parse, registration(keys))
