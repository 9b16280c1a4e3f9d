"""The outboxes: how long they are, how far each group is behind, and consumers that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sojourn.doctor.finding import Finding, error, info, ok, redis_cli, warning
from sojourn.doctor.look import Look
from sojourn.events import ARCHIVE_GROUP, dispatch_group
from sojourn.keys import PartitionKeys
from sojourn.operations.core import pairs
from sojourn.operations.drift import drop_consumers
from sojourn.operations.record import now_ms

__all__ = ["consumers", "fix_consumers", "groups", "outbox"]

_GONE_MS: Final = 10 * 60 * 1000
"""A consumer that gave no sign of life for so long is gone, if there was something for it meanwhile."""
_SHOWN: Final = 3


def _reader(look: Look, group: str) -> tuple[str, tuple[str, ...]]:
    """What reads a group, or how to be rid of it."""
    if group == dispatch_group(look.settings.queue_prefix):
        return "start the dispatcher", ("sojourn worker --role dispatch",)
    if group == ARCHIVE_GROUP:
        return "see how the archive does, and start its workers", ("sojourn archive status", "sojourn worker")
    tenant, colon, name = group.partition(":")
    if colon:
        return (
            "start what reads that group, or forget it if nobody needs it any more",
            (f"sojourn events --tenant {tenant} --forget --group {name}",),
        )
    return (
        "start the workers of the deployment whose group it is, or forget it in each outbox if there are none any more",
        (redis_cli("XGROUP", "DESTROY", "sojourn:{NN}:events", group),),
    )


def outbox(look: Look) -> Iterator[Finding]:
    """How many events are kept for groups that have not read them."""
    metrics, settings = look.metrics, look.settings
    if not metrics.past_alarm:
        yield ok(f"no outbox has more than {settings.events_alarm} events")
        return
    name = metrics.slowest_group
    behind = f"group '{name}' is {metrics.groups[name].lag_s:.0f} s behind" if name else "no group is behind"
    mend, commands = _reader(look, name) if name else ("start what reads them", ("sojourn worker",))
    yield error(
        f"{len(metrics.past_alarm)} outboxes have more than {settings.events_alarm} events, the largest "
        f"{max(metrics.outbox.values())}; {behind}",
        mend, *commands,
    )  # fmt: skip


def groups(look: Look) -> Iterator[Finding]:
    """How far each group is behind."""
    alarm_s = look.settings.dirty_alarm
    found = False
    for name, state in sorted(look.metrics.groups.items()):
        if state.lag_s > alarm_s:
            found = True
            mend, commands = _reader(look, name)
            yield warning(
                f"group '{name}' is {state.lag_s:.0f} s behind; it has {state.pending} events in hand", mend, *commands
            )
    if not found:
        yield ok(f"{len(look.metrics.groups)} groups read, and none is more than {alarm_s:g} s behind")


@dataclass(frozen=True)
class _Consumer:
    partition: PartitionKeys
    group: str
    name: str
    pending: int
    idle_ms: int
    passed_over_ms: int
    """By how much the newest event that its group has taken is later than its last sign of life; below 0: it is not."""

    @property
    def is_gone(self) -> bool:
        """Whether it is: before 7.2 Redis takes waiting for no sign of life, so silence alone says nothing."""
        return self.idle_ms > _GONE_MS and (self.pending > 0 or self.passed_over_ms > 0)


def _consumers(look: Look) -> list[_Consumer]:
    partitions = look.homes.partitions
    told = look.ask(*(("XINFO", "GROUPS", each.events) for each in partitions))
    asked = [
        (partition, str(pairs(flat)["name"]), int(str(pairs(flat)["last-delivered-id"]).partition("-")[0]))
        for partition, flats in zip(partitions, told, strict=True)
        for flat in flats or ()
    ]
    found = look.ask(
        ("TIME",),
        *(("XINFO", "CONSUMERS", each.events, group.encode(errors="surrogateescape")) for each, group, _ in asked),
    )
    now = now_ms(found[0])
    made: list[_Consumer] = []
    for (partition, group, last_ms), flats in zip(asked, found[1:], strict=True):
        for flat in flats or ():
            each: dict[str, Any] = pairs(flat)
            idle_ms = int(each["idle"])
            made.append(
                _Consumer(partition, group, each["name"], int(each["pending"]), idle_ms, last_ms - (now - idle_ms))
            )
    return made


def consumers(look: Look) -> Iterator[Finding]:
    """Consumers that are gone."""
    gone = [each for each in _consumers(look) if each.is_gone]
    holding = sorted((each for each in gone if each.pending), key=lambda each: -each.pending)
    if holding:
        first = holding[0]
        mend, commands = _reader(look, first.group)
        yield warning(
            f"{len(holding)} consumers that are gone have {sum(each.pending for each in holding)} events in hand, such "
            f"as '{first.name}' of group '{first.group}' in partition {first.partition.number}, silent for "
            f"{first.idle_ms // 1000} s",
            f"{mend}: another consumer takes them over", *commands,
        )  # fmt: skip
    idle = len(gone) - len(holding)
    if idle:
        yield info(
            f"{idle} consumers are gone and hold nothing", "have them forgotten",
            "sojourn doctor --fix --check consumers", fixable=True,
        )  # fmt: skip
    if not gone:
        yield ok("every consumer is there")


def fix_consumers(look: Look) -> str:
    """Forget those that hold nothing; whether they still do is asked in the script that forgets them."""
    asked = {(each.partition, each.group) for each in _consumers(look) if each.is_gone and not each.pending}
    dropped = look.run_many([drop_consumers(partition, group, _GONE_MS) for partition, group in asked])
    return f"forgot {sum(dropped)} consumers"
