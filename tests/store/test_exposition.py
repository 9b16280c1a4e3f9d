"""The exposition: names that Prometheus's own rules find good, documented one by one, with bounded labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from tests.waiting import eventually

from sojourn import SessionStore, Settings
from sojourn.errors import SettingsError
from sojourn.exposition import exposition
from sojourn.keys import TenantKeys, worker_notes
from sojourn.metrics import Choice, Metrics, read_metrics
from sojourn.metrics.notes import hook_notes
from sojourn.settings import load_settings
from sojourn.tenants import delete, isolate

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
_ROW = re.compile(r"^\| `(sojourn_\w+)` \| (counter|gauge|histogram) \| (.*?) ?\| (.+?) \| (.+?) \|$", re.MULTILINE)
_BASE_UNITS = ("seconds", "bytes")


@pytest.fixture
def raw(any_redis_url: str) -> Iterator[Any]:
    """Give a plain client of the same Redis."""
    with redis.Redis.from_url(any_redis_url, decode_responses=True, protocol=2) as client:
        yield client


def settings_for(url: str, **more: Any) -> Settings:
    """Return settings with few partitions."""
    return Settings(redis_url=url, partitions=8, **more)


@pytest.fixture
def busy(any_redis_url: str, raw: Any) -> Settings:
    """Give a deployment in which something of everything happened."""
    settings = settings_for(any_redis_url)
    with SessionStore(settings=settings) as store:
        store.complete(store.create(client_type="web").id)
        store.create(ttl=0.001)
        eventually(lambda: store.metrics().expired_sessions == 1)
        store.create()
        list(store.events("billing", timeout=0))
    for command in (*hook_notes("sojourn", "mail", "ok", 0.02), *hook_notes("sojourn", "mail", "died")):
        raw.execute_command(*command)
    keys = TenantKeys.of("default", 8)
    raw.hset(keys.calls, mapping={"get|ok": 1, "get|le|100": 1, "get|sum_us": 70})
    raw.xadd(keys.partition.dead("sojourn.mail"), {"event": "{}"})
    raw.hset(keys.partition.counts, "dead_letters:sojourn.mail", 1)
    return settings


def families(metrics: Metrics, state: str | None = "healthy") -> dict[str, Any]:
    """Return what Prometheus's own parser makes of the exposition, by name as in the samples."""
    found = text_string_to_metric_families(exposition(metrics, state))
    return {each.name + ("_total" if each.type == "counter" else ""): each for each in found}


def total(metrics: Metrics, name: str, **labels: str) -> float:
    """Return the sum of the samples with that name and those labels."""
    found = text_string_to_metric_families(exposition(metrics))
    samples = [each for family in found for each in family.samples if each.name == name]
    return sum(each.value for each in samples if labels.items() <= each.labels.items())


