"""The guard: a small parent process of one server, which stops the server when its owner goes.

The owner keeps the write end of the guard's stdin. However the owner ends, SIGKILL included, the kernel
closes that pipe, and the guard stops the server. A process that the owner forked may hold a copy of the pipe,
so the guard also looks whether its parent is still the owner. Should the guard itself be killed, Linux tells
the server (PR_SET_PDEATHSIG, which is safe here because the guard has one thread).

It is run by path, as ``python -I _guard.py SPEC`` with the JSON of :class:`Spec`, and so needs nothing of the
package: that keeps its start at some 30 ms. ``python -I _guard.py probe`` tells, by its exit status, whether
:func:`enter_namespace` works on this machine.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib
import json
import os
import pwd
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TypedDict

__all__ = ["Spec", "enter_namespace", "main"]

# How often the guard looks for its parent, in case a forked copy holds the pipe open.
_PARENT_CHECK_S = 0.5
# A server whose owner was killed a moment ago may still be winding up in the same folder.
_LOCK_PATIENCE_S = 20.0
_LOCK_POLL_S = 0.05
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


class Spec(TypedDict):
    """What to run and how to stop it."""

    argv: list[str]
    directory: str
    log: str
    owner: int
    # [signal, seconds to wait], in order; after the last one everything gets SIGKILL.
    stop: list[tuple[int, float]]
    # "self", "namespace" (see enter_namespace) or "uid:gid".
    user: str


def enter_namespace() -> None:
    """Go on as ``nobody`` in a user namespace of its own, in which this process's files are ``nobody``'s.

    PostgreSQL refuses to run as root. Inside such a namespace it is not root, while for the file system it is
    still the one who owns the data, so that neither the owner nor the mode of any folder has to change.
    Linux, as root only.

    Raises:
        OSError: the kernel does not allow it, as in most unprivileged containers.
    """
    nobody = pwd.getpwnam("nobody")
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        raise OSError("no user namespaces on this system")
    if libc.unshare(_CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    Path("/proc/self/setgroups").write_text("deny", "ascii")
    Path("/proc/self/uid_map").write_text(f"{nobody.pw_uid} 0 1", "ascii")
    Path("/proc/self/gid_map").write_text(f"{nobody.pw_gid} 0 1", "ascii")


def main(argument: str) -> int:
    """Run the server that ``argument`` (JSON of a :class:`Spec`) describes until it or the owner ends.

    Prints the server's pid. Returns the server's exit status, 128 + N after signal N.
    """
    spec: Spec = json.loads(argument)
    wakeup, wakeup_write = os.pipe()
    os.set_blocking(wakeup_write, False)
    signal.set_wakeup_fd(wakeup_write)
    signal.signal(signal.SIGCHLD, _only_wake)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: asked.append(received))

    try:
        lock = _lock(Path(spec["directory"]), asked)
        server = _spawn(spec)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"guard: {error}", file=sys.stderr, flush=True)
        return 1
    with lock:
        return _watch(server, spec, wakeup, asked)


def _watch(server: subprocess.Popen[bytes], spec: Spec, wakeup: int, asked: list[int]) -> int:
    try:
        os.write(sys.stdout.fileno(), f"{server.pid}\n".encode())
    except BrokenPipeError:
        asked.append(signal.SIGPIPE)  # the owner is gone already
    while server.poll() is None:
        readable, _, _ = select.select([sys.stdin, wakeup], [], [], _PARENT_CHECK_S)
        if wakeup in readable:
            os.read(wakeup, 4096)
        # The owner writes nothing, so a readable stdin is a closed one.
        if asked or sys.stdin in readable or os.getppid() != spec["owner"]:
            _stop(server, spec)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


def _only_wake(_number: int, _frame: object) -> None:
    """Exist, so that SIGCHLD is not ignored and reaches the wakeup pipe."""


def _lock(directory: Path, asked: list[int]) -> IO[bytes]:
    """Make sure that one server at a time works in a folder: two would damage each other's files."""
    lock = (directory / "lock").open("wb")
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if asked or time.monotonic() >= deadline:
                lock.close()
                raise OSError(f"another server works in {directory}") from error
            time.sleep(_LOCK_POLL_S)
        else:
            return lock


def _spawn(spec: Spec) -> subprocess.Popen[bytes]:
    kind, _, group = spec["user"].partition(":")
    first_signal = spec["stop"][0][0]
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        # The change of identity clears the parent-death signal, so it comes first.
        if kind == "namespace":
            enter_namespace()
        elif group:
            os.setgroups([])
            os.setgid(int(group))
            os.setuid(int(kind))
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, first_signal)

    with Path(spec["log"]).open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - the owner's own command
            spec["argv"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=spec["directory"],
            preexec_fn=prepare,  # safe: one thread
        )


def _stop(server: subprocess.Popen[bytes], spec: Spec) -> None:
    psutil = importlib.import_module("psutil")  # late: it would double the time that a guard takes to start
    parent = psutil.Process(server.pid)
    tree = [*parent.children(recursive=True), parent]

    def to_all(number: int) -> None:
        for process in tree:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue  # it ended by itself, which is what is wanted

    to_all(signal.SIGCONT)  # a frozen process would not hear the rest
    for number, patience_s in spec["stop"]:
        server.send_signal(number)
        try:
            server.wait(patience_s)
            break
        except subprocess.TimeoutExpired:
            print(f"guard: no end {patience_s} s after signal {number}", file=sys.stderr, flush=True)
    to_all(signal.SIGKILL)
    server.wait()


def _probe() -> int:
    try:
        enter_namespace()
    except (OSError, KeyError):
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(_probe() if sys.argv[1] == "probe" else main(sys.argv[1]))
