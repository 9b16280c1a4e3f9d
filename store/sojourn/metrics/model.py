"""What is known of a whole deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sojourn.counts import Histogram
from sojourn.metrics.tenant import Sweeps, TenantMetrics

__all__ = ["GroupState", "HookRuns", "Metrics"]


@dataclass(frozen=True)
class GroupState:
    """How far a consumer group is behind, over all partitions."""

    pending: int = 0
    """Events that it was given and has not acknowledged."""
    lag_s: float = 0.0
    """The age of the oldest event that it has not acknowledged, in seconds."""


@dataclass(frozen=True)
class HookRuns:
    """How a hook's runs came out; one run is of one event."""

    results: Mapping[str, int]
    """``ok``, ``failed`` (it raised), ``died`` (its process ended, or its time was over, in the midst of it)."""
    durations: Histogram
    """Of those that came to their end."""


@dataclass(frozen=True)
class Metrics:
    """What `read_metrics` found.

    Example:
        >>> Metrics(outbox={3: 120_000, 7: 12}, events_alarm=100_000).past_alarm
        (3,)
    """

    outbox: Mapping[int, int] = field(default_factory=dict)
    """Events in the outbox of each partition that has some; it keeps what the slowest group has not read."""
    events_alarm: int = 0
    """How many are too many: the setting of that name."""
    groups: Mapping[str, GroupState] = field(default_factory=dict)
    """The consumer groups, by name."""
    dirty: int = 0
    """Sessions that changed since they were last archived."""
    dirty_age_s: float = 0.0
    """For how long the first of them has been waiting, in seconds."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """How often something went wrong since this Redis was laid out: ``lost`` (a record was gone), ``damaged`` (it
    could not be read), ``stale`` and ``restored`` (Redis was behind the archive: sessions, and partitions),
    ``dead_letters`` (of this deployment's hooks)."""
    dead_letters: Mapping[str, int] = field(default_factory=dict)
    """Dead letters that are there now, by hook; those of this deployment, which the setting `queue_prefix` names."""
    queue: Mapping[str, int] | None = field(default_factory=dict)
    """The same of the jobs: ``refused_jobs``, ``set_aside_jobs``, ``unreadable_jobs``, ``lost_workers``; None where the
    queues' Redis does not answer."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Jobs that wait, by queue."""
    workers: Mapping[str, int] = field(default_factory=dict)
    """Workers that are alive, by queue."""
    tenants: Mapping[str, TenantMetrics] = field(default_factory=dict)
    """The tenants that are told apart; all further ones together as ``other``. See the setting `metrics_tenants`."""
    largest_sessions: tuple[str, int] = ("", 0)
    """The tenant with the most live sessions, told apart or not, and how many it has."""
    largest_memory: tuple[str, int] = ("", 0)
    """The same by bytes of its sessions' records."""
    sweeps: Sweeps = field(default_factory=Sweeps)
    """How the sweeps of all partitions went."""
    swept_at_s: float | None = None
    """When a sweeper of this deployment last looked for what is due, in seconds since the epoch; None: never."""
    scheduled_at_s: float | None = None
    """When its scheduler last told that it is there; None: never, or the queues' Redis does not answer."""
    clock_s: float = 0.0
    """Redis's clock when this was read."""
    hooks: Mapping[str, HookRuns] = field(default_factory=dict)
    """Runs of this deployment's hooks, by hook."""
    archive_runs: Mapping[str, int] = field(default_factory=dict)
    """Archive runs: ``ok`` and ``failed``."""
    archive_rows: Mapping[str, int] = field(default_factory=dict)
    """Rows that they wrote, by table."""
    redis_memory_bytes: int | None = None
    """What Redis uses; None where it may not be asked."""
    redis_memory_limit_bytes: int | None = None
    """Its maxmemory; 0: none is set."""
    odd_keys: tuple[str, ...] = ()
    """Keys of another type than they should be; what they should hold is not among these numbers."""

    @property
    def past_alarm(self) -> tuple[int, ...]:
        """The partitions whose outbox has more events than `events_alarm`."""
        return tuple(number for number, length in self.outbox.items() if length > self.events_alarm)

    @property
    def slowest_group(self) -> str | None:
        """The group that is furthest behind, if any is."""
        behind = {name: each.lag_s for name, each in self.groups.items() if each.lag_s > 0}
        return max(behind, key=lambda name: behind[name], default=None)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        found = {each.name: getattr(self, each.name) for each in fields(self)}
        found["groups"] = {name: asdict(each) for name, each in self.groups.items()}
        found["tenants"] = {name: each.to_json() for name, each in self.tenants.items()}
        found["hooks"] = {name: asdict(each) for name, each in self.hooks.items()}
        found["sweeps"] = asdict(self.sweeps)
        for name in ("largest_sessions", "largest_memory", "odd_keys"):
            found[name] = list(found[name])
        return found | {"past_alarm": list(self.past_alarm), "slowest_group": self.slowest_group}
