"""What is under way about a session: its events in the outbox, what hooks made of them, and dead letters."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Final

from sojourn.events import Event
from sojourn.hook_names import hook_scope
from sojourn.inspection.asking import Answer, Ask, ask_all, item_of
from sojourn.inspection.commands import RedisCli
from sojourn.inspection.model import Item
from sojourn.keys import PartitionKeys, TenantKeys
from sojourn.operations.core import Command, Operation, is_of_another_type, pairs, raise_for
from sojourn.operations.dead import Place
from sojourn.operations.dead_pages import hooks, page_flow

__all__ = ["happening_flow", "read_events", "stale_flow"]

_PAGE: Final = 1_000
_LOOKED_AT: Final = 20_000
"""Entries of the outbox, the newest, among which the session's are looked for."""
_SHOWN: Final = 50
_HOOKED: Final = 20
"""Events of which it is asked what hooks made of them."""
_LETTERS: Final = 1_000


def read_events(
    partition: PartitionKeys, tenant: str, session_id: str
) -> Generator[Operation[list[tuple[str, Event]]], list[tuple[str, Event]], tuple[list[tuple[str, Event]], bool]]:
    """The session's newest events with their ids in the stream, newest first; and whether all were looked at."""
    found: list[tuple[str, Event]] = []
    until = "+"
    for _ in range(_LOOKED_AT // _PAGE):
        page = yield _page(partition, until)
        found += [each for each in page if (each[1].tenant, each[1].session_id) == (tenant, session_id)]
        if len(page) < _PAGE or len(found) >= _SHOWN:
            return found[:_SHOWN], True
        until = f"({page[-1][0]}"
    return found, False


def _page(partition: PartitionKeys, until: str) -> Operation[list[tuple[str, Event]]]:
    def parse(replies: list[Any]) -> list[tuple[str, Event]]:
        if is_of_another_type(replies[0]):
            return []
        raise_for(replies[0], "-", "-")
        return [(entry, Event.from_stream(partition.number, entry, pairs(fields))) for entry, fields in replies[0]]

    command: Command = ("XREVRANGE", partition.events, until, "-", "COUNT", _PAGE)
    return Operation((command,), parse)


def event_items(events: Iterable[tuple[str, Event]], partition: PartitionKeys, cli: RedisCli) -> list[Item]:
    """An item for each event, oldest first."""
    return [
        Item(
            "events", event.type, partition.events, {"id": event.id, "version": event.version, "actor": event.actor},
            cli.line(("XRANGE", partition.events, entry, entry)),
        )
        for entry, event in reversed(list(events))
    ]  # fmt: skip


def stale_flow(
    keys: TenantKeys, session_id: str, record: dict[str, str], expected: Iterable[str],
    events: Iterable[tuple[str, Event]], cli: RedisCli,
) -> Generator[Operation[list[Answer]], list[Answer], list[Item]]:  # fmt: skip
    """Entries that are left in indexes in which the session was before, as far as its events tell what it was."""
    from sojourn.inspection.judging import index_values, split

    specs = {spec.removesuffix("[]"): spec for spec in split(record.get("_indexes"))}
    wanted = set(expected)
    asks: dict[str, Ask] = {}
    for _, event in events:
        for name, before in (event.before or {}).items():
            for value in index_values(specs[name], before) if name in specs else ():
                key = keys.index(name, value)
                if key not in wanted:
                    asks[key] = Ask("indexes", f"{name} {value}", ("ZSCORE", key, session_id))
    if not asks:
        return []
    answers = yield ask_all(list(asks.values()))
    drift = "is there, though the record says otherwise"
    return [item_of(each, cli, drift=drift) for each in answers if each.is_there]


def happening_flow(
    keys: TenantKeys, session_id: str, queue_prefix: str, named: Iterable[str], events: list[tuple[str, Event]],
    cli: RedisCli,
) -> Generator[Operation[Any], Any, list[Item]]:  # fmt: skip
    """What hooks have made of the events, and the dead letters about the session. `named`: hooks in the settings."""
    partition = keys.partition
    names = sorted({*named, *(yield hooks([partition], queue_prefix))})
    asks = []
    for name in names:
        scope = hook_scope(queue_prefix, name)
        for _, event in events[:_HOOKED]:
            told = f"hook {name}, {event.type} v{event.version}"
            asks += [
                Ask("jobs", f"{told}: done", ("ZSCORE", partition.ledger(scope), event.id)),
                Ask("jobs", f"{told}: in hand of", ("GET", partition.running(scope, event.id)), has_ttl=True),
                Ask("jobs", f"{told}: failed so often", ("GET", partition.tries(scope, event.id)), has_ttl=True),
            ]
    answers = (yield ask_all(asks)) if asks else []
    items = [item_of(each, cli) for each in answers if each.is_there and not each.refused]
    places = [Place(partition, name, hook_scope(queue_prefix, name)) for name in names]
    if not places:
        return items
    page = yield from page_flow(places, limit=_LETTERS, cursor=None, newest_first=True, tenant=keys.tenant)
    for letter in page.letters:
        if letter.event is not None and letter.event.session_id == session_id:
            value = {"hook": letter.hook, "event": letter.event_id, "tries": letter.tries, "reason": letter.reason}
            line = cli.line(("XRANGE", letter.place.stream, letter.entry, letter.entry))
            items.append(Item("jobs", f"dead letter of {letter.hook}", letter.place.stream, value, line))
    return items
