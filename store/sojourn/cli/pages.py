"""What every list of sessions has in common: its filters, its pages, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from sojourn.cli.completing import completes_kind
from sojourn.cli.output import Cell, complain, hint
from sojourn.cli.parameters import CURSOR, assignment, moment
from sojourn.cli.progress import counted
from sojourn.cli.shared import State
from sojourn.cli.tables import SESSIONS, print_entries, print_session, session_json
from sojourn.cli.telling import tell, tell_each, tell_list

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
    "show",
    "show_entries",
    "show_pages",
]

_STATUSES: Final = ("pending", "in_progress", "completed", "failed", "terminated", "expired", "deleted")

FILTER_OPTIONS: Final = (
    click.option("--status", multiple=True, type=click.Choice(_STATUSES), help="Only these; may be repeated."),
    click.option("--kind", metavar="KIND", help="Only this kind.", shell_complete=completes_kind),
    click.option("--owner", metavar="OWNER", help="Only this owner's."),
    click.option("--client-type", metavar="TYPE", help="Only of this client type."),
    click.option("--tag", metavar="TAG", help="Only those with this tag."),
    click.option("--created-after", type=moment, metavar="TIME", help="Created then or later; 2h: two hours ago."),
    click.option("--created-before", type=moment, metavar="TIME", help="Created then or before."),
)
WHERE_OPTION: Final = click.option(
    "--where", multiple=True, type=assignment, metavar="FIELD=VALUE",
    help="An indexed field of the model; name its --kind. May be repeated.",
)  # fmt: skip
PAGE_OPTIONS: Final = (
    click.option("--limit", type=click.IntRange(min=1), help="Sessions at most.  [default: 100]"),
    CURSOR,
    click.option("--all", "everything", is_flag=True, help="All pages."),
    click.option("--ids", is_flag=True, help="Print ids only, for pipes."),
)
ENTRY_OPTIONS: Final = (
    click.option("--entries", "log", metavar="LOG", help="Print the entries of this log instead."),
    click.option("--start", type=click.IntRange(min=0), default=0, help="First entry; 0 is the oldest."),
    click.option("--count", type=click.IntRange(min=1), help="Entries at most."),
)


def show(state: State, session: Session) -> None:
    """One session."""
    tell(state, session_json(session), lambda: print_session(session))


class HasEntries(Protocol):
    """A store, or the archive."""

    def entries(self, session_id: str, log: Log[Any], *, start: int = 0, count: int | None = None) -> list[Any]:
        """Entries of a log."""


def show_entries(
    state: State, source: HasEntries, session_id: str, log: Log[Any], start: int, count: int | None
) -> None:
    """Entries of a session's log. With JSON, one on a line."""
    entries = source.entries(session_id, log, start=start, count=count)
    if state.output == "table":
        if entries:
            print_entries(entries, None if log.keep else start)  # where a bounded one begins is not told
        else:
            hint(f"no entries in log '{log.name}'")
        return

    def told(entry: Any) -> Any:
        value = log.adapter.dump_python(entry, mode="json")
        return value if state.as_json or isinstance(value, dict) else {"entry": value}

    tell_each(state, entries, told, lambda _: [Cell("")])


def show_pages(
    state: State, fetch: Callable[..., Page[Session]], *, limit: int | None, cursor: str | None, everything: bool,
    ids: bool,
) -> None:  # fmt: skip
    """One page of sessions, or all.

    Raises:
        UsageError: two of the options exclude each other.
        SessionCorrupt: some sessions cannot be read; the others were shown.
    """
    context = click.get_current_context()
    if everything and limit:
        raise click.UsageError("--all and --limit exclude each other", context)
    if ids and state.output != "table":
        raise click.UsageError(f"--ids and --{'json' if state.as_json else 'output csv'} exclude each other", context)
    pages = _Pages(fetch, limit or 100, cursor, everything)
    sessions = counted(pages, "listing", "sessions", quiet=not everything)
    if ids:
        for session in sessions:
            click.echo(session.id)
    else:
        tell_list(state, "sessions", sessions, SESSIONS, cursor=lambda: pages.cursor, nothing="no sessions")
    if pages.cursor is not None and not state.as_json:
        hint(f"there are more: add --all, or --cursor {pages.cursor}")
    for each in pages.damaged[1:]:
        complain(each)
    if pages.damaged:
        raise pages.damaged[0]


class _Pages:
    """The sessions of one page or of all, as they come; then where they go on, and which of them could not be read."""

    def __init__(self, fetch: Callable[..., Page[Session]], limit: int, cursor: str | None, everything: bool) -> None:
        self.cursor = cursor
        self.damaged: list[SessionCorrupt] = []
        self._fetch = fetch
        self._limit = limit
        self._everything = everything

    def __iter__(self) -> Iterator[Session]:
        while True:
            page = self._fetch(limit=self._limit, cursor=self.cursor)
            self.cursor = page.cursor
            self.damaged += page.damaged
            yield from page.sessions
            if page.cursor is None or not self._everything:
                return
