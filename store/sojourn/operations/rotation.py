"""Giving a session another id."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

from sojourn.errors import SecretUnreadable, SessionEnded, VersionConflict
from sojourn.keys import check_id
from sojourn.models import Session
from sojourn.operations.core import Argument, Context, Operation, call, new_operation_id, pairs, raise_for
from sojourn.operations.flows import _TRIES, Flow, _pause
from sojourn.operations.record import decode_readable, decode_written, now_ms
from sojourn.operations.write import _expected, _kinds
from sojourn.sealing import Sealer, key_of

__all__ = ["rotate_flow", "texts_under_new_id"]

S = TypeVar("S", bound=Session)


def texts_under_new_id(context: Context, stored: Mapping[str, str], old_id: str, new_id: str) -> dict[str, str]:
    """The texts of a record that must be others under another id, by field: secrets, which are bound to the id.

    One that nobody can open, being damaged, stays as it is.

    Raises:
        SecretUnreadable: the key of one is missing here. Under the new id nobody could open it any more.
    """
    texts = {}
    kind, known = stored.get("kind", ""), context.keyring.ids if context.keyring is not None else ()
    old = Sealer(context.keyring, context.tenant, old_id)
    new = Sealer(context.keyring, context.tenant, new_id)
    for name, text in stored.items():
        key = key_of(text)
        if key is None:
            continue
        try:
            texts[name] = new.seal(name, old.open(name, text))
        except SecretUnreadable:
            if key not in known and context.models.may_be_secret(kind, name):
                raise
    return texts


def rotate_flow(context: Context, model: type[S], session_id: str, version: int | None) -> Flow[S]:
    """Read the record, then move it; if that writes what follows from what was read, against the version read.

    Then it is done again where somebody else came first.

    Raises:
        SecretUnreadable: the key of one of its secrets is missing here.
        VersionConflict: it is at another version than `version`, or somebody else came first 20 times in a row.
    """
    session_id = check_id(session_id)
    new_id = str(uuid.uuid4())
    wanted = _expected(version)
    for attempt in range(_TRIES):
        stored: dict[str, str] = yield _stored(context, model, session_id)
        texts = texts_under_new_id(context, stored, session_id, new_id)
        expected = stored["version"] if version is None and texts else wanted
        try:
            session: S = yield _rotate(context, model, session_id, new_id, expected, texts)
            return session  # noqa: TRY300
        except VersionConflict:
            if version is not None or attempt == _TRIES - 1:
                raise
            yield _pause(attempt)
    raise AssertionError("unreachable")


def _stored(context: Context, model: type[S], session_id: str) -> Operation[dict[str, str]]:
    def parse(replies: list[Any]) -> dict[str, str]:
        record, time = replies
        raise_for(time, session_id, context.tenant)
        session = decode_readable(context, model, record, now_ms(time), session_id)
        if not session.is_live:
            raise SessionEnded(session_id, context.tenant, session.status)
        return pairs(record)

    return Operation((("HGETALL", context.keys.session(session_id)), ("TIME",)), parse)


def _rotate(
    context: Context, model: type[S], session_id: str, new_id: str, expected: Argument, texts: Mapping[str, str]
) -> Operation[S]:
    keys = context.keys
    args: list[Argument] = [
        keys.partition.prefix, keys.tenant, session_id, new_operation_id(), _kinds(context, model), expected, new_id,
        context.grace_ms, context.retention_ms, context.actor, context.trace,
    ]  # fmt: skip
    for pair in texts.items():
        args += pair

    def parse(reply: Any) -> S:
        raise_for(reply, session_id, context.tenant)
        return decode_written(context, model, reply, new_id)

    return call("rotate_id", [keys.session(session_id), keys.session(new_id)], args, parse)
