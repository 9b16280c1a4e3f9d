"""Where the time of a lone call goes: making its commands, Redis and the network, reading the reply, and all the rest.

Redis and the network are what the same bytes take on a bare socket, with a reader of hiredis on this side. The rest is
what is left of the whole call: taking a connection, the retries and observers that are ready.
"""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

import hiredis

from bench_calls import CHANGES, FIELDS, BenchSession
from bench_registry import Bench, Found, Row, section
from sojourn import SessionStore
from sojourn.operations import read, write
from sojourn.operations.core import Operation
from sojourn.settings import Settings

__all__ = ["run"]

PARTS: Final = ("making the commands", "Redis and the network", "reading the reply", "the rest", "the whole call")


@section("anatomy")
def run(bench: Bench) -> Found:
    """Where the time of a lone get and of a lone update goes."""
    rows = []
    settings = Settings(redis_url=bench.url)
    with (
        SessionStore(model=BenchSession, settings=settings, tenant="anatomy") as store,
        closing(Wire(bench.url)) as wire,
    ):
        turn = itertools.cycle([each.id for each in store.create_many([FIELDS] * 500, ttl=3600)])
        context, codec = store._context, store._codec  # noqa: SLF001

        def get(session_id: str) -> Operation[Any]:
            return read.get(context, BenchSession, session_id)

        def update(session_id: str) -> Operation[Any]:
            return write.update(context, codec, session_id, None, codec.encode_changes(CHANGES, context.limits))

        wholes = {"get": store.get, "update": lambda each: store.update(each, **CHANGES)}
        for name, build in {"get": get, "update": update}.items():
            rounds = [
                _round(store, wire, build, wholes[name], [next(turn) for _ in range(bench.calls)])
                for _ in range(bench.rounds + 1)
            ][1:]  # the first warms up
            rows += [Row(f"{name}: {part}", "a lone call", [each[part] for each in rounds], "us") for part in PARTS]
    return Found(rows)


class Wire:
    """A bare connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader(encoding="utf-8")

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def send(self, packed: bytes, replies: int) -> None:
        """Send bytes, and wait for so many replies."""
        self._socket.sendall(packed)
        while replies:
            reply = self._reader.gets()
            if reply is False:
                self._reader.feed(self._socket.recv(65_536))
            elif isinstance(reply, Exception):
                raise reply
            else:
                replies -= 1


def _round(
    store: SessionStore[BenchSession], wire: Wire, build: Callable[[str], Operation[Any]],
    whole: Callable[[str], Any], ids: Sequence[str],
) -> dict[str, float]:  # fmt: skip
    """Microseconds of a call, by part."""
    replies: list[Any] = []

    for each in ids:
        store._execute(replace(build(each), parse=replies.append))  # noqa: SLF001
    operations = [build(each) for each in ids]
    packed = [(b"".join(map(_packed, each.commands)), len(each.commands)) for each in operations]
    parsed = [(operation.parse, reply) for operation, reply in zip(operations, replies, strict=True)]
    found = {
        PARTS[0]: _timed(lambda each: tuple(map(_packed, build(each).commands)), [(each,) for each in ids]),
        PARTS[1]: _timed(wire.send, packed),
        PARTS[2]: _timed(lambda parse, reply: parse(reply), parsed),
        PARTS[4]: _timed(whole, [(each,) for each in ids]),
    }
    return found | {PARTS[3]: found[PARTS[4]] - sum(found[part] for part in PARTS[:3])}


def _packed(command: tuple[Any, ...]) -> bytes:
    return bytes(hiredis.pack_command(command))


def _timed(call: Callable[..., Any], inputs: Sequence[tuple[Any, ...]]) -> float:
    started = time.perf_counter()
    for each in inputs:
        call(*each)
    return (time.perf_counter() - started) / len(inputs) * 1e6
