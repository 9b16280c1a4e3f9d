"""What the commands of a script cost without it: those that it issued, sent again in MULTI and EXEC.

MONITOR shows what a script issues. All that reached the server is sent again, in its order, to an empty one: once as it
was, once with transactions in the scripts' place, and so each meets the state that the script met. Only the events' ids
are others, and with them what XACK finds. There are two measures. The times of INFO commandstats are of running alone:
what EVALSHA took, against what MULTI and EXEC took with all commands between them. The CPU of the server's main thread
is all that a call costs Redis: it includes reading what was sent, and that is many commands against one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import redis

__all__ = ["Spent", "Step", "measure", "recording"]

_LINE: Final = re.compile(rb"\d+\.\d+ \[\d+ ([^\]]*)\] (.*)", re.DOTALL)
_WORD: Final = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPED: Final = re.compile(rb"\\(x[0-9a-f]{2}|.)", re.DOTALL)
_PLAIN: Final = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b"}
_NOT_REPLAYED: Final = {b"CLIENT", b"CONFIG", b"HELLO", b"INFO", b"MONITOR", b"SCRIPT", b"SLOWLOG"}
_LONGEST_RUN: Final = 500
"""As many replies Redis holds back until the write was read."""
_LAST: Final = b"the end of the recording"


@dataclass
class Step:
    """One command that a client sent; of a script, what it issued."""

    command: list[bytes]
    script: str = ""
    issued: list[list[bytes]] = field(default_factory=list)


@contextmanager
def recording(url: str, names: Mapping[str, str]) -> Iterator[list[Step]]:
    """Within it all that reaches the server is noted; afterwards it is in what this gave.

    Args:
        url: Redis.
        names: of the scripts, by their SHA-1.
    """
    steps: list[Step] = []
    client = redis.Redis.from_url(url)
    monitor: Any = client.connection_pool.get_connection()
    with closing(client):
        monitor.send_command("MONITOR")
        monitor.read_response()

        def listen() -> None:
            while _note(monitor.read_response(), names, steps):
                pass

        listener = threading.Thread(target=listen)
        listener.start()
        try:
            yield steps
        finally:
            client.echo(_LAST)
            listener.join()
            monitor.disconnect()


def _note(line: bytes, names: Mapping[str, str], steps: list[Step]) -> bool:
    """Add a line of MONITOR's to the steps; return whether more is to come."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"MONITOR says {line[:200]!r}")
    words = [_ESCAPED.sub(_unescaped, word) for word in _WORD.findall(match[2])]
    if match[1] == b"lua":
        steps[-1].issued.append(words)
    elif words[0].upper() == b"EVALSHA":
        steps.append(Step(words, names[words[1].decode()]))
    elif words[-1] == _LAST:
        return False
    else:
        steps.append(Step(words))
    return True


def _unescaped(match: re.Match[bytes]) -> bytes:
    told: bytes = match[1]
    return bytes.fromhex(told[1:].decode()) if len(told) == 3 else _PLAIN.get(told, told)


@dataclass
class Spent:
    """On a script in all rounds, and on its commands in its place: microseconds a call, of each run of calls."""

    calls: int = 0
    """In one round."""
    script_us: list[float] = field(default_factory=list)
    floor_us: list[float] = field(default_factory=list)
    script_cpu_us: list[float] = field(default_factory=list)
    floor_cpu_us: list[float] = field(default_factory=list)


def measure(client: Any, steps: list[Step], rounds: int) -> dict[str, Spent]:
    """What the scripts of a recording cost, and their commands without them, in turn.

    Args:
        client: of a Redis that knows the scripts; what is in it goes.
        steps: as recorded.
        rounds: of each side.
    """
    found: dict[str, Spent] = {}
    for number in range(rounds):
        client.flushall()
        for name, calls, spent_us, cpu_us in _replayed(client, steps, "evalsha"):
            own = found.setdefault(name, Spent())
            own.script_us.append(spent_us / calls)
            own.script_cpu_us.append(cpu_us / calls)
            own.calls += calls if number == 0 else 0
        client.flushall()
        for name, calls, spent_us, cpu_us in _replayed(client, steps, "multi", "exec"):
            found[name].floor_us.append(spent_us / calls)
            found[name].floor_cpu_us.append(cpu_us / calls)
    return found


def _replayed(client: Any, steps: list[Step], *counted: str) -> Iterator[tuple[str, int, int, float]]:
    """Send all again, as scripts or without them.

    Of each run of calls: the script, how many, the microseconds of running them, and those of the server's CPU.
    """
    connection = client.connection_pool.get_connection()
    try:
        for run in _runs(steps):
            sent: list[list[bytes]] = []
            scripts = [step.script for step in run if step.script]
            for step in run:
                if not step.script or counted == ("evalsha",):
                    sent.append(step.command)
                else:
                    sent += [[b"MULTI"], *step.issued, [b"EXEC"]]
            client.config_resetstat()
            before_us = _cpu_us(client)
            _send(connection, sent)
            cpu_us = _cpu_us(client) - before_us
            if scripts:
                told = client.info("commandstats")
                yield scripts[0], len(scripts), sum(told[f"cmdstat_{name}"]["usec"] for name in counted), cpu_us
    finally:
        connection.disconnect()
        client.connection_pool.release(connection)


def _cpu_us(client: Any) -> float:
    """Of the thread that runs commands, so far."""
    told = client.info("cpu")
    return 1e6 * sum(float(told[f"used_cpu_{mode}_main_thread"]) for mode in ("user", "sys"))


def _runs(steps: list[Step]) -> Iterator[list[Step]]:
    """The steps cut into runs of one script each, with what clients sent in between."""
    run: list[Step] = []
    name = ""
    for step in steps:
        if step.command[0].upper() in _NOT_REPLAYED:
            continue
        if (step.script and name and step.script != name) or len(run) == _LONGEST_RUN:
            yield run
            run, name = [], ""
        name = step.script or name
        run.append(step)
    yield run


def _send(connection: Any, commands: list[list[bytes]]) -> None:
    """Send commands in one write. A script may have met an error, and gone on; so does this."""
    connection.send_packed_command(connection.pack_commands(commands))
    for _ in commands:
        try:
            connection.read_response()
        except redis.ResponseError:
            continue
