"""``sojourn tenant limits``."""

from __future__ import annotations

import re
from typing import Any, Final

import click
from click import BadParameter

from sojourn.cli.completing import completes_tenant
from sojourn.cli.output import Cell, Column, print_table
from sojourn.cli.shapes import Document
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell

__all__ = ["limits"]

_COUNT: Final = re.compile(r"([0-9]{1,15})\s*([kmg]?)(i?)b?", re.IGNORECASE)
_NONE: Final = ("none", "null")


def amount(text: str) -> int | None:
    """A count such as ``500``, or a size such as ``10MB`` or ``10MiB``; None for ``none``.

    Raises:
        BadParameter: it is none of these.

    Example:
        >>> amount("10kb"), amount("10KiB"), amount("none")
        (10000, 10240, None)
    """
    if text.strip().lower() in _NONE:
        return None
    found = _COUNT.fullmatch(text.strip())
    if not found:
        raise BadParameter(f"{text!r} is not a number such as 500, a size such as 10MB, or none")
    unit = 1024 if found[3] else 1000
    return int(found[1]) * int(unit ** " kmg".index(found[2].lower() or " "))


def rate(text: str) -> str | None:
    """A rate, to be checked later; None for ``none``."""
    return None if text.strip().lower() in _NONE else text


@click.command(
    cls=Command,
    output=Document("Limits"),
    examples=[
        "sojourn tenant limits acme",
        "sojourn tenant limits acme --sessions 1000 --owner-sessions 20 --policy evict_lru",
        "sojourn tenant limits acme --creates 10/s:50 --operations 600/m --bytes 100MB",
        "sojourn tenant limits acme --bytes none",
    ],
)
@click.argument("name", metavar="TENANT", shell_complete=completes_tenant)
@click.option("--sessions", type=amount, metavar="N", help="Live sessions of the tenant.")
@click.option("--owner-sessions", type=amount, metavar="N", help="Live sessions of one owner.")
@click.option("--bytes", "bytes_", type=amount, metavar="SIZE", help="Bytes of the tenant's live sessions.")
@click.option("--policy", type=click.Choice(["reject", "evict_lru"]), help="What becomes of what is too much.")
@click.option("--creates", type=rate, metavar="RATE", help="Creates of the tenant: 10/s, 600/m:50 (with a burst).")
@click.option("--owner-creates", type=rate, metavar="RATE", help="Creates for one owner.")
@click.option("--operations", type=rate, metavar="RATE", help="Calls of the tenant.")
@click.option("--owner-operations", type=rate, metavar="RATE", help="Calls on one owner's sessions.")
@pass_state
def limits(state: State, /, name: str, **options: Any) -> None:
    """Show a tenant's limits and what it takes of them.

    With options, those are set first; none removes a limit. They hold for every client from then on, and exactly.
    Sessions that are there count; what is over a limit stays.
    """
    context = click.get_current_context()
    given = {
        each.rstrip("_"): value
        for each, value in options.items()
        if context.get_parameter_source(each) is click.core.ParameterSource.COMMANDLINE
    }
    store = state.store.for_tenant(name)
    if given:
        store.set_tenant_limits(**given)
    usage = store.usage()
    taken = {"sessions": usage.sessions, "bytes": usage.bytes}
    rows = [
        [Cell(limit), Cell("none" if value is None else str(value)), Cell(_shown(taken.get(limit)))]
        for limit, value in usage.limits
    ]
    told = {"tenant": name, "limits": usage.limits.model_dump(mode="json"), "usage": taken}
    tell(state, told, lambda: print_table((Column("LIMIT"), Column("BOUND"), Column("TAKEN")), rows))


def _shown(count: int | None) -> str:
    return "" if count is None else str(count)
