"""The supervisor: one parent, and a child process for each role, restarted when it dies."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Final

from sojourn.errors import SettingsError
from sojourn.settings import Settings
from sojourn_worker import config
from sojourn_worker.child import MISFIT, Child
from sojourn_worker.logs import LOG, set_up
from sojourn_worker.presence import present
from sojourn_worker.serve import Server
from sojourn_worker.stop import Stop

__all__ = ["ROLES", "expand", "run_role", "supervise"]

ROLES: Final = ("listen", "dispatch", "jobs:hooks", "jobs:archive", "schedule")
"""What a process can be. `jobs` stands for all that begin with ``jobs:``."""

_LOOK_EVERY_S: Final = 0.1
_HURRY_S: Final = 1.0
_STANDS_STILL_S: Final = 10.0
"""A loop that has not turned for so long does not: a turn takes a tenth of a second."""


def run_role(role: str, settings: Settings, *, alone: bool = True) -> int:
    """Be one role until SIGTERM or SIGINT, in this process. For the main thread only.

    Args:
        role: one of `ROLES`.
        settings: the settings.
        alone: whether no supervisor has told them in the log.

    Returns:
        The exit code: 0 after a signal, 1 after a failure, 2 where the settings do not fit.

    Raises:
        SettingsError: there is no such role, or the settings do not allow it.

    Example:
        >>> run_role("listen", load_settings())  # doctest: +SKIP
        0
    """
    expanded = expand([role], settings)
    if expanded != (role,):
        raise SettingsError(f"'{role}' is more than one role: {', '.join(expanded)}; run each in its own process")
    set_up(role, settings)
    if alone:
        config.tell(settings, expanded)
    config.use(settings)
    stop = Stop()
    stop.install()
    server = Server(settings, lambda: {role: not stop.requested})
    server.keep_running(time.monotonic())
    # Those that run jobs fork, and tell of themselves between their jobs.
    told = nullcontext() if role.startswith("jobs:") else present(settings, role)
    try:
        with told:
            code = _entry(role)(settings, stop)
    finally:
        server.close()
    LOG.info("stopped")
    return code


def _entry(role: str) -> Callable[[Settings, Stop], int]:
    # Imported late: a listener needs no RQ, and starts and stays the smaller for it.
    if role == "listen":
        from sojourn_worker.listen import listen

        return listen
    if role == "dispatch":
        from sojourn_worker.dispatch import dispatch

        return dispatch
    if role == "schedule":
        from sojourn_worker.schedule import schedule

        return schedule
    from sojourn_worker.worker import work

    kind = role.partition(":")[2]
    return lambda settings, stop: work(settings, stop, kind)


def expand(roles: Sequence[str], settings: Settings) -> tuple[str, ...]:
    """The single roles that `roles` stand for; all that the settings allow where it is empty.

    Raises:
        SettingsError: there is no such role, or the settings do not allow it.
    """
    possible = tuple(role for role in ROLES if role != "jobs:archive" or settings.archive_url is not None)
    found: list[str] = []
    for role in roles or possible:
        if role in ROLES and role not in possible:
            raise SettingsError("the role jobs:archive needs an archive: set archive_url")
        meant = [each for each in possible if each == role or each.partition(":")[0] == role]
        if not meant:
            raise SettingsError(
                f"there is no role '{role}': the roles are {', '.join(ROLES)}, and jobs for both of those"
            )
        found += [each for each in meant if each not in found]
    return tuple(found)


def supervise(settings: Settings, roles: Sequence[str] = ()) -> int:
    """Run each role in a child process until SIGTERM or SIGINT. For the main thread only.

    A child that dies is started again after 1 s, doubling up to 30 s; one that tells that the settings do not fit
    ends all. At the first signal all finish what they have in hand, within the setting ``drain_timeout``; at the
    second, jobs go back to their queue at once.

    Args:
        settings: the settings; the children get exactly these.
        roles: which of `ROLES`; all that the settings allow where it is empty.

    Returns:
        The exit code: 0 if all ended by themselves, 1 if one had to be killed, 2 where the settings do not fit.

    Raises:
        SettingsError: there is no such role, or the settings do not allow it.

    Example:
        >>> supervise(load_settings(), ["listen", "dispatch"])  # doctest: +SKIP
        0
    """
    wanted = expand(roles, settings)
    set_up("supervise", settings)
    config.tell(settings, wanted)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    stop = Stop()
    stop.install()
    line = config.to_line(settings.model_copy(update={"http_port": None}))  # this process serves for all of them
    children = [Child(role, line) for role in wanted]
    turned_at = [time.monotonic()]
    server = Server(
        settings,
        lambda: {child.role: child.running for child in children},
        lambda: time.monotonic() - turned_at[0] < _STANDS_STILL_S,
    )
    try:
        while not stop.requested:
            turned_at[0] = time.monotonic()
            server.keep_running(turned_at[0])
            misfits = [child.role for child in children if child.misfit]
            if misfits:
                LOG.error("settings do not fit roles", roles=misfits, then="the roles tell why")
                _drain(children, stop, settings.drain_timeout)
                return MISFIT
            for child in children:
                child.keep_running(time.monotonic())
            stop.wait(_LOOK_EVERY_S)
        return _drain(children, stop, settings.drain_timeout)
    finally:
        server.close()
        for child in children:
            child.kill()
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def _drain(children: Sequence[Child], stop: Stop, timeout_s: float) -> int:
    LOG.info("stopping", within_s=timeout_s)
    for child in children:
        child.signal(signal.SIGTERM)
    if not _ended(children, timeout_s, lambda: stop.requests > 1):
        LOG.warning("not all roles have stopped", then="jobs in hand go back to their queue")
        for child in children:
            child.signal(signal.SIGINT)  # not a SIGTERM, of which the system may have sent one beside ours
        if not _ended(children, _HURRY_S, lambda: False):
            for child in children:
                if child.running:
                    LOG.error("role killed", child=child.role, reason="it did not stop")
            return 1
    LOG.info("stopped")
    return 0


def _ended(children: Sequence[Child], timeout_s: float, cut_short: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + timeout_s
    while any(child.running for child in children):
        if cut_short() or time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
