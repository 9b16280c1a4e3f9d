"""``sojourn create``, ``sojourn update`` and ``sojourn append``."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, Final

import click

from sojourn.cli.completing import completes_kind
from sojourn.cli.fields import amounts, check_settable, defaults, entries_from, given, log_named, parsed
from sojourn.cli.ids import ID, whole
from sojourn.cli.output import Cell, print_line
from sojourn.cli.parameters import VERSION, Assigned, Lifetime, assignment, json_object, lifetime
from sojourn.cli.shapes import Document
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.tables import session_json
from sojourn.cli.telling import tell
from sojourn.errors import InvalidName

__all__ = ["append", "create", "update"]

_LONGEST: Final = 100
_TOLD: Final = 100
"""Names of fields that one event tells."""
_SET = click.option(
    "--set", "assigned", multiple=True, type=assignment, metavar="FIELD=VALUE",
    help="A field of the model; JSON where the value is JSON, else text; @FILE for what a file holds, - for stdin. May "
    "be repeated.",
)  # fmt: skip
_OWNER = click.option("--owner", metavar="OWNER", help="Whose session it is.")
_CLIENT_TYPE = click.option("--client-type", metavar="TYPE", help="What kind of client uses it.")
_METADATA = click.option("--metadata", type=json_object, metavar="JSON", help="A JSON object of your own.")


@click.command(
    cls=Command,
    output=Document("Session"),
    examples=[
        "sojourn create --owner ada --tag beta --ttl 30m",
        "sojourn create --kind documentation --set workspace_id=w1 --set module_name=json",
        "sojourn create --kind mcp --set credentials=@credentials.json",
    ],
)
@click.option("--kind", metavar="KIND", default="session", show_default=True, help="The session's model.",
              shell_complete=completes_kind)  # fmt: skip
@_OWNER
@_CLIENT_TYPE
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be repeated.")
@_METADATA
@click.option("--ttl", type=lifetime, metavar="DURATION", help="How long it lives: 30m, 1h30m, 45s, 7d, or never.")
@click.option("--max-lifetime", type=lifetime, metavar="DURATION", help="The longest that it can be kept alive.")
@_SET
@pass_state
def create(
    state: State, /, kind: str, ttl: Lifetime | None, max_lifetime: Lifetime | None, assigned: tuple[Assigned, ...],
    **fields: Any,
) -> None:  # fmt: skip
    """Create a session, and print its id.

    Secrets come from a file or from stdin, for others can read a command line: --set FIELD=@FILE or --set FIELD=-.
    """
    if kind not in state.models.kinds:
        raise InvalidName(
            f"no model is known for kind '{kind}', only for {', '.join(state.models.kinds)}: see the setting models"
        )
    codec = state.models.codec(kind)
    check_settable(codec, (each.name for each in assigned))
    lived = {name: each.value for name, each in given(ttl=ttl, max_lifetime=max_lifetime).items()}
    session = state.store_of(codec.model).create(**lived, **{**parsed(codec, assigned), **given(**fields)})
    tell(state, session_json(session), lambda: click.echo(session.id))


@click.command(
    cls=Command,
    output=(Document("Session"), Document("Counters", when="with --add")),
    examples=[
        "sojourn update 0b0e7f --status in_progress --set current_file=a.py --version 3",
        "sojourn update 0b0e7f --unset current_file",
        "sojourn update 0b0e7f --add processed_files=1",
        "sojourn update 0b0e7f --ttl 2h",
    ],
)
@ID
@_SET
@click.option("--unset", multiple=True, metavar="FIELD", help="Back to the field's default. May be repeated.")
@_OWNER
@_CLIENT_TYPE
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="These tags instead of the old ones.")
@_METADATA
@click.option("--status", metavar="STATUS", help="Such as in_progress; final ones are set by end.")
@VERSION
@click.option("--add", multiple=True, type=assignment, metavar="COUNTER=N", help="Add to a counter. May be repeated.")
@click.option("--ttl", type=lifetime, metavar="DURATION", help="From now on: 30m, 1h30m, 45s, 7d, or never.")
@pass_state
def update(
    state: State, /, session_id: str, assigned: tuple[Assigned, ...], unset: tuple[str, ...], version: int | None,
    add: tuple[Assigned, ...], ttl: Lifetime | None, **fields: Any,
) -> None:  # fmt: skip
    """Change a session's fields, or its counters, or its TTL.

    Each of the three is a write of its own. Fields change all at once, or not at all; with --version only if nobody
    else has changed the session meanwhile.
    """
    context = click.get_current_context()
    fields = given(**fields)
    kinds_of_change = [bool(fields or assigned or unset), bool(add), ttl is not None]
    if sum(kinds_of_change) != 1:
        raise click.UsageError(
            "nothing to change" if not any(kinds_of_change)
            else "fields, --add and --ttl are writes of their own: give them to a call each", context
        )  # fmt: skip
    if version is not None and not kinds_of_change[0]:
        raise click.UsageError("--version goes with changes to fields", context)
    session = state.store.get(whole(state, session_id))
    session_id, store = session.id, state.store_of(type(session))
    if add:
        counts = amounts(add)
        with _told(state, session_id, counts):
            found = store.increment(session_id, **counts)
        tell(state, found)
        return
    if ttl is not None:
        with _told(state, session_id, ["ttl"]):
            session = store.persist(session_id) if ttl.value is None else store.set_ttl(session_id, ttl.value)
    else:
        codec = state.models.codec(session.kind)
        check_settable(codec, (*unset, *(each.name for each in assigned)))
        changes = {**defaults(codec, unset), **parsed(codec, assigned), **fields}
        with _told(state, session_id, changes):
            session = store.update(session_id, version=version, **changes)
    tell(state, session_json(session), lambda: print_line([Cell(session.id), Cell(f"version {session.version}")]))


def _told(state: State, session_id: str, changed: Iterable[str]) -> AbstractContextManager[object]:
    """Tell the audit which fields an operator changes: of most of them it hears nothing by the session's event."""
    return state.telling("session.update", id=session_id, changed=[each[:_LONGEST] for each in sorted(changed)[:_TOLD]])


@click.command(
    cls=Command,
    output=Document("Appended"),
    examples=[
        'sojourn append 0b0e7f notes \'{"file_path": "a.py", "status": "done", "created_at": "2026-01-31T12:00:00Z"}\'',
        "sojourn append 0b0e7f notes - < notes.jsonl",
    ],
)
@ID
@click.argument("log")
@click.argument("entries", nargs=-1, required=True, metavar="ENTRY...")
@pass_state
def append(state: State, session_id: str, log: str, entries: tuple[str, ...]) -> None:
    """Append entries to one of a session's logs, all or none.

    Each entry is JSON, or text if it is not; - stands for the lines of stdin.
    """
    session = state.store.get(whole(state, session_id))
    own, more = log_named(session, log), entries_from(entries)
    with state.telling("session.append", id=session.id, log=log[:_LONGEST], entries=len(more)):
        length = state.store.append(session.id, own, *more)
    entry = "entry" if length == 1 else "entries"
    tell(state, {"log": log, "length": length}, lambda: print_line([Cell(log), Cell(f"{length} {entry}")]))
