"""The event of what an operator did, for the audit."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sojourn.errors import InvalidField
from sojourn.limits import check_depth
from sojourn.operations.core import Context, Operation, call, new_operation_id, raise_for

__all__ = ["administered"]

_ACTION: Final = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)+")
_LONGEST: Final = 64
_DETAIL_BYTES: Final = 16_000
"""The audit trail keeps no longer ones."""


def administered(context: Context, action: str, **detail: Any) -> Operation[None]:
    """Tell that an operator did something to the tenant: an event ``administered``, by the context's actor.

    Args:
        context: on whose behalf, and in which tenant.
        action: what was done, as ``noun.verb``.
        **detail: with what; JSON values, and never a secret.

    Raises:
        InvalidField: the action is not of that form, or the detail is no JSON, or too large.

    Example:
        >>> administered(context, "tenant.limits", sessions=100)  # doctest: +SKIP
    """

    def parse(reply: Any) -> None:
        raise_for(reply, "-", context.tenant)

    if not isinstance(action, str) or len(action) > _LONGEST or not _ACTION.fullmatch(action):
        raise InvalidField("action", "is of the form noun.verb, in lower-case letters, digits, '_' and '-'")
    check_depth("detail", detail, context.limits.depth, _DETAIL_BYTES)
    try:
        # In ASCII, which every text can be told in; the archive parses it as JSON, and not as Lua.
        changes = json.dumps({**detail, "action": action}, separators=(",", ":"), allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        raise InvalidField("detail", "is made of JSON values") from None
    if len(changes) > _DETAIL_BYTES:
        raise InvalidField("detail", f"takes at most {_DETAIL_BYTES} bytes as JSON")
    partition = context.keys.partition
    args = (
        partition.prefix, context.tenant, "", new_operation_id(), "administered", context.actor, context.trace, changes,
    )  # fmt: skip
    return call("tell_event", [partition.events], args, parse)
