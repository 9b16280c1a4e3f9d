"""One face for both stores, so that one suite holds for the synchronous and the asynchronous one."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Self, cast

import redis

from sojourn import AsyncSessionStore, Cache, SessionStore, Settings, TenantLimits
from sojourn.keys import PartitionKeys
from sojourn.models import Session
from sojourn.tenants import confine, new_password

__all__ = ["KINDS", "Blocking", "StoreOpener", "snapshot", "store_url"]

KINDS = ("sync", "async")
_PASSWORD = new_password()


class Blocking:
    """An `AsyncSessionStore`, or its `mcp`, that waits for its own coroutines, on a loop of its own."""

    def __init__(self, store: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name == "tokens":
            return Blocking(found, self._loop)
        if name in ("editing", "events"):
            return getattr(self, f"_{name}")
        if name in ("mcp", "archive"):
            return Blocking(found, self._loop)
        if name in ("for_tenant", "acting", "owned_by"):
            return lambda *args, **kwargs: Blocking(found(*args, **kwargs), self._loop)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._loop.run_until_complete(found(*args, **kwargs))

    @contextmanager
    def _editing(self, session_id: str) -> Iterator[Any]:
        context = self._store.editing(session_id)
        draft = self._loop.run_until_complete(context.__aenter__())
        try:
            yield draft
        except BaseException as error:
            if not self._loop.run_until_complete(context.__aexit__(type(error), error, error.__traceback__)):
                raise
        else:
            self._loop.run_until_complete(context.__aexit__(None, None, None))

    def _events(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        events = self._store.events(*args, **kwargs)
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(anext(events))
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(events.aclose())


class StoreOpener:
    """Opens stores of one kind, and closes them in the end."""

    confined: ClassVar[bool] = False
    """Whether stores log in as a Redis user that is confined to their tenant: the option ``--confined``."""
    cached: ClassVar[bool] = False
    """Whether stores have near caches: the option ``--cached``."""

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self._stores: list[Any] = []
        self._loop = asyncio.new_event_loop() if kind == "async" else None

    def __call__(self, model: type[Session] = Session, *, url: str = "", **settings: Any) -> SessionStore[Any]:
        """Open a store of `model` with these settings, typed as the synchronous one that it behaves like."""
        given = {name: settings.pop(name) for name in ("actor", "trace_id", "observers", "cache") if name in settings}
        if self.cached:
            given.setdefault("cache", Cache())
        chosen = Settings(redis_url=url or self.url, **settings)
        operators: Settings | None = None
        if self.confined and "@" not in chosen.redis_url:
            login = _login(self.url, chosen, caches="cache" in given)
            operators = chosen.model_copy(update={"redis_url": self.url})
            chosen = chosen.model_copy(update={"redis_url": chosen.redis_url.replace("://", f"://{login}@", 1)})
        store: Any
        if self._loop is not None:
            twin = AsyncSessionStore(model=model, settings=chosen, **given)
            store = Blocking(twin, self._loop)
            if operators is not None:
                store.set_tenant_limits = partial(_set_limits, twin, operators)
        elif operators is not None:
            store = _Confined(model=model, settings=chosen, **given)
            store.operators = operators
        else:
            store = SessionStore(model=model, settings=chosen, **given)
        self._stores.append(store)
        return cast("SessionStore[Any]", store)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for store in self._stores:
            store.close()
        if self._loop is not None:
            self._loop.close()


class _Confined(SessionStore[Any]):
    """A store of a confined user, with an operator beside it, who alone sets limits."""

    operators: Settings

    def set_tenant_limits(self, **limits: Any) -> TenantLimits:
        """Have the operator set them."""
        return _set_limits(self, self.operators, **limits)


def _set_limits(store: Any, operators: Settings, **limits: Any) -> TenantLimits:
    """Set the limits of a store's tenant in its name, with the login of an operator."""
    context = store._whole_tenant
    with SessionStore(settings=operators, tenant=context.tenant, actor=context.actor, trace_id=context.trace) as own:
        return own.set_tenant_limits(**limits)


def store_url(url: str) -> str:
    """Return the URL that stores of the default tenant take: with --confined it has the login of a confined user."""
    return url.replace("://", f"://{_login(url, Settings(redis_url=url))}@", 1) if StoreOpener.confined else url


def _login(url: str, settings: Settings, *, caches: bool = False) -> str:
    """The login of a user who is confined to the tenant of these settings, on the Redis of `url`."""
    user = f"{settings.tenant}-with-caches" if caches else None  # one without them may be open at the same time
    made = confine(
        settings.model_copy(update={"redis_url": url}), settings.tenant, user=user, password=_PASSWORD, caches=caches
    )
    with redis.Redis.from_url(url, decode_responses=True) as client:
        events = PartitionKeys(made.partition or 0).events
        for entry, fields in cast("list[Any]", client.xrange(events)):
            if fields["type"] == "administered":  # what was done here is not what the tests look for
                client.xdel(events, entry)
    return f"{made.user}:{_PASSWORD}"


def snapshot(client: Any) -> dict[str, tuple[bytes, bool]]:
    """Return everything there is in a Redis database: each key's dump, and whether it has a TTL."""
    return {key: (_dump(client, key), client.pttl(key) >= 0) for key in sorted(client.scan_iter(count=1000))}


def _dump(client: Any, key: str) -> bytes:
    # A client that decodes replies cannot read a dump.
    connection = client.connection_pool.get_connection()
    try:
        connection.send_command("DUMP", key)
        return bytes(connection.read_response(disable_decoding=True))
    finally:
        client.connection_pool.release(connection)
