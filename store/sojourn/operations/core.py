"""What an operation is: commands to send and how to read their replies. No input or output happens here."""

from __future__ import annotations

import binascii
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, Generic, TypeVar

from redis.exceptions import ResponseError

from sojourn.codec import Models
from sojourn.errors import BY_CODE, InvalidField, SessionCorrupt, StoreError, StoreFull, StoreUnavailable, from_reply
from sojourn.keys import TENANTS, TenantKeys
from sojourn.limits import Limits
from sojourn.models import Session
from sojourn.scripts import script
from sojourn.sealing import Keyring
from sojourn.tokens.form import mark_of

__all__ = [
    "CLOCK",
    "Argument",
    "Command",
    "Context",
    "Operation",
    "all_of",
    "call",
    "is_of_another_type",
    "new_operation_id",
    "new_session_id",
    "pairs",
    "raise_for",
    "registration",
    "together",
]

T = TypeVar("T")
U = TypeVar("U")
_IN_SCRIPT: Final = re.compile(r"ERR Error running script .*?: -(.*)", re.DOTALL)
"""How Redis 6.2 tells the error of a command inside a script; 7 tells it as it is."""
_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")
Argument = str | int | float | bytes
Command = tuple[Argument, ...]
CLOCK: Final[Command] = ("TIME",)
"""Asks for Redis's time. Operations of a batch that end with it share one, which is read after all that they read."""


@dataclass(slots=True, eq=False)  # not frozen, which would make it three times as dear to make; nobody changes one
class Operation(Generic[T]):
    """Commands that go out in one write, and what their replies mean.

    `source` is the script behind the last command, sent with EVAL where Redis does not know it yet. Every operation
    may be sent again after a lost reply: reads by nature, writes by the operation id that they carry.
    """

    commands: tuple[Command, ...]
    parse: Callable[[list[Any]], T]
    source: str | None = None
    alone: bool = False
    """Whether it may hold up a connection for others: it waits for something to come, or its reply is large."""


@dataclass(frozen=True)
class Context:
    """On whose behalf operations are built, and under which settings."""

    keys: TenantKeys
    models: Models
    limits: Limits
    grace_ms: int
    retention_ms: int
    events_cap: int
    sliding: bool
    slide_gain: float
    tells_touches: bool
    actor: str = ""
    given_trace: str = ""
    """The trace that the store was told; '' for none."""
    current_trace: Callable[[], str] = str
    """Tells the one in which the caller is, where the store was told none."""
    keyring: Keyring | None = None
    """Seals and opens secrets; None: they cannot be written, and are read as unreadable."""
    owner: str = ""
    """Whose sessions alone the caller may see and change; '' for all."""

    @cached_property
    def tenant(self) -> str:
        """The tenant."""
        return self.keys.tenant

    @cached_property
    def token_mark(self) -> str:
        """What its tokens begin with."""
        return mark_of(self.keys.partition.number)

    @property
    def trace(self) -> str:
        """The trace, for events; '' for none."""
        return self.given_trace or self.current_trace()

    def of(self, keys: TenantKeys) -> Context:
        """The same for another tenant."""
        return replace(self, keys=keys)

    def own(self, owner: str | None) -> str | None:
        """The owner that a call names, or for whom the caller acts; None: neither.

        Raises:
            InvalidField: the two differ.
        """
        if self.owner and owner is not None and owner != self.owner:
            raise InvalidField("owner", "is another than the one whose sessions this store sees (see owned_by)")
        return self.owner or owner

    def expects(self, model: type[Session]) -> str:
        """What the scripts are to hold a record against: the model's kinds, and the owner (see ``kind_error``)."""
        found = self._expected.get(model)
        if found is None:
            kinds = ",".join(self.models.kinds_of(model))
            found = self._expected[model] = f"{kinds}\n{self.owner}" if self.owner else kinds
        return found

    @cached_property
    def _expected(self) -> dict[type[Session], str]:
        return {}


def new_operation_id() -> str:
    """72 random bits: two writes within the half minute for which they are kept will not meet."""
    return binascii.b2a_base64(os.urandom(9), newline=False).translate(_URL_SAFE).decode()


