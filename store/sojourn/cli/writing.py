"""``sojourn create``, ``sojourn update`` and ``sojourn append``."""

from __future__ import annotations

from typing import Any

import click

from sojourn.cli.fields import amounts, check_settable, defaults, entries_from, given, log_named, parsed
from sojourn.cli.output import Cell, print_json, print_line
from sojourn.cli.parameters import Assigned, Lifetime, assignment, json_object, lifetime
from sojourn.cli.shared import Command, State, pass_state
from sojourn.errors import InvalidName

__all__ = ["append", "create", "update"]

_SET = click.option(
    "--set", "assigned", multiple=True, type=assignment, metavar="FIELD=VALUE",
    help="A field of the model; JSON where the value is JSON, else text. May be repeated.",
)  # fmt: skip
_OWNER = click.option("--owner", metavar="OWNER", help="Whose session it is.")
_CLIENT_TYPE = click.option("--client-type", metavar="TYPE", help="What kind of client uses it.")
_METADATA = click.option("--metadata", type=json_object, metavar="JSON", help="A JSON object of your own.")


@click.command(
    cls=Command,
    examples=[
        "sojourn create --owner ada --tag beta --ttl 30m",
        "sojourn create --kind documentation --set workspace_id=w1 --set module_name=json",
    ],
)
@click.option("--kind", metavar="KIND", default="session", show_default=True, help="The session's model.")
@_OWNER
@_CLIENT_TYPE
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May be repeated.")
@_METADATA
@click.option("--ttl", type=lifetime, metavar="TIME", help="How long it lives: 30m, 1h30m, 45s, seconds, or never.")
@click.option("--max-lifetime", type=lifetime, metavar="TIME", help="The longest that it can be kept alive.")
@_SET
@pass_state
def create(
    state: State, /, kind: str, ttl: Lifetime | None, max_lifetime: Lifetime | None, assigned: tuple[Assigned, ...],
    **fields: Any,
) -> None:  # fmt: skip
    """Create a session, and print its id."""
    if kind not in state.models.kinds:
        raise InvalidName(
            f"no model is known for kind '{kind}', only for {', '.join(state.models.kinds)}: see the setting models"
        )
    codec = state.models.codec(kind)
    check_settable(codec, (each.name for each in assigned))
    lived = {name: each.value for name, each in given(ttl=ttl, max_lifetime=max_lifetime).items()}
    session = state.store_of(codec.model).create(**lived, **{**parsed(codec, assigned), **given(**fields)})
    if state.as_json:
        print_json(session.model_dump(mode="json"))
    else:
        click.echo(session.id)


@click.command(
    cls=Command,
    examples=[
        "sojourn update ID --status in_progress --set current_file=a.py --version 3",
        "sojourn update ID --unset current_file",
        "sojourn update ID --add processed_files=1",
        "sojourn update ID --ttl 2h",
    ],
)
@click.argument("session_id", metavar="ID")
@_SET
@click.option("--unset", multiple=True, metavar="FIELD", help="Back to the field's default. May be repeated.")
@_OWNER
@_CLIENT_TYPE
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="These tags instead of the old ones.")
@_METADATA
@click.option("--status", metavar="STATUS", help="Such as in_progress; final ones are set by end.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="Only if it still has this version.")
@click.option("--add", multiple=True, type=assignment, metavar="COUNTER=N", help="Add to a counter. May be repeated.")
@click.option("--ttl", type=lifetime, metavar="TIME", help="From now on: 30m, 1h30m, 45s, seconds, or never.")
@pass_state
def update(
    state: State, /, session_id: str, assigned: tuple[Assigned, ...], unset: tuple[str, ...], version: int | None,
    add: tuple[Assigned, ...], ttl: Lifetime | None, **fields: Any,
) -> None:  # fmt: skip
    """Change a session: its fields, or its counters, or its TTL."""
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
    session = state.store.get(session_id)
    store = state.store_of(type(session))
    if add:
        _tell_counters(state, store.increment(session_id, **amounts(add)))
        return
    if ttl is not None:
        session = store.persist(session_id) if ttl.value is None else store.set_ttl(session_id, ttl.value)
    else:
        codec = state.models.codec(session.kind)
        check_settable(codec, (*unset, *(each.name for each in assigned)))
        changes = {**defaults(codec, unset), **parsed(codec, assigned), **fields}
        session = store.update(session_id, version=version, **changes)
    if state.as_json:
        print_json(session.model_dump(mode="json"))
    else:
        print_line([Cell(session.id), Cell(f"version {session.version}")])


def _tell_counters(state: State, counters: dict[str, int]) -> None:
    if state.as_json:
        print_json(counters)
        return
    for name, value in counters.items():
        print_line([Cell(name), Cell(str(value))])


@click.command(
    cls=Command,
    examples=[
        'sojourn append ID notes \'{"file_path": "a.py", "status": "done", "created_at": "2026-01-31T12:00:00Z"}\''
    ],
)
@click.argument("session_id", metavar="ID")
@click.argument("log")
@click.argument("entries", nargs=-1, required=True, metavar="ENTRY...")
@pass_state
def append(state: State, session_id: str, log: str, entries: tuple[str, ...]) -> None:
    """Append entries to one of a session's logs, all or none.

    Each entry is JSON, or text if it is not; - stands for the lines of stdin.
    """
    session = state.store.get(session_id)
    length = state.store.append(session_id, log_named(session, log), *entries_from(entries))
    if state.as_json:
        print_json({"log": log, "length": length})
    else:
        print_line([Cell(log), Cell(f"{length} {'entry' if length == 1 else 'entries'}")])
