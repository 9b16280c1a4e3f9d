"""``tenant`` and ``acl``: what they print, what they ask, and what they leave."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from tests.store.cli.conftest import Run

from sojourn import SessionStore
from sojourn.cli import cli

GIVEN = "from-stdin-0123456789"


def test_list_and_show(run: Run, store: Any) -> None:
    """Each tenant with its partition and counts; one of them in detail; both as JSON, too."""
    made = store.create(owner="ada")
    store.complete(store.create().id)
    store.for_tenant("acme").create()
    store.delete(made.id)
    lines = run("tenant", "list").out.splitlines()
    assert lines[0].split()[:5] == ["TENANT", "PARTITION", "ISOLATED", "LIVE", "ENDED"]
    assert [line.split()[:5] for line in lines[1:]] == [
        ["acme", "40", "no", "1", "0"], ["default", "22", "no", "0", "2"],
    ]  # fmt: skip
    found = run("tenant", "list", "--json").json["tenants"]
    assert [(each["tenant"], each["live"], each["ended"], each["archived"]) for each in found] == [
        ("acme", 1, 0, None), ("default", 0, 2, None),
    ]  # fmt: skip
    shown = run("tenant", "show", "default", "--json").json
    assert shown["counts"] == {"session": {"completed": 1, "deleted": 1}}
    assert (shown["dirty"], shown["events"], shown["groups"]) == (2, 4, [])
    assert set(shown["limits"].values()) == {None, "reject"}
    assert "session completed" in run("tenant", "show", "default").out
    assert "no tenant 'nobody'" in run("tenant", "show", "nobody", code=2).err


def test_isolate(run: Run, store: Any) -> None:
    """It tells where the tenant is now; once more, it says so."""
    made = store.for_tenant("acme").create(owner="ada")
    assert "partition 100 now; moved 1 sessions" in run("tenant", "isolate", "acme").out
    assert "already" in run("tenant", "isolate", "acme").out
    assert run("get", made.id, "--tenant", "acme", "--json").json["owner"] == "ada"
    assert run("tenant", "isolate", "acme", "--json").json["already"] is True
    run("tenant", "isolate", "ac:me", code=2)


def test_delete_asks(run: Run, store: Any, client: Any, any_redis_url: str) -> None:
    """Without a yes nothing goes; a dry run tells and removes nothing; --yes does it, and tells what went."""
    acme = store.for_tenant("acme")
    acme.create()
    before = sorted(client.scan_iter())
    assert "with 1 sessions" in run("tenant", "delete", "acme", stdin="y\n", code=2).err
    assert run("tenant", "delete", "acme", "--dry-run", "--json").json["sessions"] == 1
    assert sorted(client.scan_iter()) == before
    report = run("tenant", "delete", "acme", "--yes", "--json").json
    assert (report["tenant"], report["sessions"], report["dry_run"]) == ("acme", 1, False)
    assert not [key for key in client.scan_iter() if ":acme" in key]
    run("tenant", "delete", "acme", "--yes", code=2)
    with SessionStore(any_redis_url, tenant="acme") as again:
        again.create()
    run("tenant", "delete", "acme", "--yes")


def test_acl_of_a_shared_tenant_tells_what_it_would_do(run: Run, store: Any, client: Any) -> None:
    """No rule can confine a user to a part of a partition; nothing is changed."""
    store.for_tenant("acme").create()
    before = sorted(client.scan_iter())
    shown = run("acl", "acme")
    assert shown.out.startswith("ACL SETUSER sojourn-acme reset on")
    assert "--apply" in shown.err
    assert sorted(client.scan_iter()) == before
    run("acl", "acme", "--password-stdin", code=2)
    run("acl", "ac*me", code=2)
    run("acl", "acme", "--user", "default", code=2)


def test_acl_apply(run: Run, store: Any, client: Any, any_redis_url: str) -> None:
    """The user is set, its password shown once, and the rule that is printed later carries none."""
    made = store.for_tenant("acme").create(owner="ada")
    done = run("acl", "acme", "--apply", "--json")
    password, user = done.json["password"], done.json["user"]
    assert len(password) == 43
    assert "forgets this user" in done.err
    url = any_redis_url.replace("redis://", f"redis://{user}:{password}@", 1)
    with SessionStore(url, tenant="acme") as confined:
        assert confined.get(made.id).owner == "ada"
    shown = run("acl", "acme").out
    assert shown.startswith("ACL SETUSER sojourn-acme reset on resetchannels -@all ~sojourn:{100}:* ")
    assert password not in shown
    assert password not in str([client.xrange("sojourn:{100}:events"), client.acl_list()])


def test_acl_with_a_password_from_stdin(run: Run, any_redis_url: str) -> None:
    """It is not printed at all; a short one is refused."""
    ran = run("acl", "acme", "--apply", "--password-stdin", "--user", "app", stdin=f"{GIVEN}\n")
    assert GIVEN not in ran.out + ran.err
    url = any_redis_url.replace("redis://", f"redis://app:{GIVEN}@", 1)
    with SessionStore(url, tenant="acme") as confined:
        assert confined.count() == 0
    assert run("acl", "acme", "--apply", "--password-stdin", stdin="short\n", code=2).out == ""


@pytest.mark.parametrize("words", [("tenant",), ("tenant", "delete"), ("acl",)])
def test_help(run: Run, words: tuple[str, ...]) -> None:
    """Each has a help page."""
    assert "Usage" in run(*words, "--help").out


def test_each_command_is_told_as_an_event(run: Run, store: Any, client: Any) -> None:
    """Who did it, and what: never the password or its digest."""
    store.for_tenant("acme").create()
    run("acl", "acme", "--apply")
    told = [
        (fields["actor"], fields["changes"])
        for _, fields in client.xrange("sojourn:{100}:events")
        if fields["type"] == "administered"
    ]
    assert [json.loads(each)["action"] for _, each in told] == ["tenant.isolate", "tenant.confine"]
    assert all(actor for actor, _ in told)
    assert "#" not in str(told)


def test_limits(run: Run, store: Any) -> None:
    """They are shown with what is taken of them, set one by one, removed with none, and refused where they are none."""
    made = run("tenant", "limits", "acme", "--sessions", "1", "--bytes", "10kB", "--creates", "600/m:20").out
    assert [line.split() for line in made.splitlines()][1:4] == [
        ["sessions", "1", "0"], ["owner_sessions", "none"], ["bytes", "10000", "0"],
    ]  # fmt: skip
    run("create", "--tenant", "acme", "--owner", "ada")
    failed = run("create", "--tenant", "acme", code=3)
    assert "1 of 1" in failed.err
    told = json.loads(run("tenant", "limits", "acme", "--sessions", "none", "--policy", "evict_lru", "--json").out)
    assert (told["tenant"], told["usage"]["sessions"]) == ("acme", 1)
    assert told["limits"]["sessions"] is None
    assert told["limits"]["creates"] == {"per_second": 10.0, "burst": 20}
    assert "limit policy" in run("tenant", "show", "acme").out
    for wrong in (
        ["--sessions", "-1"],
        ["--sessions", "x"],
        ["--creates", "often"],
        ["--policy", "hope"],
        ["--bytes", "1XB"],
    ):
        run("tenant", "limits", "acme", *wrong, code=2)
    assert store.for_tenant("acme").tenant_limits().policy == "evict_lru"


def test_limits_of_the_tenant_that_is_named(run: Run, store: Any) -> None:
    """They are set for the tenant that is named, whatever --tenant says; what is taken is told, none of it too."""
    store.for_tenant("acme").create(owner="ada")
    found = run("--tenant", "other", "tenant", "limits", "acme", "--sessions", "5", "--json").json
    assert (found["tenant"], found["limits"]["sessions"], found["usage"]["sessions"]) == ("acme", 5, 1)
    assert store.for_tenant("acme").tenant_limits().sessions == 5
    assert store.for_tenant("other").tenant_limits().sessions is None
    shown = run("tenant", "limits", "empty", "--sessions", "3").out.splitlines()
    assert shown[1].split() == ["sessions", "3", "0"]


def test_no_parameter_hides_another() -> None:
    """In no command do an argument and an option, global ones included, go by one name."""

    def commands(path: str, command: click.Command) -> list[tuple[str, click.Command]]:
        below = command.commands.items() if isinstance(command, click.Group) else ()
        return [(path, command), *(each for name, own in below for each in commands(f"{path} {name}", own))]

    found = commands("sojourn", cli)
    assert len(found) > 30
    for path, command in found:
        names = [each.name for each in command.params]
        assert len(names) == len(set(names)), path
