"""``sojourn dead``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli import failures
from sojourn.cli.asking import confirm
from sojourn.cli.completing import completes_hook
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.output import Cell, Column, complain, hint, print_json
from sojourn.cli.parameters import CURSOR, DRY_RUN, YES, options
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document, Lines, Listing
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.telling import View, pairs, tell, tell_each, tell_list
from sojourn.cli.words import both, exact

if TYPE_CHECKING:
    from sojourn.dead import DeadLetter, DeadLetters

__all__ = ["dead"]

_SHOWN: Final = 100
_LONGEST: Final = 1_000
_AT_ONCE: Final = 1_000
_TOLD: Final = 100
_LONGEST_ID: Final = 100

_WHICH: Final[tuple[Callable[..., object], ...]] = (
    click.argument("letter_ids", metavar="[ID]...", nargs=-1),
    click.option("--hook", metavar="NAME", help="All of this hook's.", shell_complete=completes_hook),
    click.option("--all", "everything", is_flag=True, help="All there are."),
)


@click.group(cls=Group, examples=["sojourn dead list", "sojourn dead replay --hook mail"])
def dead() -> None:
    """List, replay and drop events that hooks were given up on.

    A hook that fails as often as it may leaves its event here. They are those of all tenants, unless --tenant is on the
    command line.
    """


@contextmanager
def _letters(state: State) -> Iterator[DeadLetters]:
    from sojourn.dead import DeadLetters

    with DeadLetters(state.settings) as letters:
        yield letters


def _tenant(state: State) -> str | None:
    """The tenant that the command line names; environment and file name the one whose sessions one works on."""
    from sojourn.keys import check_tenant

    tenant = state.arguments.get("tenant")
    return None if tenant is None else check_tenant(tenant)


@dead.command(
    name="list",
    output=Listing("letters", "Letter"),
    examples=["sojourn dead list", "sojourn dead list --hook mail --oldest --json"],
)
@click.option("--hook", metavar="NAME", help="Only this hook's.", shell_complete=completes_hook)
@click.option("--oldest", is_flag=True, help="Oldest first.")
@click.option("--limit", type=click.IntRange(1, _LONGEST), default=_SHOWN, show_default=True, help="At most so many.")
@CURSOR
@pass_state
def list_(state: State, hook: str | None, oldest: bool, limit: int, cursor: str | None) -> None:
    """List dead letters, those given up last first."""
    with _letters(state) as letters:
        page = letters.list(
            hook=hook, tenant=_tenant(state), limit=limit, cursor=cursor, newest_first=not oldest
        )  # fmt: skip
    columns = (Column("ID"), Column("EVENT"), Column("SESSION"), Column("GIVEN UP"), Column("TRIES"),
               Column("REASON", flexible=True))  # fmt: skip
    view = View(lambda letter: letter.to_json(), columns, _row)
    tell_list(state, "letters", page.letters, view, cursor=lambda: page.cursor, nothing="no dead letters")
    if page.cursor is not None and not state.as_json:
        hint(f"there are more: add --cursor {page.cursor}")


def _row(letter: DeadLetter) -> list[Cell]:
    event = letter.event
    what, whose = ("", "") if event is None else (event.type, f"{event.tenant}/{event.session_id}")
    given_up = Cell(both(letter.at, datetime.now(UTC)), brief=exact(letter.at))
    return [Cell(letter.id), Cell(what), Cell(whose), given_up, Cell(str(letter.tries)), Cell(letter.reason)]


@dead.command(output=Lines("Letter"), examples=["sojourn dead show mail/40-1750000000000-0"])
@click.argument("letter_id", metavar="ID")
@pass_state
def show(state: State, letter_id: str) -> None:
    """Show a dead letter with its event.

    There are two where the event was given up again during a replay.
    """
    with _letters(state) as letters:
        found = _found(state, letters, [letter_id])
    if not found:
        _end_not_found()
    if state.output != "table":
        tell_each(state, found, lambda letter: letter.to_json(), _row)
        return
    for each in found:
        told = each.to_json() | {"at_ms": exact(each.at)}
        event = told.pop("event")
        pairs({name.removesuffix("_ms"): value for name, value in told.items()})
        print_json(event)


@dead.command(
    output=Document("Replayed"),
    examples=["sojourn dead replay mail/40-1750000000000-0", "sojourn dead replay --hook mail"],
)
@options(*_WHICH)
@pass_state
def replay(state: State, letter_ids: tuple[str, ...], hook: str | None, everything: bool) -> None:
    """Have the hooks run again on events.

    The events leave the list. Each gets all its tries again. What fails once more is listed once more.
    """
    _check_which(letter_ids, hook, everything)
    with needs_worker_extra():
        from sojourn_worker.replay import replay as replay_letters
    with _letters(state) as letters, state.telling("dead.replay", **_told(letter_ids, hook)) as told:
        chosen, missing = _chosen(state, letters, letter_ids, hook)
        with bar("replaying", "letters") as progress:
            replayed = replay_letters(state.settings, chosen, progress=progress and partial(progress, total=None))
        told["replayed"] = len(replayed.enqueued)

    def people() -> None:
        click.echo(f"replayed {len(replayed.enqueued)}")
        if replayed.done:
            click.echo(f"{len(replayed.done)} were done since, or given up anew, and are off the list")

    tell(state, {"enqueued": replayed.enqueued, "done": replayed.done, "refused": replayed.refused}, people)
    for letter_id, reason in replayed.refused.items():
        complain(f"{letter_id} cannot be replayed: {reason}", code="refused", letter=letter_id)
    if missing:
        _end_not_found()
    if replayed.refused:
        click.get_current_context().exit(failures.USAGE)


@dead.command(
    output=(Document("Dropped"), Lines("Letter", when="with --dry-run")),
    examples=[
        "sojourn dead drop mail/40-1750000000000-0",
        "sojourn dead drop --hook mail --dry-run",
        "sojourn dead drop --all --yes",
    ],
)
@options(*_WHICH, DRY_RUN, YES)
@pass_state
def drop(
    state: State, letter_ids: tuple[str, ...], hook: str | None, everything: bool, dry_run: bool, yes: bool
) -> None:
    """Take dead letters off the list for good.

    Their hooks never run on those events any more. With --hook and --all it asks first.
    """
    _check_which(letter_ids, hook, everything)
    if dry_run:
        _foresee(state, letter_ids, hook)
        return
    if not letter_ids:
        which = "all dead letters" if hook is None else f"all dead letters of hook '{hook}'"
        confirm(f"Drop {which}? What is dropped cannot be brought back", yes=yes)
    dropped = 0
    with _letters(state) as letters, state.telling("dead.drop", **_told(letter_ids, hook)) as told:
        chosen, missing = _chosen(state, letters, letter_ids, hook)
        each = iter(chosen)
        with bar("dropping", "letters") as progress:
            while some := list(islice(each, _AT_ONCE)):
                dropped += letters.drop(some)
                told["dropped"] = dropped
                if progress is not None:
                    progress(dropped, None)
    tell(state, {"dropped": dropped, "dry_run": False}, lambda: click.echo(f"dropped {dropped}"))
    if missing:
        _end_not_found()


def _foresee(state: State, letter_ids: Sequence[str], hook: str | None) -> None:
    with _letters(state) as letters:
        chosen, missing = _chosen(state, letters, letter_ids, hook)
        count = tell_each(
            state, chosen, lambda letter: letter.to_json(), lambda letter: [Cell("would drop"), *_row(letter)]
        )
    hint(f"nothing was changed: {count} would be dropped")
    if missing:
        _end_not_found()


def _told(letter_ids: Sequence[str], hook: str | None) -> dict[str, Any]:
    """What the audit is told of the choice."""
    if letter_ids:
        return {"ids": [each[:_LONGEST_ID] for each in letter_ids[:_TOLD]]}
    return {"all": True} if hook is None else {"hook": hook[:_LONGEST_ID]}


def _check_which(letter_ids: Sequence[str], hook: str | None, everything: bool) -> None:
    if sum(map(bool, (letter_ids, hook is not None, everything))) != 1:
        raise click.UsageError("give ids, or --hook, or --all", click.get_current_context())


def _chosen(
    state: State, letters: DeadLetters, letter_ids: Sequence[str], hook: str | None
) -> tuple[Iterable[DeadLetter], bool]:
    """The letters that were asked for, and whether some of the ids are not there, of which it tells."""
    if not letter_ids:
        return letters.each(hook=hook, tenant=_tenant(state)), False
    found = _found(state, letters, letter_ids)
    return found, len({each.id for each in found}) < len(set(letter_ids))


def _found(state: State, letters: DeadLetters, letter_ids: Sequence[str]) -> list[DeadLetter]:
    tenant = _tenant(state)
    found: list[DeadLetter] = []
    for letter_id in dict.fromkeys(letter_ids):
        own = [each for each in letters.find(letter_id) if tenant is None or each.is_of(tenant)]
        if not own:
            complain(f"there is no dead letter {letter_id}", code="letter_not_found", letter=letter_id)
        found += own
    return found


def _end_not_found() -> None:
    click.get_current_context().exit(failures.NOT_FOUND)
