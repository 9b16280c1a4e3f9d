"""The connections that synchronous calls borrow: whose turn it is, and what becomes of those that are lost."""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from tests.waiting import eventually

from sojourn import Settings, StoreUnavailable
from sojourn.operations.core import Operation
from sojourn.transport import policy
from sojourn.transport.blocking import Transport, _Line, _Lines


def lines_of(most: int) -> _Lines:
    """Return connections to nowhere, of which none is connected."""
    return Transport(Settings(redis_url="redis://127.0.0.1:1", max_connections=most))._lines


def called(transport: Transport, *command: str) -> Any:
    """Return the reply to one command."""
    return transport.execute_one(Operation((command,), list))[0]


def test_as_many_as_were_asked_for() -> None:
    """The setting is the limit, and no limit that redis-py's pools have."""
    lines = lines_of(150)
    borrowed = [lines.borrow(0) for _ in range(151)]
    assert len(set(borrowed)) == 151
    assert borrowed[-1] is None


def test_who_waits_comes_first() -> None:
    """A thread that gives one back and wants it again at once stands in line."""
    lines = lines_of(1)
    held = lines.borrow(0)
    assert held is not None
    order: list[str] = []

    def wait() -> None:
        line = lines.borrow(30)
        assert line is not None
        order.append("who had waited")
        lines.give_back(line)

    thread = threading.Thread(target=wait)
    thread.start()
    eventually(lambda: lines.waiting == 1, what="the waiting thread")
    lines.give_back(held)
    assert lines.borrow(30) is held
    order.append("who had it before")
    thread.join()
    assert order == ["who had waited", "who had it before"]


def test_more_threads_than_connections(any_redis_url: str) -> None:
    """Each gets its turn, however busy the others are, and nobody is told that there was none for him."""
    transport = Transport(Settings(redis_url=any_redis_url, max_connections=2, socket_timeout=0.5, retries=0))
    failed: list[StoreUnavailable] = []
    counts = [0] * 8
    enough = threading.Event()

    def call(number: int) -> None:
        try:
            while not enough.is_set():
                called(transport, "PING")
                counts[number] += 1
        except StoreUnavailable as error:
            failed.append(error)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(len(counts))]
    for each in threads:
        each.start()
    try:
        eventually(lambda: min(counts) > 200 or failed, what="each thread's calls")
    finally:
        enough.set()
        for each in threads:
            each.join()
    transport.close()
    assert failed == []


def test_a_further_attempt_does_not_wait_for_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent while Redis knows the operation's id, or not at all."""
    monkeypatch.setattr(policy, "_OPERATION_MEMORY_S", 2.0)
    transport = Transport(Settings(redis_url="redis://127.0.0.1:1", socket_timeout=0.5, retries=2))
    waits: list[float] = []
    borrow = transport._lines.borrow

    def noted(timeout_s: float) -> Any:
        waits.append(timeout_s)
        return borrow(timeout_s)

    monkeypatch.setattr(transport._lines, "borrow", noted)
    monkeypatch.setattr(transport._lines, "waiting", 1)
    with pytest.raises(StoreUnavailable):
        called(transport, "PING")
    assert len(waits) == 3
    assert waits[0] == policy.longest_s(transport._settings)
    assert max(waits[1:]) < 2.0 - 0.5


def test_one_that_is_lost_does_not_count() -> None:
    """As when a signal's handler raises before it was given back."""
    lines = lines_of(1)
    assert lines.borrow(0) is not None
    gc.collect()
    assert lines.borrow(0) is not None


class _Enough(Exception):
    pass


@pytest.fixture
def alarm() -> Any:
    """Give what has a signal's handler raise, after so many seconds."""

    def stop(*_: object) -> None:
        raise _Enough

    before = signal.signal(signal.SIGALRM, stop)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_call_that_ends_while_it_is_being_ended(
    any_redis_url: str, alarm: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler raises, and another before the connection was closed: the next call does not get the reply."""
    transport = Transport(Settings(redis_url=any_redis_url, max_connections=1, socket_timeout=5))
    assert called(transport, "ECHO", "before") == "before"
    (line,) = transport._lines.free

    def interrupted(*_: object) -> None:
        raise _Enough

    with monkeypatch.context() as patch:
        patch.setattr(line.connection, "disconnect", interrupted)
        alarm(0.1)
        with pytest.raises(_Enough):
            called(transport, "BLPOP", "nothing:is:here", "0.3")
    assert called(transport, "ECHO", "after") == "after"
    transport.close()


def test_all_parts_of_a_batch_go_out_before_a_reply_comes(any_redis_url: str) -> None:
    """It is one round trip, however many writes: here nothing is answered before all of it has come."""
    commands = [("ECHO", f"{number}" * 100) for number in range(105)]
    transport = Transport(Settings(redis_url=any_redis_url, max_connections=1, socket_timeout=5, retries=0))
    assert called(transport, "ECHO", "before") == "before"
    (line,) = transport._lines.free
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    line.connection._sock.close()
    line.connection._sock = line._sock = ours
    line._number = ours.fileno()
    came: list[bytes] = []

    def answer() -> None:
        whole = policy.pack(commands)
        while sum(map(len, came)) < len(whole):
            came.append(theirs.recv(65_536))
        theirs.sendall(b"".join(b"$%d\r\n%b\r\n" % (len(text), text.encode()) for _, text in commands))

    server = threading.Thread(target=answer)
    server.start()
    replies = transport.execute([Operation((each,), list) for each in commands])
    server.join()
    assert b"".join(came) == policy.pack(commands)
    assert replies == [[text] for _, text in commands]
    transport.close()
    theirs.close()


def _interrupted(*_: object) -> None:
    raise _Enough


@contextmanager
def ending_twice(line: _Line, after: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have something raise after so many instructions of connecting, and again instead of closing the connection."""
    connecting, left, tracing = _Line._connect.__code__, after, sys.gettrace()

    def instruction(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code is not connecting:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left -= 1
            if left < 0:
                patch.setattr(line.connection, "disconnect", _interrupted)
                raise _Enough
        return instruction

    with monkeypatch.context() as patch:
        sys.settrace(instruction)
        try:
            yield
        finally:
            sys.settrace(tracing)


def test_a_call_that_ends_while_it_connects(any_redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two handlers raise, at any moment: the next call's bytes do not go where the number of a closed socket leads."""
    for after in range(200):
        transport = Transport(Settings(redis_url=any_redis_url, max_connections=1, socket_timeout=0.5))
        assert called(transport, "ECHO", "before") == "before"
        (line,) = transport._lines.free
        number, ended = line.connection._sock.fileno(), False
        theirs, reached = socket.socketpair()
        with theirs, reached:
            transport.close()
            os.dup2(theirs.fileno(), number)
            try:
                with ending_twice(line, after, monkeypatch):
                    assert called(transport, "ECHO", "ended") == "ended"
            except _Enough:
                ended = True
            assert called(transport, "ECHO", "after") == "after"
            os.close(number)
            theirs.close()
            assert reached.recv(1) == b"", f"after {after} instructions"
        transport.close()
        if not ended:  # so many instructions it has not
            assert after > 0
            return
    raise AssertionError("there is no end to connecting")
