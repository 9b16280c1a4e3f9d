"""Moving to the newest key: all that there is, under concurrent writers, and cut short at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import redis
from tests.store.secrets.conftest import MakeSettings
from tests.store.secrets.examples import FIRST, SECOND, VaultSession, revealed
from tests.waiting import eventually

from sojourn import InvalidName, SessionStore, Settings, SettingsError
from sojourn.archive import Archive, archive_once
from sojourn.operations.sealed import replace_texts
from sojourn.secrets import Counts, reseal, status
from sojourn.tenants import isolate

Vault = SessionStore[VaultSession]
Query = Callable[..., list[tuple[Any, ...]]]


def counts(report: Any) -> dict[str, tuple[int, int, int]]:
    """Return what is under each key in Redis, the archive's records and its events; keys with nothing left out."""
    found = {key: (each.live, each.archived, each.events) for key, each in report.keys.items()}
    return {key: each for key, each in found.items() if any(each)}


def fill(vault: Vault, settings: Any) -> tuple[list[VaultSession], str]:
    """Make sessions live, ended and archived, changed and not; those that are live, and one that is only archived."""
    live = [vault.create(password=f"p{number}", credentials={"n": str(number)}) for number in range(5)]
    gone = vault.create(password="gone")
    vault.complete(gone.id)
    vault.update(live[0].id, password="p0 again")
    archive_once(settings)
    return [vault.get(each.id) for each in live], gone.id


def test_everything_moves(archived_vault: Vault, settings_with: MakeSettings, client: Any, query: Query) -> None:
    """Live and archived records, what changed and what was before; then the old key can go, and nothing is lost."""
    live, gone = fill(archived_vault, settings_with(FIRST))
    acme = archived_vault.for_tenant("acme").create(password="theirs")
    assert client.exists(archived_vault._context.keys.session(gone)) == 0
    both = settings_with(FIRST, SECOND)
    assert counts(status(both)) == {"first": (11, 11, 2)}
    seen: list[tuple[str, int, int | None]] = []
    report = reseal(both, progress=lambda *told: seen.append(told))
    assert counts(report) == {"second": (11, 11, 2)}
    assert report.moved == Counts(live=11, archived=11, events=2)
    assert report.is_complete
    assert (report.unopened, report.changed) == (0, 0)
    assert {each[0] for each in seen} == {"redis", "archive", "outbox"}
    assert all(total is None or done <= total for _, done, total in seen)
    new = settings_with(SECOND)
    archive = Archive(new)
    with SessionStore(settings=new, model=VaultSession) as store:
        for each in live:
            assert revealed(store.get(each.id)) == revealed(each)
            assert store.get(each.id).version == each.version
        assert revealed(store.for_tenant("acme").get(acme.id))[0] == "theirs"
    assert revealed(archive.get(gone))[0] == "gone"
    assert revealed(archive.restore(live[0].id, version=1))[0] == "p0"
    archive_once(new)
    assert revealed(archive.get(live[0].id)) == ("p0 again", None, {"n": "0"})
    texts = query("SELECT data::text FROM sojourn.sessions")
    assert not [text for (text,) in texts if "sealed:1:first" in text]


def test_a_second_run_has_nothing_to_do(archived_vault: Vault, settings_with: MakeSettings, client: Any) -> None:
    """It changes nothing at all, and makes no session dirty."""
    fill(archived_vault, settings_with(FIRST))
    both = settings_with(FIRST, SECOND)
    reseal(both)
    archive_once(both)
    reseal(both)  # the events that the outbox still held
    dirty = client.zcard(archived_vault._context.keys.partition.dirty)
    events = client.xlen(archived_vault._context.keys.partition.events)
    again = reseal(both)
    assert again.moved == Counts()
    assert again.is_complete
    assert client.zcard(archived_vault._context.keys.partition.dirty) == dirty
    assert client.xlen(archived_vault._context.keys.partition.events) == events


