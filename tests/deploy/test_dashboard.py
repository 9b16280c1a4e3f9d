"""The dashboard: every query is run by a real Prometheus that scrapes a real worker, and every panel has data."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode
from urllib.request import urlopen

import redis
from tests.conftest import OwnRedis
from tests.deploy_files import DEPLOY, RULES, load, program
from tests.waiting import eventually

from sojourn import SessionStore
from sojourn.archive import init
from sojourn.embedded import free_port
from sojourn.keys import TenantKeys
from sojourn.settings import load_settings

DASHBOARD: Final[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "sojourn.json").read_text())
PANELS: Final = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ROOT: Final = DEPLOY.parent
_MAY_BE_ZERO: Final = frozenset(
    {
        "Health", "Overdue sessions", "Overdue sessions by tenant", "Queue depth", "Archive lag", "Group lag",
        "Sessions waiting for the archive",
    }
)  # fmt: skip
"""What is so for a moment only, or not at all where everything works."""


def _queries(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel["targets"]]


def test_every_metric_that_is_asked_for_is_exposed() -> None:
    """In the dashboard and in the alerts; workers tell of no other names."""
    exposed = set(re.findall(r"sojourn_\w+", (ROOT / "store" / "sojourn" / "exposition.py").read_text()))
    asked = [query for panel in PANELS for query in _queries(panel)]
    asked += [rule["expr"] for group in load(RULES)["groups"] for rule in group["rules"]]
    names = {re.sub(r"_(total|bucket)$", "", name) for query in asked for name in re.findall(r"\bsojourn_\w+", query)}
    assert names - exposed == set()
    assert len(names) > 30


def test_the_dashboard_can_be_provisioned() -> None:
    """The data source is a variable, ids are unique, no panel lies on another, and what is filtered can be chosen."""
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "job", "tenant", "kind"]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    for panel in PANELS:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('job=~"$job"' in query for query in _queries(panel))
        assert set(re.findall(r"\$\{?(\w+)", " ".join(_queries(panel)))) <= {*variables, "__rate_interval"}
    assert DASHBOARD["uid"] == "sojourn"


class _Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """What its API answers."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as reply:  # noqa: S310
            return json.load(reply)["data"]

    def values(self, query: str) -> list[float]:
        """The values of an expression, with the dashboard's variables filled in, but for those that are no number."""
        for name, value in (("$__rate_interval", "10s"), ("$job", "sojourn"), ("$tenant", ".*"), ("$kind", ".*")):
            query = query.replace(name, value)
        found = [float(each["value"][1]) for each in self.get("query", query=query)["result"]]
        return [each for each in found if math.isfinite(each)]


@contextmanager
def _prometheus(folder: Path, target: str) -> Iterator[_Prometheus]:
    """Run a Prometheus that scrapes one worker every half second, and evaluates the alerts as often."""
    config = {
        "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "sojourn", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={address}",
                f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=warn",
            ],
            stdout=log, stderr=log, cwd=folder,
        )  # fmt: skip
    try:
        yield _Prometheus(f"http://{address}")
    finally:
        process.terminate()
        process.wait(20)
        print((folder / "prometheus.log").read_text()[-2000:])


@contextmanager
def _worker(folder: Path, redis_url: str, archive_url: str) -> Iterator[str]:
    """Run a worker with all roles, with a hook that works and one that fails; gives where it serves."""
    address = f"127.0.0.1:{free_port()}"
    hooks = {
        "good": {"events": ["created", "ended", "expired"], "function": "tests.deploy.hook_functions:good"},
        "bad": {"events": ["created"], "function": "tests.deploy.hook_functions:bad", "retries": 0},
    }
    config = {
        "redis_url": redis_url, "archive_url": archive_url, "partitions": 4, "hooks": hooks, "archive_interval": 0.5,
        "backstop_interval": 1,
    }  # fmt: skip
    (folder / "sojourn.yaml").write_text(json.dumps(config))
    given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    with (folder / "worker.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sojourn.cli", "worker", "--http", address],
            stdout=log, stderr=log, cwd=ROOT, env=given | {"SOJOURN_CONFIG": str(folder / "sojourn.yaml")},
        )  # fmt: skip
    try:
        yield address
    finally:
        process.terminate()
        process.wait(30)
        print((folder / "worker.log").read_text()[-4000:])


def _put_load(store: SessionStore[Any], client: redis.Redis, round_: int) -> None:
    """Do a little of everything that is measured."""
    made = store.create_many([{"owner": "ada", "client_type": "web"}] * 4, ttl=60)
    store.complete(made[0].id)
    store.fail(made[1].id)
    store.create_many([{"client_type": "cli"}] * 3, ttl=0.2)
    if round_ % 5 == 0:  # other hands delete a record
        keys = TenantKeys.of("default", 4)
        lost = store.create(ttl=0.3)
        client.delete(keys.session(lost.id))
    calls = TenantKeys.of("default", 4).calls  # as clients write there that tell of their calls
    for field in ("get|ok", "get|le|800", "get|not_found", "get|le|inf"):
        client.hincrby(calls, field, 3)
    client.hincrby(calls, "get|sum_us", 4000)
    assert store.get(made[2].id).client_type == "web"


def test_every_panel_has_data(own_redis: OwnRedis, postgres_url: str, tmp_path: Path) -> None:
    """Under load: ends, expiries, lost records, a failing hook, archive runs. And all alerts can be evaluated."""
    program("prometheus")
    server = own_redis({"maxmemory": "500mb", "maxmemory-policy": "noeviction"})
    init(postgres_url)
    with (
        _worker(tmp_path, server.url, postgres_url) as address,
        _prometheus(tmp_path, address) as prometheus,
        SessionStore(settings=load_settings(redis_url=server.url, partitions=4, archive_url=postgres_url)) as store,
        redis.Redis.from_url(server.url, decode_responses=True) as client,
    ):
        empty = {query: panel["title"] for panel in PANELS for query in _queries(panel)}
        zero = {panel["title"] for panel in PANELS} - _MAY_BE_ZERO
        rounds = count()

        def all_have_data() -> bool:
            _put_load(store, client, next(rounds))
            for query, title in list(empty.items()) + [(q, p["title"]) for p in PANELS for q in _queries(p)]:
                if query in empty or title in zero:
                    values = prometheus.values(query)
                    if values:
                        empty.pop(query, None)
                    if any(each > 0 for each in values):
                        zero.discard(title)
            return not empty and not zero

        eventually(lambda: _answers(f"http://{address}/readyz"), deadline_s=60, what="the worker")
        eventually(lambda: _answers(f"{prometheus.url}/-/ready"), deadline_s=60, what="Prometheus")
        try:
            eventually(all_have_data, deadline_s=90, what="data in each panel")
        except AssertionError:
            raise AssertionError(f"no data: {sorted(empty.values())}; zero: {sorted(zero)}") from None
        due = {"SojournDeadLetters", "SojournLostPayloads"}
        eventually(lambda: due <= set(_alerts(prometheus)), deadline_s=20, what="the alerts")
        assert not {"SojournNoWorker", "SojournWorkerDown", "SojournUnhealthy"} & set(_alerts(prometheus))


def _alerts(prometheus: _Prometheus) -> list[str]:
    """Give the alerts that fire or will, of which every one could be evaluated."""
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert [rule["name"] for rule in rules if rule["health"] == "err"] == []
    return [rule["name"] for rule in rules if rule["state"] != "inactive"]


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except OSError:
        return False
