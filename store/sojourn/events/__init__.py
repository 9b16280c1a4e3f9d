"""What happened to sessions: the events of the outbox, and reading them as a consumer group."""

from sojourn.events.event import Event
from sojourn.events.following import default_consumer, event_flow, forget_flow
from sojourn.events.groups import (
    ARCHIVE_GROUP,
    Start,
    Taken,
    acknowledge,
    dispatch_group,
    forget_group,
    group_name,
    hand_back,
    join_group,
    read_new,
    read_pending,
    take_over,
    tenant_group,
    without_entry,
)

__all__ = [
    "ARCHIVE_GROUP",
    "Event",
    "Start",
    "Taken",
    "acknowledge",
    "default_consumer",
    "dispatch_group",
    "event_flow",
    "forget_flow",
    "forget_group",
    "group_name",
    "hand_back",
    "join_group",
    "read_new",
    "read_pending",
    "take_over",
    "tenant_group",
    "without_entry",
]
