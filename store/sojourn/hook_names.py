"""What hooks may be called, and how keys and counts name them."""

from __future__ import annotations

import re
from typing import Final

from sojourn.errors import InvalidName

__all__ = ["HOOK", "check_hook", "counted_hook", "hook_scope"]

HOOK: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_COUNTED: Final = "dead_letters:"


def check_hook(name: str) -> str:
    """Return `name` if a hook may be called so.

    Raises:
        InvalidName: it may not.
    """
    if not isinstance(name, str) or not HOOK.fullmatch(name):
        shown = repr(str.__str__(name)[:80]) if isinstance(name, str) else f"<{type(name).__name__}>"
        raise InvalidName(f"hook name {shown} does not match {HOOK.pattern}")
    return str.__str__(name)


def hook_scope(queue_prefix: str, hook: str) -> str:
    """Names a hook in keys. Deployments on one Redis may use one name for two hooks.

    Example:
        >>> hook_scope("sojourn", "mail")
        'sojourn.mail'
    """
    return f"{queue_prefix}.{hook}"


def counted_hook(queue_prefix: str, count: str) -> str | None:
    """The hook of whose dead letters this is the count; None for other counts, also those of other deployments.

    Example:
        >>> counted_hook("sojourn", "dead_letters:sojourn.mail"), counted_hook("sojourn", "dead_letters:staging.mail")
        ('mail', None)
    """
    before = _COUNTED + hook_scope(queue_prefix, "")
    hook = count.removeprefix(before)
    return hook if count.startswith(before) and HOOK.fullmatch(hook) else None
