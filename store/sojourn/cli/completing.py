"""What the shell completes values with: quick, bounded, and silent when Redis is away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.state import State

if TYPE_CHECKING:
    from sojourn.client import SessionStore
    from sojourn.settings import Settings

__all__ = ["completes_group", "completes_hook", "completes_id", "completes_kind", "completes_tenant"]

_MOST: Final = 50
"""Candidates that are worth showing."""
_PATIENCE_S: Final = 0.2
"""Whoever presses TAB does not wait longer for Redis."""

Found = Iterable[tuple[str, str]]
"""Values, and what is told of each."""


def _completes(look: Callable[[Settings, State, str], Found]) -> Callable[..., list[Any]]:
    """What click calls, of a function that may fail in any way."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        state = context.ensure_object(State)
        try:
            settings = state.settings.model_copy(update={"socket_timeout": _PATIENCE_S, "retries": 0})
            found = [each for each in look(settings, state, incomplete) if each[0].startswith(incomplete)]
        except Exception:  # noqa: BLE001 (whatever it is, nobody wants to read it in the middle of a line)
            return []
        return [CompletionItem(value, help=told) for value, told in found[:_MOST]]

    return complete


def _tenants(settings: Settings, _: State, __: str) -> Found:
    from sojourn.keys import ISOLATED, TENANTS
    from sojourn.operations.core import all_of, pairs
    from sojourn.transport.blocking import Transport

    look = all_of((("SMEMBERS", TENANTS), ("HGETALL", ISOLATED)))
    transport = Transport(settings)
    try:
        shared, own = look.parse(transport.execute([look])[0])
    finally:
        transport.close()
    names = {*shared, *(name for name in pairs(own) if not name.startswith("/"))}
    return ((name, "") for name in sorted(names))


def _hooks(settings: Settings, _: State, __: str) -> Found:
    return ((name, "") for name in sorted(settings.hooks))


def _kinds(_: Settings, state: State, __: str) -> Found:
    return ((name, "") for name in sorted(state.models.kinds))


def _groups(settings: Settings, _: State, __: str) -> Found:
    from sojourn.tenants import show_tenant

    return ((name, "") for name in show_tenant(settings, settings.tenant).groups)


def _ids(settings: Settings, _: State, incomplete: str) -> Found:
    from sojourn.client import SessionStore
    from sojourn.lookup import SHORTEST, find
    from sojourn.models import Session

    with SessionStore(settings=settings, model=Session) as store:
        if len(incomplete) >= SHORTEST:
            ids = find(store, incomplete, limit=_MOST)
            return list(_told(store, ids))
        return [(each.id, _about(each)) for each in store.list(limit=_MOST).sessions]


def _told(store: SessionStore[Any], ids: list[str]) -> Iterator[tuple[str, str]]:
    for session_id, session in zip(ids, store.get_many(ids), strict=True):
        yield session_id, "" if session is None else _about(session)


def _about(session: Any) -> str:
    return " ".join(filter(None, (session.kind, session.status, session.owner)))


completes_tenant: Final = _completes(_tenants)
completes_hook: Final = _completes(_hooks)
completes_kind: Final = _completes(_kinds)
completes_group: Final = _completes(_groups)
completes_id: Final = _completes(_ids)
