"""``sojourn dead``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli import failures
from sojourn.cli.extras import needs_worker_extra
from sojourn.cli.output import Cell, Column, complain, hint, print_json, print_table
from sojourn.cli.pages import options
from sojourn.cli.shared import Group, State, pass_state
from sojourn.cli.words import exact

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
    click.option("--hook", metavar="NAME", help="All of this hook's."),
    click.option("--all", "everything", is_flag=True, help="All there are."),
)


@click.group(cls=Group)
def dead() -> None:
    """Events that hooks were given up on: list, look, replay, drop.

    They are those of all tenants, unless --tenant is on the command line.
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


@dead.command(name="list", examples=["sojourn dead list", "sojourn dead list --hook mail --oldest --json"])
@click.option("--hook", metavar="NAME", help="Only this hook's.")
@click.option("--oldest", is_flag=True, help="Oldest first.")
@click.option("--limit", type=click.IntRange(1, _LONGEST), default=_SHOWN, show_default=True, help="At most so many.")
@click.option("--cursor", metavar="CURSOR", help="Go on where the page before left off.")
@pass_state
def list_(state: State, hook: str | None, oldest: bool, limit: int, cursor: str | None) -> None:
    """List dead letters, those given up last first."""
    with _letters(state) as letters:
        page = letters.list(
            hook=hook, tenant=_tenant(state), limit=limit, cursor=cursor, newest_first=not oldest
        )  # fmt: skip
    if state.as_json:
        print_json({"letters": [each.to_json() for each in page.letters], "cursor": page.cursor})
        return
    if not page.letters:
        hint("no dead letters")
        return
    columns = (Column("ID"), Column("EVENT"), Column("SESSION"), Column("GIVEN UP"), Column("TRIES"),
               Column("REASON", flexible=True))  # fmt: skip
    print_table(columns, [_row(each) for each in page.letters])
    if page.cursor is not None:
        hint(f"there are more: add --cursor {page.cursor}")


def _row(letter: DeadLetter) -> list[Cell]:
    event = letter.event
    what, whose = ("", "") if event is None else (event.type, f"{event.tenant}/{event.session_id}")
    texts = (letter.id, what, whose, exact(letter.at), str(letter.tries), letter.reason)
    return [Cell(each) for each in texts]


@dead.command(examples=["sojourn dead show mail/40-1750000000000-0"])
@click.argument("letter_id", metavar="ID")
@pass_state
def show(state: State, letter_id: str) -> None:
    """Show a dead letter with its event."""
    with _letters(state) as letters:
        found = _found(state, letters, [letter_id])
    if not found:
        _end_not_found()
    for each in found:
        if state.as_json:
            print_json(each.to_json())
        else:
            told = each.to_json() | {"at_ms": exact(each.at)}
            event = told.pop("event")
            rows = [(name.removesuffix("_ms"), str(value)) for name, value in told.items()]
            print_table(
                (Column("WHAT"), Column("VALUE", folds=True)),
                [[Cell(name), Cell(value)] for name, value in rows],
                headed=False,
            )
            print_json(event)


@dead.command(examples=["sojourn dead replay mail/40-1750000000000-0", "sojourn dead replay --hook mail"])
@options(*_WHICH)
@pass_state
def replay(state: State, letter_ids: tuple[str, ...], hook: str | None, everything: bool) -> None:
    """Have the hooks run again on these events, and take them off the list.

    Each gets all its tries again. What fails once more is listed once more.
    """
    _check_which(letter_ids, hook, everything)
    with needs_worker_extra():
        from sojourn_worker.replay import replay as replay_letters
    with _letters(state) as letters, state.telling("dead.replay", **_told(letter_ids, hook)) as told:
        chosen, missing = _chosen(state, letters, letter_ids, hook)
        replayed = replay_letters(state.settings, chosen)
        told["replayed"] = len(replayed.enqueued)
    if state.as_json:
        print_json({"enqueued": replayed.enqueued, "done": replayed.done, "refused": replayed.refused})
    else:
        click.echo(f"replayed {len(replayed.enqueued)}")
        if replayed.done:
            click.echo(f"{len(replayed.done)} were done since, or given up anew, and are off the list")
    for letter_id, reason in replayed.refused.items():
        complain(f"{letter_id} cannot be replayed: {reason}")
    if missing:
        _end_not_found()
    if replayed.refused:
        click.get_current_context().exit(failures.USAGE)


@dead.command(examples=["sojourn dead drop mail/40-1750000000000-0", "sojourn dead drop --all --yes"])
@options(*_WHICH, click.option("--yes", is_flag=True, help="Needed with --hook and --all."))
@pass_state
def drop(state: State, letter_ids: tuple[str, ...], hook: str | None, everything: bool, yes: bool) -> None:
    """Take dead letters off the list for good: their hooks never run on those events any more."""
    _check_which(letter_ids, hook, everything)
    if not (letter_ids or yes):
        raise click.UsageError("what is dropped cannot be brought back: add --yes", click.get_current_context())
    dropped = 0
    with _letters(state) as letters, state.telling("dead.drop", **_told(letter_ids, hook)) as told:
        chosen, missing = _chosen(state, letters, letter_ids, hook)
        each = iter(chosen)
        while some := list(islice(each, _AT_ONCE)):
            dropped += letters.drop(some)
            told["dropped"] = dropped
    if state.as_json:
        print_json({"dropped": dropped})
    else:
        click.echo(f"dropped {dropped}")
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
            complain(f"there is no dead letter {letter_id}")
        found += own
    return found


def _end_not_found() -> None:
    click.get_current_context().exit(failures.NOT_FOUND)
