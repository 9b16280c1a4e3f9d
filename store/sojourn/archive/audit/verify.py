"""Checking a tenant's chain, in constant memory, as it was at one moment."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from sojourn.archive.audit.chain import GENESIS, Link
from sojourn.archive.audit.events import PRUNED
from sojourn.archive.database import Connection, statement
from sojourn.errors import InvalidInput

__all__ = ["ChainReport", "Head", "Problem", "verify_chain", "walk"]

_AT_ONCE: Final = 1_000
_BEFORE_ALL: Final = -(2**63)
_HEAD: Final = re.compile(r"(\d{1,18}):([0-9a-fA-F]{64})")
Kind = Literal["changed", "missing", "moved", "beginning", "end", "head", "unexpected"]


@dataclass(frozen=True)
class Head:
    """A place in a chain and the hash there."""

    seq: int
    hash: str
    """In hexadecimal."""

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """From ``SEQ:HASH``.

        Raises:
            InvalidInput: it is not of that form.
        """
        found = _HEAD.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise InvalidInput("what to expect is of the form SEQ:HASH, as 'sojourn audit verify' prints it")
        return cls(int(found[1]), found[2].lower())


@dataclass(frozen=True)
class Problem:
    """The first thing that is wrong with a chain."""

    seq: int
    """Where."""
    kind: Kind
    """``changed``: a row is not as it was written. ``missing``: rows were removed in the middle. ``moved``: a row does
    not follow the one before it: one was put in or put elsewhere. ``beginning``, ``end``: rows were removed there.
    ``head``: the note of where the chain ends was changed. ``unexpected``: the chain does not contain what was
    expected."""
    message: str


@dataclass(frozen=True)
class ChainReport:
    """What came of checking a tenant's chain."""

    tenant: str
    rows: int
    """How many were checked: all, or those before the first problem."""
    head: Head
    """Where the chain ends, to be kept elsewhere and expected later."""
    pruned_seq: int
    """Up to where retention has removed it; 0: it has not."""
    problem: Problem | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem is None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"head": str(self.head), "is_sound": self.is_sound}


@dataclass
class _Check:
    """How far one has come."""

    seq: int
    """Of the row before."""
    hash: bytes
    rows: int = 0
    pruned: tuple[int, str] | None = None
    """What the last note of retention in the chain says of where it begins."""


def verify_chain(
    connection: Connection, tenant: str, expected: Head | None, progress: Callable[[int, int], None] | None
) -> ChainReport:
    """Check a tenant's chain; `connection` is in autocommit mode."""
    with connection.transaction():
        # What is read is then as it was at one moment.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = connection.execute(statement("audit_head"), {"tenant": tenant}).fetchone()
        seq, digest, pruned_seq, pruned_hash = found or (0, GENESIS, 0, GENESIS)
        head, check = Head(seq, bytes(digest).hex()), _Check(pruned_seq, bytes(pruned_hash))
        problem = _first_problem(connection, tenant, head, check, expected, progress)
    return ChainReport(tenant, check.rows, head, pruned_seq, problem)


def _first_problem(
    connection: Connection, tenant: str, head: Head, check: _Check, expected: Head | None,
    progress: Callable[[int, int], None] | None,
) -> Problem | None:  # fmt: skip
    begins = check.seq, check.hash.hex()
    found = Head(*begins)
    total = max(head.seq - begins[0], 0)
    if expected is not None and expected.seq == begins[0] and expected != found:
        return _unexpected(expected, found)
    for link in walk(connection, tenant):  # from the very first: what is left before the beginning is found, too
        problem = _row_problem(tenant, link, head, check, begins[0])
        if problem is None and expected is not None and link.seq == expected.seq and link.hash.hex() != expected.hash:
            problem = _unexpected(expected, Head(link.seq, link.hash.hex()))
        if problem is not None:
            return problem
        check.seq, check.hash, check.rows = link.seq, link.hash, check.rows + 1
        check.pruned = _pruned(link) or check.pruned
        if progress is not None and (check.rows % _AT_ONCE == 0 or link.seq == head.seq):
            progress(check.rows, max(total, check.rows))
    if check.seq < head.seq:
        missing = f"the rows {check.seq + 1} to {head.seq} were removed at the end"
        return Problem(check.seq + 1, "end", missing)
    if check.hash.hex() != head.hash:
        return Problem(check.seq, "head", "the note of where the chain ends has another hash than the last row")
    if begins[0] and check.pruned != begins:
        return Problem(begins[0], "beginning", f"the rows up to {begins[0]} were removed, and not by retention")
    if expected is not None and not begins[0] <= expected.seq <= check.seq:
        what = "ends before it" if expected.seq > check.seq else f"was removed up to {begins[0]}"
        return Problem(expected.seq, "unexpected", f"{expected.seq} was expected, but the chain {what}")
    return None


def _row_problem(tenant: str, link: Link, head: Head, check: _Check, begins: int) -> Problem | None:
    if link.seq <= begins:
        return Problem(link.seq, "beginning", f"this row stands before the chain, which begins at {begins + 1}")
    if link.seq > head.seq:
        return Problem(link.seq, "head", f"this row stands behind the end of the chain, which is noted as {head.seq}")
    if link.seq != check.seq + 1:
        kind: Kind = "missing" if check.rows else "beginning"
        return Problem(check.seq + 1, kind, f"the rows {check.seq + 1} to {link.seq - 1} were removed")
    if link.computed(tenant) != link.hash:
        return Problem(link.seq, "changed", "the row is not as it was written")
    if link.previous != check.hash:
        return Problem(link.seq, "moved", "the row does not follow the one before it")
    return None


def _unexpected(expected: Head, found: Head) -> Problem:
    return Problem(expected.seq, "unexpected", f"the hash {expected.hash} was expected, but it is {found.hash}")


def _pruned(link: Link) -> tuple[int, str] | None:
    """What a row says of where the chain begins, if it is retention's: no event can be such a row, having an id."""
    if link.action != PRUNED or link.event_id:
        return None
    try:
        told = json.loads(link.detail)
        return told["seq"], told["hash"]
    except (ValueError, TypeError, LookupError, RecursionError):  # other hands wrote it
        return None


def walk(connection: Connection, tenant: str) -> Iterator[Link]:
    """The rows of a tenant's chain in order, in constant memory."""
    after_seq = _BEFORE_ALL
    while True:
        values = {"tenant": tenant, "after_seq": after_seq, "limit": _AT_ONCE}
        rows = connection.execute(statement("walk_audit"), values).fetchall()
        for row in rows:
            yield Link(*row)
        if len(rows) < _AT_ONCE:
            return
        after_seq = rows[-1][0]
