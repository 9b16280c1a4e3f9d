"""What every list of sessions has in common: its filters, its pages, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import click

from sojourn.cli.output import hint, print_json
from sojourn.cli.parameters import assignment, moment
from sojourn.cli.shared import State
from sojourn.cli.tables import print_entries, print_session, print_sessions

if TYPE_CHECKING:
    from sojourn.errors import SessionCorrupt
    from sojourn.models import Log, Session
    from sojourn.operations.listing import Page

__all__ = [
    "ENTRY_OPTIONS",
    "FILTER_OPTIONS",
    "PAGE_OPTIONS",
    "WHERE_OPTION",
    "HasEntries",
    "options",
    "show",
    "show_entries",
    "show_pages",
]

F = TypeVar("F", bound=Callable[..., Any])
_STATUSES: Final = ("pending", "in_progress", "completed", "failed", "terminated", "expired", "deleted")

FILTER_OPTIONS: Final = (
    click.option("--status", multiple=True, type=click.Choice(_STATUSES), help="Only these; may be repeated."),
    click.option("--kind", metavar="KIND", help="Only this kind."),
    click.option("--owner", metavar="OWNER", help="Only this owner's."),
    click.option("--client-type", metavar="TYPE", help="Only of this client type."),
    click.option("--tag", metavar="TAG", help="Only those with this tag."),
    click.option("--created-after", type=moment, metavar="TIME", help="Created at or after: a time, or 2h for 2h ago."),
    click.option("--created-before", type=moment, metavar="TIME", help="Created at or before."),
)
WHERE_OPTION: Final = click.option(
    "--where", multiple=True, type=assignment, metavar="FIELD=VALUE",
    help="An indexed field of the model; name its --kind. May be repeated.",
)  # fmt: skip
PAGE_OPTIONS: Final = (
    click.option("--limit", type=click.IntRange(min=1), help="Sessions at most.  [default: 100]"),
    click.option("--cursor", metavar="CURSOR", help="Go on where the page before left off."),
    click.option("--all", "everything", is_flag=True, help="All pages."),
    click.option("--ids", is_flag=True, help="Print ids only, for pipes."),
)
ENTRY_OPTIONS: Final = (
    click.option("--entries", "log", metavar="LOG", help="Print the entries of this log instead."),
    click.option("--start", type=click.IntRange(min=0), default=0, help="First entry; 0 is the oldest."),
    click.option("--count", type=click.IntRange(min=1), help="Entries at most."),
)


def options(*several: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order of the help page."""

    def add(function: F) -> F:
        for each in reversed(several):
            function = each(function)
        return function

    return add


def show(state: State, session: Session) -> None:
    """One session."""
    if state.as_json:
        print_json(session.model_dump(mode="json"))
    else:
        print_session(session)


class HasEntries(Protocol):
    """A store, or the archive."""

    def entries(self, session_id: str, log: Log[Any], *, start: int = 0, count: int | None = None) -> list[Any]:
        """Entries of a log."""


def show_entries(
    state: State, source: HasEntries, session_id: str, log: Log[Any], start: int, count: int | None
) -> None:
    """Entries of a session's log."""
    entries = source.entries(session_id, log, start=start, count=count)
    if state.as_json:
        print_json([log.adapter.dump_python(each, mode="json") for each in entries])
    elif entries:
        print_entries(entries, None if log.keep else start)  # where a bounded one begins is not told
    else:
        hint(f"no entries in log '{log.name}'")


def show_pages(
    state: State, fetch: Callable[..., Page[Session]], *, limit: int | None, cursor: str | None, everything: bool,
    ids: bool,
) -> None:  # fmt: skip
    """One page of sessions, or all.

    Raises:
        UsageError: two of the options exclude each other.
        SessionCorrupt: some sessions cannot be read; the others were shown.
    """
    for one, other, names in ((everything, limit, "--all and --limit"), (ids, state.as_json, "--ids and --json")):
        if one and other:
            raise click.UsageError(f"{names} exclude each other", click.get_current_context())
    pages = _pages(fetch, limit or 100, cursor, everything)
    last: str | None = None
    damaged: list[SessionCorrupt] = []
    if ids:
        for page in pages:
            for session in page.sessions:
                click.echo(session.id)
            last = page.cursor
            damaged += page.damaged
    else:
        sessions: list[Session] = []
        for page in pages:
            sessions += page.sessions
            last = page.cursor
            damaged += page.damaged
        _show_all(state, sessions, last)
    if last is not None and not state.as_json:
        hint(f"there are more: add --all, or --cursor {last}")
    for each in damaged[1:]:
        hint(str(each))
    if damaged:
        raise damaged[0]


def _pages(
    fetch: Callable[..., Page[Session]], limit: int, cursor: str | None, everything: bool
) -> Iterator[Page[Session]]:
    while True:
        page = fetch(limit=limit, cursor=cursor)
        yield page
        cursor = page.cursor
        if cursor is None or not everything:
            return


def _show_all(state: State, sessions: list[Session], cursor: str | None) -> None:
    if state.as_json:
        print_json({"sessions": [each.model_dump(mode="json") for each in sessions], "cursor": cursor})
    elif sessions:
        print_sessions(sessions)
    else:
        hint("no sessions")