def new_session_id() -> str:
    """A random UUID of version 4, in a third of the time that `uuid.uuid4` takes.

    Example:
        >>> len(new_session_id())
        36
    """
    digits = os.urandom(16).hex()
    variant = "89ab"[ord(digits[16]) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


def call(
    name: str,
    keys: Sequence[Argument],
    args: Sequence[Argument],
    parse: Callable[[Any], T],
    before: tuple[Command, ...] = (),
    *,
    alone: bool = False,
) -> Operation[T]:
    """An operation that runs one script, after plain commands where given."""
    body = script(name)
    command = ("EVALSHA", body.sha, len(keys), *keys, *args)
    commands = (*before, command) if before else (command,)
    return Operation(commands, lambda replies: parse(replies[-1]), body.source, alone)


def together(first: Operation[T], second: Operation[U]) -> Operation[tuple[T, U]]:
    """Two operations of plain commands in one write."""
    count = len(first.commands)

    def parse(replies: list[Any]) -> tuple[T, U]:
        return first.parse(replies[:count]), second.parse(replies[count:])

    return Operation((*first.commands, *second.commands), parse)


def all_of(commands: Iterable[Command], notes: Iterable[Command] = ()) -> Operation[list[Any]]:
    """Plain commands of which none may fail; their replies.

    `notes` are sent along: counts and the like, which matter less than that they may fail.
    """
    needed = tuple(commands)

    def parse(replies: list[Any]) -> list[Any]:
        replies = replies[: len(needed)]
        for reply in replies:
            raise_for(reply, "-", "-")
        return replies

    return Operation((*needed, *notes), parse)


def registration(keys: TenantKeys) -> tuple[Command, ...]:
    """What notes a tenant among the known ones. One with a partition of its own was noted when it got it."""
    return () if keys.partition.is_isolated else (("SADD", TENANTS, keys.tenant),)


def pairs(flat: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """A flat reply of names and values as a mapping; a mapping as it is (RESP3)."""
    if not isinstance(flat, list) and isinstance(flat, Mapping):  # the latter is ten times as dear to find out
        return dict(flat)
    each = iter(flat)
    return dict(zip(each, each, strict=True))


def is_of_another_type(reply: Any) -> bool:
    """Whether Redis refused a command because its key is of another type: other hands wrote it."""
    return isinstance(reply, ResponseError) and str(reply).startswith("WRONGTYPE")


def raise_for(reply: Any, session_id: str, tenant: str) -> None:
    """Raise what an error reply means; do nothing for any other reply."""
    if not isinstance(reply, ResponseError):
        return
    text = str(reply)
    within = _IN_SCRIPT.match(text)
    code, _, detail = (within[1] if within else text).partition(" ")
    if code == "ERR" and detail in BY_CODE:  # what Redis 7 makes of a code with nothing behind it
        code, detail = detail, ""
    if code == "OOM":
        raise StoreFull("Redis is out of memory (maxmemory): nothing was changed; raise it, or end sessions") from None
    known = from_reply(code, session_id, tenant, detail)
    if known is not None:
        raise known from None
    if code == "WRONGTYPE":
        raise SessionCorrupt(session_id, tenant, "key") from None
    if code == "NOPERM" or "can't access" in text or "can't run this command" in text:
        shared = tenant == "-"  # what all tenants share
        whose = (
            ": it is confined to a tenant" if shared else f" for tenant '{tenant}': it is confined to another tenant"
        )
        raise StoreError(
            f"this user of Redis may not do that{whose}, or may not use a command that the call needs "
            "(see 'sojourn acl')"
        ) from reply
    if code in ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "READONLY", "TRYAGAIN") or "loading" in text.lower():
        raise StoreUnavailable(f"Redis cannot serve requests now: {text}") from None
    on = "" if session_id == "-" else f" on session {session_id}"
    of = "" if tenant == "-" else f" of tenant '{tenant}'"
    raise StoreError(f"Redis refused an operation{on}{of}: {text}") from reply