def test_the_reference_lists_them_all(busy: Settings) -> None:
    """Each metric, its type and its labels are as the document says, and there is none that is in one only."""
    told = {
        name: (kind, set(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels, _, _ in _ROW.findall(REFERENCE.read_text())
    }
    found = {}
    for name, family in families(read_metrics(busy)).items():
        labels = set().union(*(each.labels for each in family.samples)) - {"le"}
        found[name] = (family.type, labels)
        assert family.samples, name
    assert found == told


def test_pages_name_metrics_that_there_are() -> None:
    """No page tells to watch a metric that is not in the reference."""
    known = set(re.findall(r"sojourn_[a-z_]+", REFERENCE.read_text("utf-8"))) | {
        "sojourn_client_operations_total", "sojourn_client_operation_duration_seconds",
    }  # fmt: skip
    docs = REFERENCE.parents[1]
    for page in (docs.parent / "README.md", *docs.rglob("*.md")):
        named = set(re.findall(r"`(sojourn_[a-z_]+)(?:\{[^`]*\})?`", page.read_text("utf-8")))
        assert named <= known, page.name


def test_names_are_good(busy: Settings) -> None:
    """What `promtool check metrics` would say: counters end in _total, units are base units, and all have a help."""
    for name, family in families(read_metrics(busy)).items():
        assert re.fullmatch(r"sojourn_[a-z]+(_[a-z]+)*", name)
        assert family.documentation
        assert (family.type == "counter") == name.endswith("_total")
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|count|sum|bucket|info|gauge|counter)(_|$)", name)
        if family.type == "histogram":
            assert name.endswith(_BASE_UNITS)
            assert _is_cumulative(family)


def _is_cumulative(family: Any) -> bool:
    """Whether the buckets of each series only grow, and end with its count."""
    buckets: dict[tuple[tuple[str, str], ...], list[float]] = {}
    counts = {}
    for each in family.samples:
        labels = tuple(sorted((name, text) for name, text in each.labels.items() if name != "le"))
        if each.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append(each.value)
        elif each.name.endswith("_count"):
            counts[labels] = each.value
    grow = all(own == sorted(own) for own in buckets.values())
    return grow and {labels: own[-1] for labels, own in buckets.items()} == counts


def test_the_text_is_the_object(busy: Settings) -> None:
    """The samples say what the values say."""
    found = read_metrics(busy)
    own = found.tenants["default"]
    assert total(found, "sojourn_sessions_created_total") == own.created_sessions == 3
    assert total(found, "sojourn_sessions_ended_total", status="completed", client_type="web") == 1
    assert total(found, "sojourn_sessions_active", tenant="default") == own.active_sessions == 1
    assert total(found, "sojourn_session_duration_seconds_count") == own.durations.count == 2
    assert total(found, "sojourn_claims_total", by="create") == 1
    assert total(found, "sojourn_hook_runs_total", hook="mail", result="died") == 1
    assert total(found, "sojourn_hook_duration_seconds_bucket", hook="mail", le="0.032") == 1
    assert total(found, "sojourn_operations_total", operation="get", result="ok") == 1
    assert total(found, "sojourn_redis_memory_bytes") > 100_000
    assert total(found, "sojourn_memory_bytes", tenant="default") == own.memory_bytes


def test_one_state_is_on(busy: Settings) -> None:
    """Of the three states one is 1; none is told where nobody looked."""
    samples = families(read_metrics(busy), "degraded")["sojourn_health_state"].samples
    assert {each.labels["state"]: each.value for each in samples} == {"healthy": 0, "degraded": 1, "unhealthy": 0}
    assert "sojourn_health_state" not in exposition(Metrics())


def test_the_largest_tenants_are_told_apart(any_redis_url: str) -> None:
    """The others, and one that is called so, are `other`; the sums are those of all."""
    with SessionStore(settings=settings_for(any_redis_url)) as store:
        for name, number in (("a", 5), ("b", 4), ("c", 3), ("other", 9), ("d", 1)):
            store.for_tenant(name).create_many([{}] * number)
    found = read_metrics(settings_for(any_redis_url, metrics_tenants=2))
    assert {name: each.created_sessions for name, each in found.tenants.items()} == {"a": 5, "b": 4, "other": 13}
    assert total(found, "sojourn_sessions_active") == 22
    named = read_metrics(settings_for(any_redis_url, metrics_tenants=("d", "nobody")))
    assert {name: each.created_sessions for name, each in named.tenants.items()} == {"d": 1, "other": 21}
    assert set(read_metrics(settings_for(any_redis_url, metrics_tenants=0)).tenants) == {"other"}
    assert found.largest_sessions == ("other", 9)


def test_the_choice_is_kept() -> None:
    """A tenant does not lose its place to one that is a little larger, but to one twice as large."""
    choice = Choice(2)
    assert choice.of({"a": 5, "b": 4, "c": 3}) == ("a", "b")
    assert choice.of({"a": 5, "b": 4, "c": 8}) == ("a", "b")
    assert choice.of({"a": 5, "b": 4, "c": 9}) == ("a", "c")
    assert choice.of({"b": 4, "c": 9}) == ("b", "c")
    assert Choice(("b", "b", "x")).of({"a": 1, "b": 1}) == ("b",)


def test_labels_of_a_deployment_are_bounded(any_redis_url: str) -> None:
    """Many tenants with many client types: a hundred labels are told apart, and nothing is missing in the sums."""
    with SessionStore(settings=settings_for(any_redis_url)) as store:
        for tenant in range(4):
            names = [{"client_type": f"{tenant}-{number}"} for number in range(50)]
            store.for_tenant(f"t{tenant}").create_many(names)
    found = read_metrics(settings_for(any_redis_url))
    assert len(families(found)["sojourn_sessions_created_total"].samples) <= 104
    assert total(found, "sojourn_sessions_created_total") == 200
    assert total(found, "sojourn_sessions_active") == 200


def test_odd_labels_are_text(any_redis_url: str, raw: Any) -> None:
    """Whatever clients call themselves, the exposition stays what its parser takes."""
    odd = ['"', "\\", "a\nb", "\N{SNOWMAN}", "}", "x|y", "other"]
    with SessionStore(settings=settings_for(any_redis_url)) as store:
        for each in odd:
            store.create(client_type=each)
    samples = families(read_metrics(settings_for(any_redis_url)))["sojourn_sessions_active"].samples
    assert {each.labels["client_type"] for each in samples} == set(odd)
    keys = TenantKeys.of("default", 8)
    raw.hset(keys.stats, b"created|session|\xff", 1)
    raw.sadd(keys.kinds, b"\xff")
    raw.hset(keys.calls, b"\xff|ok", 1)
    raw.hset(worker_notes("sojourn"), b"hook|\xff|ok", 1)
    found = read_metrics(settings_for(any_redis_url))
    assert total(found, "sojourn_sessions_created_total", client_type="\\xff") == 1
    assert total(found, "sojourn_hook_runs_total", hook="\\xff") == 1
    json.dumps(found.to_json()).encode()


def test_a_deleted_tenant_is_gone(any_redis_url: str, raw: Any) -> None:
    """Its series end with it, and a tenant that gets its name begins anew."""
    settings = settings_for(any_redis_url)
    with SessionStore(settings=settings, tenant="acme") as store:
        store.create_many([{"client_type": "web"}] * 3)
        delete(settings, "acme")
        assert "acme" not in read_metrics(settings).tenants
        assert list(raw.scan_iter(match="*:acme:*")) == []
    with SessionStore(settings=settings, tenant="acme") as store:
        store.create()
        found = read_metrics(settings).tenants["acme"]
        assert (found.created_sessions, found.active_sessions, found.ended_sessions) == (1, 1, {})


def test_a_moved_tenant_keeps_its_counts(any_redis_url: str) -> None:
    """A partition of its own changes no number, nor what a session is counted under; sessions go on being counted."""
    settings = settings_for(any_redis_url)
    with SessionStore(settings=settings, tenant="acme") as store:
        made = store.create_many([{"client_type": f"t{number}"} for number in range(70)])
        for each in made[:3]:
            store.complete(each.id)
        before = read_metrics(settings).tenants["acme"]
        isolate(settings, "acme")
        after = read_metrics(settings).tenants["acme"]
        assert (after.labels, after.durations, after.created_sessions) == (
            before.labels, before.durations, before.created_sessions,
        )  # fmt: skip
        store.complete(made[-1].id)
        told = {each.client_type: each for each in store.metrics().labels}
        assert told["other"].ended == {"completed": 1}
        assert "t69" not in told


def test_tenants_may_be_named_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a number, as names, or as a JSON list; anything else is refused."""
    for text, meant in (("7", 7), ("acme, beta", ("acme", "beta")), ('["acme"]', ("acme",))):
        monkeypatch.setenv("SOJOURN_METRICS_TENANTS", text)
        assert load_settings().metrics_tenants == meant
    monkeypatch.setenv("SOJOURN_METRICS_TENANTS", "a:b")
    with pytest.raises(SettingsError):
        load_settings()
