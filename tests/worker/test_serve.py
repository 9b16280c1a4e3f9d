"""What a worker serves over HTTP, asked as a scraper and a probe would."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import redis
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.proxy import Proxy
from tests.waiting import eventually
from tests.worker.processes import Processes, settings_for

from sojourn import SessionStore
from sojourn.embedded import free_port
from sojourn_worker import serve
from sojourn_worker.serve import Server

SUPERVISOR = """
import sys
from sojourn_worker import config
from sojourn_worker.supervise import run_role, supervise
settings = config.from_line(sys.stdin.buffer.readline())
sys.exit(run_role(sys.argv[1], settings) if len(sys.argv) == 2 else supervise(settings, sys.argv[1:]))
"""


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        reply = connection.getresponse()
        return reply.status, {name.lower(): text for name, text in reply.getheaders()}, reply.read()
    finally:
        connection.close()


def answers(port: int, path: str, status: int) -> bool:
    """Whether the page is there with that status."""
    try:
        return ask(port, path)[0] == status
    except OSError:
        return False


@pytest.fixture
def served(any_redis_url: str) -> Iterator[Server]:
    """Give a server in this process, over an empty Redis."""
    settings = settings_for(any_redis_url, http_port=0)
    with SessionStore(settings=settings) as store:
        store.create(client_type="web")
    server = Server(settings, lambda: {"listen": True})
    server.keep_running(time.monotonic())
    yield server
    server.close()


ODD = (
    b"\x00\xff\n\n", b"GET\n\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"a" * 100_000,
    b"GET / HTTP/1.0\r\n" + b"X: y\r\n" * 10_000,
)  # fmt: skip


def said(port: int, sent: bytes) -> bytes:
    """Return the reply to some bytes, as far as it comes: whoever sends too much is cut off in the midst of it."""
    reply = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, suppress(ConnectionError, BrokenPipeError):
        raw.sendall(sent)
        raw.sendall(b"\r\n\r\n")
        while part := raw.recv(65_536):
            reply += part
    return reply


def port_of(server: Server) -> int:
    """Return where it listens."""
    port = server.port
    assert port is not None
    return port


@pytest.mark.timeout(90)
def test_a_supervisor_serves_for_its_roles(any_redis_url: str, processes: Processes) -> None:
    """All four pages of a real worker, and what it tells changes with its sessions."""
    port = free_port()
    settings = settings_for(any_redis_url, http_port=port, health_sessions=5)
    with SessionStore(settings=settings) as store:
        store.create_many([{"client_type": "web"}] * 3)
        supervisor = processes.python(SUPERVISOR, "listen", "schedule", settings=settings)
        eventually(lambda: answers(port, "/readyz", 200), deadline_s=60)
        assert json.loads(ask(port, "/livez")[2]) == {"alive": True}
        checks = {each["check"] for each in json.loads(ask(port, "/readyz")[2])["checks"]}
        assert checks == {"redis", "layout", "scripts", "role listen", "role schedule"}
        eventually(lambda: b'"healthy"' in ask(port, "/health")[2], deadline_s=60)
        eventually(lambda: _sample(port, "sojourn_scheduler_last_seen_timestamp_seconds") > 1e9, deadline_s=60)
        assert _sample(port, "sojourn_sessions_created_total") == 3
        assert _sample(port, "sojourn_cleanup_last_run_timestamp_seconds") > 1e9
        store.create_many([{}] * 3)
        eventually(lambda: json.loads(ask(port, "/health")[2])["state"] == "degraded", deadline_s=60)
    assert supervisor.stop() == 0
    assert not answers(port, "/livez", 200)


@pytest.mark.timeout(90)
def test_a_role_alone_serves_too(any_redis_url: str, processes: Processes) -> None:
    """Where one role is the whole process, that process serves."""
    port = free_port()
    role = processes.python(SUPERVISOR, "listen", settings=settings_for(any_redis_url, http_port=port))
    eventually(lambda: answers(port, "/readyz", 200), deadline_s=60)
    assert json.loads(ask(port, "/health")[2])["roles"] == {"listen": True}
    assert role.stop() == 0


def _sample(port: int, name: str) -> float:
    families = text_string_to_metric_families(ask(port, "/metrics")[2].decode())
    return sum(each.value for family in families for each in family.samples if each.name == name)


def test_formats_are_negotiated(served: Server) -> None:
    """The text format, OpenMetrics for those who accept it, and either compressed."""
    port = port_of(served)
    status, headers, body = ask(port, "/metrics")
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/plain")
    plain = {each.name for each in text_string_to_metric_families(body.decode())}
    _, headers, body = ask(port, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert {each.name for each in openmetrics(body.decode())} == plain  # type: ignore[no-untyped-call]
    _, headers, packed = ask(port, "/metrics", Accept_Encoding="gzip")
    assert headers["content-encoding"] == "gzip"
    assert b"sojourn_sessions_created_total" in gzip.decompress(packed)


def test_heads_and_odd_requests(served: Server) -> None:
    """HEAD is GET without a body; other methods, pages and bytes are refused as JSON, and nothing of them repeated."""
    port = port_of(served)
    status, headers, body = ask(port, "/metrics", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 1_000
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "S3CRET"):
        status, headers, body = ask(port, "/metrics", method)
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        assert json.loads(body)["error"]["status"] == 405
    assert ask(port, "/health?x=1")[0] == 200
    for path in ("/", "/s3cret", "/../etc/passwd", "/metrics/"):
        status, _, body = ask(port, path)
        assert status == 404
        assert b"s3cret" not in body
    for odd in ODD:
        reply = said(port, odd)
        assert b"200" not in reply[:40]
        assert b"aaaa" not in reply
    assert ask(port, "/livez")[0] == 200


def test_slow_and_many_connections_are_bounded(served: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says nothing is cut off; more than so many at once are turned away; then all is as before."""
    monkeypatch.setattr(serve, "_LONGEST_S", 2.0)
    port = port_of(served)
    before = threading.active_count()
    with ExitStack() as stack:
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10)) for _ in range(40)]
        for each in idle:
            each.settimeout(10)
        replies = [each.recv(100) for each in idle]  # each gets an answer or an end, without having said anything
        turned_away = sum(each.startswith(b"HTTP/1.0 503") for each in replies)
        assert turned_away >= 1
        assert threading.active_count() <= before + 4
    eventually(lambda: answers(port, "/livez", 200))


