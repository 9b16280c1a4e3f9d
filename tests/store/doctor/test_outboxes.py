"""Outboxes and what reads them; dead letters, jobs, and what was counted."""

from __future__ import annotations

import pytest
from tests.store.doctor.conftest import World
from tests.waiting import eventually

from sojourn.doctor import events, mend
from sojourn.doctor.finding import redis_cli
from sojourn.doctor.look import Look
from sojourn.events import ARCHIVE_GROUP, dispatch_group
from sojourn.hook_names import hook_scope
from sojourn.operations.drift import drop_consumers


def test_outbox(any_world: World) -> None:
    """Longer than the alarm: an error that names the group, and how to be rid of it."""
    world = any_world
    world.settings = world.settings.model_copy(update={"events_alarm": 100})
    assert list(world.store.events("billing", start="oldest", timeout=0))
    world.store.create_many([{"owner": "x"}] * 45)
    world.store.create_many([{"owner": "y"}] * 45)
    assert world.find("outbox") == []
    world.store.create_many([{"owner": "z"}] * 20)
    (found,) = world.find("outbox")
    assert found.severity == "error"
    assert found.commands == ("sojourn events --tenant default --forget --group billing",)


@pytest.mark.parametrize(
    ("group", "command"),
    [
        ("default:billing", "sojourn events --tenant default --forget --group billing"),
        (dispatch_group("sojourn"), "sojourn worker --role dispatch"),
        (ARCHIVE_GROUP, "sojourn archive status"),
        (
            "sojourn-dispatch-staging",
            redis_cli("XGROUP", "DESTROY", "sojourn:{NN}:events", "sojourn-dispatch-staging"),
        ),
    ],
)  # fmt: skip
def test_groups(any_world: World, group: str, command: str) -> None:
    """One that is behind by more than the alarm: a warning, with what reads it."""
    any_world.client.xgroup_create(any_world.keys.partition.events, group, id="0")
    any_world.settings = any_world.settings.model_copy(update={"dirty_alarm": 0.01})
    (found,) = eventually(lambda: any_world.find("groups"))
    assert (found.severity, found.commands[0]) == ("warning", command)
    any_world.settings = any_world.settings.model_copy(update={"dirty_alarm": 300.0})
    assert any_world.find("groups") == []


def test_consumers_that_are_gone(any_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that hold nothing are forgotten by --fix; those that hold events are told, and kept with what they hold."""
    stream, client = any_world.keys.partition.events, any_world.client
    client.xgroup_create(stream, "default:g", id="$")
    client.xgroup_createconsumer(stream, "default:g", "idle")
    monkeypatch.setattr(events, "_GONE_MS", 0)
    eventually(lambda: client.xinfo_consumers(stream, "default:g")[0]["idle"] > 1)
    assert any_world.find("consumers") == [], "there was nothing for it to take"
    any_world.store.create_many([{}] * 2)
    client.xreadgroup("default:g", "holding", {stream: ">"}, count=2)
    monkeypatch.undo()
    assert any_world.find("consumers") == []
    monkeypatch.setattr(events, "_GONE_MS", 0)
    eventually(lambda: all(each["idle"] > 0 for each in client.xinfo_consumers(stream, "default:g")))
    holding, idle = any_world.find("consumers")
    assert (holding.severity, holding.fixable, idle.severity, idle.fixable) == ("warning", False, "info", True)
    assert "2 events in hand, such as 'holding' of group 'default:g'" in holding.found
    (done,) = mend(any_world.settings, [holding, idle])
    assert (done.done, [each.severity for each in done.left]) == ("forgot 1 consumers", ["warning"])
    assert [each["name"] for each in client.xinfo_consumers(stream, "default:g")] == ["holding"]
    assert client.xpending(stream, "default:g")["pending"] == 2


def test_a_consumer_that_took_something_meanwhile_stays(any_world: World) -> None:
    """The script asks again: what a consumer has in hand would go with it."""
    stream, client, look = any_world.keys.partition.events, any_world.client, Look(any_world.settings)
    client.xgroup_create(stream, "g", id="0")
    client.xreadgroup("g", "busy", {stream: ">"}, count=1)
    assert look.run(drop_consumers(any_world.keys.partition, "g", -1)) == 0
    assert look.run(drop_consumers(any_world.keys.partition, "unknown", -1)) == 0
    client.xack(stream, "g", client.xpending(stream, "g")["min"])
    assert look.run(drop_consumers(any_world.keys.partition, "g", 60_000)) == 0
    assert look.run(drop_consumers(any_world.keys.partition, "g", -1)) == 1
    look.close()


def test_dead_letters(any_world: World) -> None:
    """How many, of which hook."""
    partition, scope = any_world.keys.partition, hook_scope("sojourn", "mail")
    any_world.client.xadd(partition.dead(scope), {"x": "y"})
    any_world.client.hset(partition.counts, f"dead_letters:{scope}", 1)
    (found,) = any_world.find("dead-letters")
    assert (found.severity, found.found) == ("warning", "1 of hook 'mail'")
    assert "sojourn dead list" in found.commands


@pytest.mark.parametrize(("check", "field"), [("lost", "lost"), ("restored", "stale"), ("restored", "restored")])
def test_what_was_counted(any_world: World, check: str, field: str) -> None:
    """Each is a warning."""
    assert any_world.find(check) == []
    any_world.client.hincrby(any_world.keys.partition.counts, field, 3)
    (found,) = any_world.find(check)
    assert (found.severity, "3 " in found.found) == ("warning", True)


@pytest.mark.parametrize("field", ["refused_jobs", "set_aside_jobs", "unreadable_jobs"])
def test_foreign_jobs(any_world: World, field: str) -> None:
    """Jobs that no worker may run."""
    any_world.client.hincrby("sojourn:counts", field, 2)
    (found,) = any_world.find("jobs")
    assert (found.severity, found.found) == ("warning", f"2 {field.replace('_', ' ')}")
    assert "redis-cli -u $SOJOURN_REDIS_URL ACL LIST" in found.commands


def test_jobs_that_nobody_takes_and_a_queue_that_is_away(any_world: World, free_port: int) -> None:
    """A warning, and an error."""
    any_world.client.lpush("rq:queue:sojourn-hooks", "a")
    (found,) = any_world.find("jobs")
    assert (found.severity, found.commands) == ("warning", ("sojourn worker",))
    any_world.settings = any_world.settings.model_copy(update={"queue_url": f"redis://127.0.0.1:{free_port}"})
    (found,) = any_world.find("jobs")
    assert found.severity == "error"
