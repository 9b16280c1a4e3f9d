"""What the synchronous and the asynchronous store have in common: everything but the waiting."""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Generic, Self, TypeVar

from sojourn.codec import Codec, codec_for
from sojourn.errors import InvalidField, InvalidInput, SessionError, SessionNotFound, SojournError, StoreFull
from sojourn.events import Event, Start, Taken, default_consumer, event_flow, hand_back, tenant_group
from sojourn.keys import TenantKeys
from sojourn.limits import Ttl, milliseconds
from sojourn.models import Session
from sojourn.operations import read, write
from sojourn.operations.core import Context, Operation
from sojourn.operations.flows import Flow, mutate_flow
from sojourn.settings import Settings, load_settings

__all__ = [
    "DEFAULT",
    "Default",
    "Facade",
    "all_created",
    "created_or_full",
    "found_or_none",
    "result_or_error",
]

S = TypeVar("S", bound=Session)
R = TypeVar("R")
T = TypeVar("T")


class Default:
    """Stands for what the settings say."""

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = Default()
_CONTEXT_BYTES: Final = 256


@dataclass
class Shared(Generic[T]):
    """What all views of one store share."""

    transport: T
    opened: bool = False
    """Whether the layout of this Redis has been checked."""
    tenants: set[str] = field(default_factory=set)
    """Tenants that are known to be in the set of tenants."""


class Facade(Generic[S, T]):
    """Builds the operations behind each method of a store; knows nothing of waiting."""

    _shared: Shared[T]
    _ready = False
    """Whether `_opening` was gone through."""

    def __init__(
        self,
        url: str | None,
        model: type[S],
        tenant: str | None,
        settings: Settings | None,
        actor: str,
        trace_id: str,
        transport: Callable[[Settings], T],
    ) -> None:
        given: object = url  # whoever does without a type checker passes settings first
        if isinstance(given, Settings) or not (settings is None or isinstance(settings, Settings)):
            raise InvalidInput("settings are passed by name, and are sojourn's: SessionStore(settings=load_settings())")
        if settings is None:
            settings = load_settings(redis_url=url, tenant=tenant)
        elif url is not None:
            raise InvalidInput("pass a url or settings, not both")
        self.settings = settings
        self._codec: Codec[S] = codec_for(model)
        context = settings.context(
            settings.load_models(model), actor=actor or settings.actor, trace=trace_id or settings.trace_id
        )
        self._context = context if tenant is None else context.of(TenantKeys.of(tenant, settings.partitions))
        _check_context("actor", actor)
        _check_context("trace_id", trace_id)
        self._shared = Shared(transport(settings))

    @property
    def tenant(self) -> str:
        """The tenant whose sessions this store sees."""
        return self._context.tenant

    @property
    def model(self) -> type[S]:
        """The model whose sessions this store sees."""
        return self._codec.model

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.model.__name__}, tenant={self.tenant!r})"

    def for_tenant(self, tenant: str) -> Self:
        """The same store for another tenant; it shares this one's connections.

        Raises:
            InvalidName: not a tenant's name.

        Example:
            >>> store.for_tenant("acme").tenant  # doctest: +SKIP
            'acme'
        """
        return self._view(self._context.of(TenantKeys.of(tenant, self.settings.partitions)))

    def acting(self, *, actor: str = "", trace_id: str = "") -> Self:
        """The same store, but its events tell who acted and in which trace; each up to 256 bytes.

        Example:
            >>> store.acting(actor="ada", trace_id="4bf92f35").delete(session.id)  # doctest: +SKIP
        """
        _check_context("actor", actor)
        _check_context("trace_id", trace_id)
        return self._view(replace(self._context, actor=actor, trace=trace_id))

    def _view(self, context: Context) -> Self:
        view = copy.copy(self)
        view._context = context  # noqa: SLF001
        return view

    # What the methods of the stores execute

    def _opening(self) -> Generator[Operation[bool], bool, None]:
        """What comes before the first operation of a store, and of each of its views."""
        if not self._shared.opened:
            for step in read.open_layout(self.settings.partitions):
                if (yield step):
                    break
            self._shared.opened = True
        self._ready = True

    def _create(self, ttl: Ttl | Default, max_lifetime: Ttl | Default, fields: Mapping[str, Any]) -> Operation[S]:
        lives = self.settings.ttl if isinstance(ttl, Default) else ttl
        at_most = self.settings.max_lifetime if isinstance(max_lifetime, Default) else max_lifetime
        if self.tenant in self._shared.tenants:
            return write.create(self._context, self._codec, lives, at_most, fields, register=False)
        operation = write.create(self._context, self._codec, lives, at_most, fields, register=True)

        def parse(replies: list[Any]) -> S:
            session = operation.parse(replies)
            self._shared.tenants.add(session.tenant)  # Redis has answered, so it knows the tenant now
            return session

        return replace(operation, parse=parse)

    def _create_many(
        self, sessions: Iterable[Mapping[str, Any]], ttl: Ttl | Default, max_lifetime: Ttl | Default
    ) -> list[Operation[S]]:
        return self._bounded(
            [self._create(ttl, max_lifetime, _mapping(fields)) for fields in _several(sessions, "create_many")]
        )

    def _update(self, session_id: str, version: int | None, changes: Mapping[str, Any]) -> Operation[S]:
        encoded = self._codec.encode_changes(changes, self._context.limits)
        return write.update(self._context, self._codec, session_id, version, encoded)

    def _mutate(self, session_id: str, change: Callable[[S], Mapping[str, Any]]) -> Flow[S]:
        if not callable(change):
            raise InvalidInput(f"mutate() takes a function, not {type(change).__name__}")
        return mutate_flow(self._context, self._codec, session_id, change)

    def _update_many(self, updates: Mapping[str, Mapping[str, Any]]) -> list[Operation[S]]:
        return self._bounded(
            [
                self._update(session_id, each.get("version"), {k: v for k, v in each.items() if k != "version"})
                for session_id, each in ((session_id, _mapping(each)) for session_id, each in _mapping(updates).items())
            ]
        )

    def _get_many(self, session_ids: Iterable[str]) -> list[Operation[S]]:
        return self._bounded([read.get(self._context, self.model, each) for each in _several(session_ids, "get_many")])

    def _bounded(self, operations: list[Operation[R]]) -> list[Operation[R]]:
        at_most = self._context.limits.batch
        if len(operations) > at_most:
            raise InvalidInput(f"a batch holds at most {at_most} sessions, not {len(operations)}")
        return operations

    def _events(
        self, group: str, consumer: str | None, start: Start, timeout: float | None, limit: int | None, held: Taken
    ) -> Generator[Operation[Any] | Event, Any, None]:
        # A blocking read must come back before the socket's own timeout takes it for a failure.
        block_s = min(self.settings.dispatch_block, self.settings.socket_timeout / 2)
        return event_flow(
            self._context,
            group,
            consumer=consumer,
            start=start,
            timeout_s=timeout,
            limit=limit,
            block_s=block_s,
            takeover_s=self.settings.takeover_after,
            held=held,
        )

    def _restore(
        self, session_id: str, version: int | None, at: datetime | None, ttl: Ttl | Default, max_lifetime: Ttl | Default
    ) -> Flow[S]:
        # Where one of the two is given, the other is what it is for a new session.
        lifetimes = None
        if not (isinstance(ttl, Default) and isinstance(max_lifetime, Default)):
            lives = self.settings.ttl if isinstance(ttl, Default) else ttl
            at_most = self.settings.max_lifetime if isinstance(max_lifetime, Default) else max_lifetime
            lifetimes = milliseconds(lives), milliseconds(at_most, "max_lifetime")
        try:
            from sojourn.archive.restoring import restore_flow
        except ImportError as error:
            raise SojournError(f"the archive needs psycopg ({error}): pip install 'sojourn[worker]'") from None
        return restore_flow(self._context, self.settings, self.model, session_id, version, at, lifetimes)

    def _hand_back(self, group: str, consumer: str | None, held: Taken) -> Operation[None]:
        return hand_back(held, tenant_group(self._context, group), consumer or default_consumer())