def test_redis_away(any_redis_url: str) -> None:
    """Alive, but not ready and unhealthy; the state is a metric all the same. Then all is back with Redis."""
    with Proxy(any_redis_url) as proxy:
        settings = settings_for(proxy.url, http_port=0, socket_timeout=0.3, retries=0)
        with SessionStore(settings=settings) as store:
            store.create()
        server = Server(settings, dict)
        server.keep_running(time.monotonic())
        port = port_of(server)
        try:
            assert ask(port, "/readyz")[0] == 200
            proxy.refuse()
            proxy.cut()
            eventually(lambda: answers(port, "/readyz", 503))
            eventually(lambda: answers(port, "/health", 503))
            assert ask(port, "/livez")[0] == 200
            told = json.loads(ask(port, "/health")[2])
            assert (told["state"], [each["what"] for each in told["reasons"]]) == ("unhealthy", ["redis"])
            body = ask(port, "/metrics")[2].decode()
            assert 'sojourn_health_state{state="unhealthy"} 1.0' in body
            assert "sojourn_sessions_active" not in body
            proxy.accept()
            eventually(lambda: answers(port, "/health", 200))
        finally:
            server.close()


def test_another_layout_is_not_ready(any_redis_url: str) -> None:
    """A worker with other settings than those of the Redis tells that it is not ready, and why."""
    with SessionStore(settings=settings_for(any_redis_url)) as store:
        store.create()
    server = Server(settings_for(any_redis_url, partitions=9, http_port=0), dict)
    server.keep_running(time.monotonic())
    try:
        status, _, body = ask(port_of(server), "/readyz")
        checks = {each["check"]: each["ok"] for each in json.loads(body)["checks"]}
        assert (status, checks) == (503, {"redis": True, "layout": False, "scripts": True})
        assert ask(port_of(server), "/health")[0] == 503
    finally:
        server.close()


def test_a_loop_that_stands_still_is_told(any_redis_url: str) -> None:
    """The liveness probe sees whether the worker's own loop turns, and a role that is down shows in the others."""
    alive = [True]
    server = Server(settings_for(any_redis_url, http_port=0), lambda: {"listen": False}, lambda: alive[0])
    server.keep_running(time.monotonic())
    try:
        assert ask(port_of(server), "/livez")[0] == 200
        alive[0] = False
        assert ask(port_of(server), "/livez")[0] == 503
        assert ask(port_of(server), "/readyz")[0] == 503
        told = json.loads(ask(port_of(server), "/health")[2])
        assert [each["what"] for each in told["reasons"]] == ["roles"]
    finally:
        server.close()


def test_a_port_in_use_is_tried_again(any_redis_url: str) -> None:
    """The worker goes on without, and serves once the port is free."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = Server(settings_for(any_redis_url, http_port=other.getsockname()[1]), dict)
        server.keep_running(0.0)
        assert server.port is None
        server.keep_running(0.5)
        assert server.port is None
    server.keep_running(2.0)
    try:
        assert ask(port_of(server), "/livez")[0] == 200
    finally:
        server.close()


def test_no_port_is_no_server(any_redis_url: str) -> None:
    """By default nothing listens."""
    server = Server(settings_for(any_redis_url), dict)
    server.keep_running(0.0)
    assert server.port is None
    server.close()


def test_many_who_ask_cost_one_look(served: Server, any_redis_url: str) -> None:
    """Redis is asked once a second at most, whoever scrapes."""
    port = port_of(served)
    ask(port, "/metrics")
    with redis.Redis.from_url(any_redis_url) as client:
        before = _calls(client)
        until = time.monotonic() + 0.5
        asked = 0
        while time.monotonic() < until:
            ask(port, "/metrics")
            ask(port, "/health")
            asked += 1
        assert asked > 5
        assert _calls(client) - before <= 2


def _calls(client: Any) -> int:
    return int(client.info("commandstats").get("cmdstat_smembers", {"calls": 0})["calls"])
