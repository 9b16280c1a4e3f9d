"""The event of what an operator did, for the audit."""

from __future__ import annotations

import json
from typing import Any

from sojourn.operations.core import Context, Operation, call, new_operation_id, raise_for

__all__ = ["administered"]


def administered(context: Context, action: str, **detail: Any) -> Operation[None]:
    """Tell that an operator did something to the tenant: an event ``administered``, by the context's actor.

    Args:
        context: on whose behalf, and in which tenant.
        action: what was done, as ``noun.verb``.
        **detail: with what; JSON values, and never a secret.

    Example:
        >>> administered(context, "tenant.limits", sessions=100)  # doctest: +SKIP
    """

    def parse(reply: Any) -> None:
        raise_for(reply, "-", context.tenant)

    partition = context.keys.partition
    changes = json.dumps({"action": action, **detail}, ensure_ascii=False, separators=(",", ":"))
    args = (
        partition.prefix, context.tenant, "", new_operation_id(), "administered", context.actor, context.trace, changes,
    )  # fmt: skip
    return call("tell_event", [partition.events], args, parse)