def found_or_none(operation: Operation[R], replies: list[Any]) -> R | None:
    """The operation's result; None where there is no such session."""
    try:
        return operation.parse(replies)
    except SessionNotFound:
        return None


def result_or_error(operation: Operation[R], replies: list[Any]) -> R | SessionError:
    """The operation's result, or what went wrong with its session."""
    try:
        return operation.parse(replies)
    except SessionError as error:
        return error


def created_or_full(operation: Operation[R], replies: list[Any]) -> R | StoreFull:
    """The new session, or that Redis is out of memory."""
    try:
        return operation.parse(replies)
    except StoreFull as error:
        return error


def all_created(outcomes: list[S | StoreFull]) -> list[S]:
    """The new sessions, if all there are.

    Raises:
        StoreFull: some are not; those that are come with it, since they live on.
    """
    created = [each for each in outcomes if not isinstance(each, StoreFull)]
    if len(created) < len(outcomes):
        raise StoreFull(
            f"Redis is out of memory (maxmemory): {len(created)} of {len(outcomes)} sessions were created, see the "
            "attribute `created`; raise it, or end sessions",
            tuple(created),
        )
    return created


def _several(values: Iterable[T], method: str) -> Iterable[T]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InvalidInput(f"{method}() takes a list, not {type(values).__name__}")
    return values


def _mapping(value: Mapping[str, Any]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInput(f"the fields of a session are a mapping, not {type(value).__name__}")
    return value


def _check_context(name: str, value: str) -> None:
    if not isinstance(value, str) or not value.isprintable() or len(value.encode(errors="replace")) > _CONTEXT_BYTES:
        raise InvalidField(name, f"is printable text of at most {_CONTEXT_BYTES} bytes")
