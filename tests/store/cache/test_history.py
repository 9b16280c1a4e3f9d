"""Eight writers and eight cached readers, with connections that are cut in between: each read against all writes."""

from __future__ import annotations

import bisect
import multiprocessing
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest
from tests.store.cache.history import LEAST, MAX_STALE_S, Notes, Read, begin_together, readers, writers
from tests.store.examples import JobSession

from sojourn import SessionStore

SESSIONS = 5
SECONDS = 6.0


@pytest.mark.timeout(180)
def test_every_read_against_the_writes(redis_url: str, admin: Any) -> None:
    """No read is of what nobody wrote, or goes back, or is older than what was acknowledged `max_stale` before it."""
    with SessionStore(redis_url, model=JobSession) as store:
        ids = [store.create().id for _ in range(SESSIONS)]
    notes, kills = Notes(), 0
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(5)
    with ProcessPoolExecutor(4, mp_context=spawn, initializer=begin_together, initargs=(together,)) as pool:
        work = [pool.submit(do, redis_url, ids, name, 4, SECONDS)
                for do, name in ((writers, "w"), (writers, "x"), (readers, "r"), (readers, "s"))]  # fmt: skip
        together.wait(60)
        ends_s = time.monotonic() + SECONDS
        while time.monotonic() < ends_s:
            time.sleep(0.3)
            listening = [each["id"] for each in admin.client_list() if each["name"] == "sojourn-cache"]
            for each in listening[kills % 3 :: 3]:
                admin.client_kill_filter(_id=each)
                kills += 1
            if kills % 2:  # tells all caches that all keys are gone, though none of theirs is
                admin.execute_command("SELECT", 1)
                admin.execute_command("FLUSHDB")
                admin.execute_command("SELECT", 0)
        for each in work:
            notes.add(each.result())
    check(notes)
    assert kills > 10
    assert notes.flushes > kills / 2
    assert len(notes.writes) >= 8 * LEAST
    assert notes.hits > 500


def check(notes: Notes) -> None:
    """Hold each read against the writes."""
    written: dict[tuple[str, int], str] = {(each.session_id, each.version): each.note for each in notes.writes}
    assert len(written) == len(notes.writes)
    for each in notes.reads:
        if each.version == 1:
            assert each.note is None
        elif (known := written.get((each.session_id, each.version))) is not None:
            assert known == each.note, each
        else:  # acknowledged after its writer's time was over, or never
            assert each.note, each
    never_back(notes.reads)
    never_too_old(notes)


def never_back(reads: list[Read]) -> None:
    """What one reader reads of one session gets newer only."""
    last: defaultdict[tuple[str, str], int] = defaultdict(int)
    for each in sorted(reads, key=lambda read: read.began_s):
        key = (each.reader, each.session_id)
        assert each.version >= last[key], f"{each} after version {last[key]}"
        last[key] = each.version


def never_too_old(notes: Notes) -> None:
    """Of all that was acknowledged `max_stale` before a read began, it is as new as the newest."""
    for session_id in {each.session_id for each in notes.writes}:
        own = sorted((each.acknowledged_s, each.version) for each in notes.writes if each.session_id == session_id)
        times: list[float] = [at_s for at_s, _ in own]
        newest: list[int] = []
        for _, version in own:
            newest.append(max(version, newest[-1] if newest else 0))
        for each in notes.reads:
            if each.session_id == session_id and (before := bisect.bisect_left(times, each.began_s - MAX_STALE_S)):
                assert each.version >= newest[before - 1], each
