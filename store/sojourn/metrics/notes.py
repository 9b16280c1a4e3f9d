"""What workers note of what they do: the names of the fields, and what they say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sojourn.counts import Histogram
from sojourn.jobqueues import whole
from sojourn.keys import worker_notes
from sojourn.metrics.model import HookRuns
from sojourn.operations.core import Command

__all__ = ["HOOK_BOUNDS_MS", "Notes", "hook_notes", "read_notes", "seen_note"]

HOOK_BOUNDS_MS: Final = tuple(2**n for n in range(17))
"""Upper bounds of the buckets in which runs of hooks are counted by duration, in milliseconds: 1 ms to 65 s."""
SWEEPER_SEEN: Final = "sweeper_seen_ms"
_HOOK: Final = re.compile(r"hook\|([^|]+)\|(?:le\|(\d{1,2})|(sum_us)|(ok|failed|died))", re.DOTALL)
_ARCHIVE: Final = re.compile(r"(runs|rows)\|([a-z_]{1,40})")


@dataclass(frozen=True)
class Notes:
    """What they noted."""

    hooks: Mapping[str, HookRuns]
    swept_at_s: float | None
    archive_runs: Mapping[str, int]
    archive_rows: Mapping[str, int]


def hook_notes(queue_prefix: str, hook: str, result: str, took_s: float | None = None) -> list[Command]:
    """The commands that count a run of a hook.

    Args:
        queue_prefix: whose hook it is.
        hook: its name in the settings.
        result: how the run came out.
        took_s: how long it took, if it came to its end.
    """
    key, field = worker_notes(queue_prefix), f"hook|{hook}|"
    commands: list[Command] = [("HINCRBY", key, f"{field}{result}", 1)]
    if took_s is not None:
        bucket = next((n for n, bound in enumerate(HOOK_BOUNDS_MS) if took_s * 1000 <= bound), len(HOOK_BOUNDS_MS))
        commands += [
            ("HINCRBY", key, f"{field}le|{bucket}", 1),
            ("HINCRBY", key, f"{field}sum_us", round(took_s * 1e6)),
        ]
    return commands


def seen_note(queue_prefix: str, now_ms: int) -> Command:
    """The command that notes that a sweeper has just looked."""
    return ("HSET", worker_notes(queue_prefix), SWEEPER_SEEN, now_ms)


def read_notes(noted: Mapping[str, str], archive: Mapping[str, str]) -> Notes:
    """What a deployment's notes, and those of the archive's runs, say; fields of other hands are passed over."""
    results: dict[str, dict[str, int]] = {}
    counts: dict[str, list[int]] = {}
    sums_us: dict[str, int] = {}
    for name, text in noted.items():
        found, number = _HOOK.fullmatch(name), whole(text)
        if found is None or number is None:
            continue
        own = results.setdefault(found[1], {})
        buckets = counts.setdefault(found[1], [0] * (len(HOOK_BOUNDS_MS) + 1))
        if found[2] is not None:
            if int(found[2]) < len(buckets):
                buckets[int(found[2])] = number
        elif found[3] is not None:
            sums_us[found[1]] = number
        else:
            own[found[4]] = number
    bounds_s = tuple(each / 1000 for each in HOOK_BOUNDS_MS)
    hooks = {
        name: HookRuns(own, Histogram(bounds_s, tuple(counts[name]), sums_us.get(name, 0) / 1e6))
        for name, own in results.items()
    }
    seen = whole(noted.get(SWEEPER_SEEN, ""))
    return Notes(hooks, None if seen is None else seen / 1000, _named(archive, "runs"), _named(archive, "rows"))


def _named(archive: Mapping[str, str], what: str) -> dict[str, int]:
    found = {}
    for name, text in archive.items():
        match, number = _ARCHIVE.fullmatch(name), whole(text)
        if match is not None and match[1] == what and number is not None:
            found[match[2]] = number
    return found
