"""A supervisor whose roles the settings do not fit."""

from __future__ import annotations

import time

from tests.worker.processes import Processes, settings_for
from tests.worker.test_supervise import SUPERVISOR

from sojourn import SessionStore


def test_settings_that_do_not_fit_end_the_supervisor(any_redis_url: str, processes: Processes) -> None:
    """A role that ends with 2 is not started again: the others stop, and the supervisor ends with 2, too."""
    with SessionStore(settings=settings_for(any_redis_url, partitions=8)) as store:
        store.create()
    began = time.monotonic()
    supervisor = processes.python(SUPERVISOR, settings=settings_for(any_redis_url))
    assert supervisor.popen.wait(20) == 2
    assert time.monotonic() - began < 15
    assert "was laid out with partitions=8" in supervisor.log
    assert supervisor.told("settings do not fit roles")
    assert not supervisor.told("role ended")


def test_a_role_that_dies_otherwise_is_started_again(any_redis_url: str, processes: Processes) -> None:
    """Any other exit code is a death like others."""
    code = SUPERVISOR.replace("import sys", "import sys\nfrom sojourn_worker import child\nchild.MISFIT = 3", 1)
    with SessionStore(settings=settings_for(any_redis_url, partitions=8)) as store:
        store.create()
    supervisor = processes.python(code, "listen", settings=settings_for(any_redis_url))
    supervisor.tells("role ended", child="listen", ended_by="exit code 2", restart_in_s=1)
    assert supervisor.stop() == 0