def test_no_event_and_no_new_version(archived_vault: Vault, settings_with: MakeSettings, client: Any) -> None:
    """But the archive takes the new texts, and one event per tenant tells that somebody did it."""
    session = archived_vault.create(password="pa")
    archive_once(settings_with(FIRST))
    keys = archived_vault._context.keys
    before = client.hgetall(keys.session(session.id))
    reseal(settings_with(FIRST, SECOND), actor="ada")
    after = client.hgetall(keys.session(session.id))
    assert {name for name in after if after[name] != before[name]} == {"password", "updated_at_ms"}
    assert int(after["updated_at_ms"]) > int(before["updated_at_ms"])
    assert client.zscore(keys.partition.dirty, f"default/{session.id}") is not None
    events = [fields for _, fields in client.xrange(keys.partition.events)]
    assert [each["type"] for each in events] == ["created", "administered"]
    assert json.loads(events[1]["changes"]) == {"action": "secrets.reseal", "key": "second"}
    assert (events[1]["actor"], events[1]["tenant"]) == ("ada", "default")


def test_one_tenant(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Only its own, in Redis and in the archive."""
    archived_vault.create(password="ours")
    acme = archived_vault.for_tenant("acme")
    session = acme.create(password="theirs")
    acme.update(session.id, password="theirs now")
    archive_once(settings_with(FIRST))
    both = settings_with(FIRST, SECOND)
    assert counts(reseal(both, tenant="acme")) == {"second": (1, 1, 2)}
    assert counts(status(both)) == {"first": (1, 1, 0), "second": (1, 1, 2)}
    assert counts(status(both, tenant="default")) == {"first": (1, 1, 0)}
    with pytest.raises(InvalidName):
        reseal(both, tenant="a:b")


def test_what_no_index_lists_is_moved_too(archived_vault: Vault, settings_with: MakeSettings, client: Any) -> None:
    """It goes by the keys themselves."""
    session = archived_vault.create(password="pa")
    for index in client.scan_iter(match="*index:*"):
        client.delete(index)
    client.delete("sojourn:tenants")
    assert reseal(settings_with(FIRST, SECOND)).moved.live == 1
    assert client.hget(archived_vault._context.keys.session(session.id), "password").startswith("sealed:1:second:")


def test_what_cannot_be_opened_is_told_and_left(
    archived_vault: Vault, settings_with: MakeSettings, client: Any, query: Query
) -> None:
    """A missing key, a swap and damage, in Redis and in the archive: the rest moves."""
    one, two = archived_vault.create(password="pa"), archived_vault.create(password="pb", blob=b"x")
    archive_once(settings_with(FIRST))
    keys = archived_vault._context.keys
    client.hset(keys.session(two.id), "password", client.hget(keys.session(one.id), "password"))
    odd = json.dumps({"blob": "sealed:1:other:" + "A" * 40})
    query("UPDATE sojourn.sessions SET data = data || %s::jsonb WHERE id = %s", odd, two.id)
    report = reseal(settings_with(FIRST, SECOND))
    assert (report.unopened, report.changed, report.is_complete) == (2, 0, False)
    assert {(each.session_id, each.field, each.key, each.place) for each in report.unopened_first} == {
        (two.id, "password", "first", "live"), (two.id, "blob", "other", "archived"),
    }  # fmt: skip
    assert counts(report) == {"first": (1, 0, 0), "other": (0, 1, 0), "second": (2, 2, 0)}


def test_fields_that_are_no_secrets_stay(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Whatever anyone writes into a plain field of a known model; and damaged records stop nothing."""
    odd = "sealed:1:first:" + "A" * 60
    session = archived_vault.create(note=odd, queue=odd, owner=odd, password="pa", metadata={"password": odd})
    archive_once(settings_with(FIRST))
    report = reseal(settings_with(FIRST, SECOND))
    assert (counts(report), report.unopened) == ({"second": (1, 1, 0)}, 0)
    assert archived_vault.get(session.id).metadata == {"password": odd}


def test_models_are_not_needed(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Whatever looks sealed is taken for it, where the model is not known or cannot be imported."""
    archived_vault.create(password="pa", credentials={"a": "b"})
    archive_once(settings_with(FIRST))
    assert reseal(settings_with(FIRST, SECOND, models=())).moved == Counts(live=2, archived=2)
    assert reseal(settings_with(SECOND, FIRST, models=("no.such:Model",))).moved == Counts(live=2, archived=2)


def test_damaged_records_and_odd_keys(archived_vault: Vault, settings_with: MakeSettings, client: Any) -> None:
    """Other hands' mischief is told as left, and stops nothing."""
    one, two = archived_vault.create(password="pa"), archived_vault.create(password="pb")
    keys = archived_vault._context.keys
    client.hset(keys.session(one.id), "version", "x")
    client.set(keys.session("6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"), "x")
    client.hset("sojourn:{07}:acme:session:no-id", "password", "sealed:1:first:" + "A" * 40)
    report = reseal(settings_with(FIRST, SECOND))
    assert counts(report) == {"first": (1, 0, 0), "second": (1, 0, 0)}
    assert report.changed == 1
    assert client.hget(keys.session(two.id), "password").startswith("sealed:1:second:")


def test_events_kept_as_text(archived_vault: Vault, settings_with: MakeSettings, query: Query) -> None:
    """Where an event's changes cannot be embedded exactly, the archive keeps their text: that moves as well."""
    session = archived_vault.create(password="one")
    archived_vault.update(session.id, password="two", metadata={"n": 1e30})
    archived_vault.update(session.id, password="three", metadata={"n": -0.0})
    archive_once(settings_with(FIRST))
    kinds = query("SELECT DISTINCT jsonb_typeof(changes) FROM sojourn.session_events")
    assert ("string",) in kinds
    report = reseal(settings_with(FIRST, SECOND))
    assert counts(report) == {"second": (1, 1, 4)}
    archive = Archive(settings_with(SECOND))
    found = [archive.restore(session.id, version=each) for each in (1, 2, 3)]
    assert [revealed(each)[0] for each in found] == ["one", "two", "three"]
    assert [str(each.metadata) for each in found] == ["{}", "{'n': 1e+30}", "{'n': -0.0}"]


def test_events_on_their_way_are_told(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """They come to the archive under the old key, and another run moves them."""
    session = archived_vault.create(password="one")
    archived_vault.update(session.id, password="two")
    both = settings_with(FIRST, SECOND)
    assert reseal(both).keys["first"].outbox == 2
    archive_once(both)
    assert reseal(both).moved == Counts(events=2)


def test_snapshots_move(archived_vault: Vault, settings_with: MakeSettings, query: Query) -> None:
    """Earlier states that the archive keeps whole."""
    session = archived_vault.create(password="one")
    archive_once(settings_with(FIRST))
    query(
        "INSERT INTO sojourn.session_snapshots (tenant, session_id, version, updated_at, data) "
        "SELECT tenant, id, version, updated_at, data FROM sojourn.sessions"
    )
    assert reseal(settings_with(FIRST, SECOND)).moved == Counts(live=1, archived=2)
    ((data,),) = query("SELECT data FROM sojourn.session_snapshots")
    assert data["password"].startswith("sealed:1:second:")
    assert data["id"] == session.id


def test_without_a_keyring_or_an_archive(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Nothing can be moved without keys, but it can be counted; Redis alone suffices."""
    archived_vault.create(password="pa")
    with pytest.raises(SettingsError, match="secret_keys"):
        reseal(settings_with())
    report = status(settings_with())
    assert (report.newest, counts(report), report.unopened) == (None, {"first": (1, 0, 0)}, 0)
    assert reseal(settings_with(FIRST, SECOND, archive_url=None)).moved == Counts(live=1)


def test_many_records(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Over many pages of each kind."""
    for start in range(0, 1200, 400):
        made = archived_vault.create_many([{"password": f"p{start + number}"} for number in range(400)])
        archived_vault.update_many({each.id: {"password": "new"} for each in made})
    archive_once(settings_with(FIRST))
    report = reseal(settings_with(FIRST, SECOND))
    assert report.moved == Counts(live=1200, archived=1200, events=2400)
    assert report.is_complete


def test_writers_meanwhile_lose_nothing(archived_vault: Vault, settings_with: MakeSettings) -> None:
    """Writers with both keys change the same fields while it runs again and again: no write is undone."""
    both = settings_with(FIRST, SECOND)
    sessions = [archived_vault.create(password="0", credentials={"n": "0"}) for _ in range(20)]
    stop = threading.Event()
    last: dict[str, int] = {}
    troubles: list[BaseException] = []

    def write(own: list[VaultSession], settings: Any) -> None:
        try:
            with SessionStore(settings=settings, model=VaultSession) as store:
                number = 0
                while not stop.is_set():
                    for each in own:
                        number += 1
                        held = str(last.get(each.id, 0))
                        assert revealed(store.get(each.id)) == (held, None, {"n": held})
                        store.update(each.id, password=str(number), credentials={"n": str(number)})
                        last[each.id] = number
        except BaseException as error:  # noqa: BLE001 - told by the test
            troubles.append(error)

    writers = [
        threading.Thread(target=write, args=(sessions[:10], settings_with(SECOND, FIRST))),
        threading.Thread(target=write, args=(sessions[10:], both)),
    ]
    for writer in writers:
        writer.start()
    runs, deadline = 0, time.monotonic() + 3
    while time.monotonic() < deadline:
        report = reseal(both)
        archive_once(both)
        runs += 1
        assert report.unopened == 0
    stop.set()
    for writer in writers:
        writer.join()
    assert not troubles
    assert runs > 2
    assert min(last.values()) > 5
    final = reseal(both)
    assert (final.unopened, final.changed) == (0, 0)
    with SessionStore(settings=settings_with(SECOND), model=VaultSession) as store:
        for each in sessions:
            number = str(last[each.id])
            assert revealed(store.get(each.id)) == (number, None, {"n": number})
    archive_once(both)
    assert reseal(both).is_complete


_RESEAL = "from sojourn import load_settings; from sojourn.secrets import reseal; reseal(load_settings())"


def test_killed_in_the_middle(archived_vault: Vault, settings_with: MakeSettings, client: Any, query: Query) -> None:
    """With SIGKILL, again and again at different moments: every text can be opened all along, and the rest is done."""
    values: dict[str, Any] = {}
    for start in range(0, 2000, 1000):
        made = archived_vault.create_many(
            [{"password": f"p{start + each}", "credentials": {"n": "x" * 500}} for each in range(1000)]
        )
        values |= {each.id: each.password for each in made}
    archived_vault.update_many({each: {"note": "changed"} for each in list(values)[:1000]})
    archive_once(settings_with(FIRST))
    both = settings_with(FIRST, SECOND)
    environment = {
        **os.environ, "SOJOURN_REDIS_URL": both.redis_url, "SOJOURN_ARCHIVE_URL": str(both.archive_url),
        "SOJOURN_SECRET_KEYS": f"{FIRST} {SECOND}",
    }  # fmt: skip

    def moved() -> int:
        found = status(both).keys.get("second", Counts())
        return found.live + found.archived + found.events

    def under_way() -> bool:
        new = query("SELECT count(*) FROM sojourn.sessions WHERE data->>'password' LIKE 'sealed:1:second:%%'")[0][0]
        return bool(new)

    waits: list[Callable[[], bool]] = [lambda: "sealed:1:second" in str(client.hvals(_some(client))), under_way]
    cuts = []
    for wait_for in waits:
        process = subprocess.Popen([sys.executable, "-c", _RESEAL], env=environment)
        eventually(lambda: wait_for() or process.poll() is not None, deadline_s=20, what="the first records moved")  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen = status(both)
        assert seen.unopened == 0
        cuts.append(moved())
    assert 0 < cuts[0] < 8000
    assert cuts[0] <= cuts[1]
    report = reseal(both)
    assert report.is_complete
    assert report.moved.live + report.moved.archived + report.moved.events + cuts[-1] == 8000
    with SessionStore(settings=settings_with(SECOND), model=VaultSession) as store:
        found = {each.id: each.password for each in store.get_many(list(values)[:1000]) if each is not None}
    assert found == {each: values[each] for each in list(values)[:1000]}
    archive_once(both)
    assert reseal(both).is_complete


def _some(client: Any) -> str:
    return str(next(client.scan_iter(match="sojourn:*:session:*", count=10)))


def test_the_script_replaces_what_was_read(redis_url: str) -> None:
    """On each version of Redis: only texts that are still there, of live and ended sessions, none of one that went."""
    settings = Settings(redis_url=redis_url, secret_keys=(FIRST,), retention=timedelta(hours=1))
    with (
        SessionStore(settings=settings, model=VaultSession) as store,
        redis.Redis.from_url(redis_url, decode_responses=True, protocol=2) as client,
    ):
        live, ended, gone = (store.create(password="pa", blob=b"pb") for _ in range(3))
        store.complete(ended.id)
        keys = store._context.keys
        client.delete(keys.session(gone.id))
        client.delete(keys.partition.dirty)
        held = client.hgetall(keys.session(live.id))

        def replace(session: VaultSession, **texts: tuple[str, str]) -> bool:
            operation = replace_texts((keys, session.id), texts)
            transport = store._shared.transport
            return operation.parse(transport.execute([operation])[0])

        assert not replace(live, password=("another", "new"))
        assert not client.exists(keys.partition.dirty)
        assert client.hgetall(keys.session(live.id)) == held
        assert not replace(live, password=(held["password"], "new"), blob=("another", "new"), none=("x", "new"))
        after = client.hgetall(keys.session(live.id))
        assert {name for name in {*after, *held} if after.get(name) != held.get(name)} == {"password", "updated_at_ms"}
        assert replace(ended, password=(client.hget(keys.session(ended.id), "password"), "new"))
        ttl_ms = client.pttl(keys.session(ended.id))
        assert ttl_ms > 0
        assert not replace(gone, password=("x", "new"))
        assert not client.exists(keys.session(gone.id))
        assert set(client.zrange(keys.partition.dirty, 0, -1)) == {keys.member(live.id), keys.member(ended.id)}
        client.hset(keys.session(live.id), "status", "odd")
        assert not replace(live, password=("new", "newer"))
        assert client.hget(keys.session(live.id), "password") == "new"


def test_ended_sessions_still_go(archived_vault: Vault, settings_with: MakeSettings, client: Any) -> None:
    """One that ended and was archived is archived once more under the new key, and then goes as before."""
    slow, both = (settings_with(*keys, retention=timedelta(hours=1)) for keys in ((FIRST,), (FIRST, SECOND)))
    with SessionStore(settings=slow, model=VaultSession) as store:
        session = store.create(password="pa")
        store.complete(session.id)
        archive_once(slow)
        assert reseal(both).moved == Counts(live=1, archived=1)
        keys = store._context.keys
        assert client.zcard(keys.partition.dirty) == 1
        archive_once(both)
        assert client.zcard(keys.partition.dirty) == 0
        client.zadd(keys.partition.removals, {keys.member(session.id): 1})
        archived_vault.create()  # which removes what is due, too
        assert not client.exists(keys.session(session.id))
    assert revealed(Archive(settings_with(SECOND)).get(session.id))[0] == "pa"


@pytest.mark.parametrize("tenant", [None, "acme"])
def test_a_tenant_with_its_own_partition(
    archived_vault: Vault, settings_with: MakeSettings, tenant: str | None
) -> None:
    """What its outbox holds is counted, and there the event tells of it."""
    acme = archived_vault.for_tenant("acme")
    acme.create()
    isolate(settings_with(FIRST), "acme")
    made = acme.create(password="theirs")
    acme.update(made.id, password="theirs again")
    both = settings_with(FIRST, SECOND)
    assert status(both, tenant=tenant).keys["first"].outbox > 0
    assert reseal(both, tenant=tenant, actor="ada").keys["first"].outbox > 0
    told = [each.changes for each in acme.peek_events(start="oldest").events if each.type == "administered"]
    assert told[-1]["action"] == "secrets.reseal"
