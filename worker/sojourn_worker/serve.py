"""What a worker serves over HTTP: ``/livez``, ``/readyz``, ``/health`` and ``/metrics``, to few at a time."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

from sojourn.errors import SojournError, StoreError
from sojourn.health import Check, Reason, State, Watch
from sojourn.settings import Settings
from sojourn_worker.logs import LOG

__all__ = ["Server"]

_THREADS: Final = 4
_WAITING: Final = 16
"""Connections at once; further ones are turned away."""
_LONGEST_S: Final = 15.0
"""For which a connection may last, whatever its other end does."""
_SILENT_S: Final = 5.0
_LONGEST_REQUEST: Final = 16_384
_LOOK_EVERY_S: Final = 0.5
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0
_BUSY: Final = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_JSON: Final = "application/json; charset=utf-8"
_PAGES: Final = ("/livez", "/readyz", "/health", "/metrics")
Answer = tuple[HTTPStatus, str, bytes]


class Server:
    """Serves a worker's pages from a thread of its own, where the settings name a port.

    Args:
        settings: where to serve, and what to look at.
        roles: the roles of this worker, and whether each is up.
        alive: whether the worker's own loop turns; without this it answers.
    """

    def __init__(
        self, settings: Settings, roles: Callable[[], Mapping[str, bool]], alive: Callable[[], bool] = lambda: True
    ) -> None:
        self._address = (settings.http_host, settings.http_port)
        self._pages = _Pages(Watch(settings), roles, alive)
        self._http: _Http | None = None
        self._thread: threading.Thread | None = None
        self._start_at = 0.0
        self._pause_s = _FIRST_PAUSE_S

    @property
    def port(self) -> int | None:
        """Where it listens; None while it does not."""
        return None if self._http is None else int(self._http.server_address[1])

    def keep_running(self, now_s: float) -> None:
        """Start it if it is wanted, does not run, and it is time to."""
        if self._address[1] is None or (self._thread is not None and self._thread.is_alive()) or now_s < self._start_at:
            return
        if self._http is not None:
            LOG.error("HTTP server ended")
            self._close()
        try:
            self._http = _Http((self._address[0], self._address[1]), self._pages)
        except OSError as error:
            LOG.error(
                "HTTP cannot be served",
                host=self._address[0],
                port=self._address[1],
                error=error,
                retry_in_s=self._pause_s,
            )
            self._start_at = now_s + self._pause_s
            self._pause_s = min(_LONGEST_PAUSE_S, self._pause_s * 2)
            return
        self._pause_s = _FIRST_PAUSE_S
        self._thread = threading.Thread(target=self._http.serve, daemon=True, name="http")
        self._thread.start()
        LOG.info("HTTP served", host=self._address[0], port=self.port)

    def close(self) -> None:
        """Stop serving."""
        if self._http is not None and self._thread is not None and self._thread.is_alive():
            self._http.shutdown()
            self._thread.join(_LONGEST_S)
        self._close()

    def _close(self) -> None:
        if self._http is not None:
            self._http.server_close()
        self._http = self._thread = None


class _Http(HTTPServer):
    """Few threads, few connections, and none of them for long."""

    request_queue_size = _WAITING

    def __init__(self, address: tuple[str, int], pages: _Pages) -> None:
        self.pages = pages
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="http")
        self._open: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)
        _close_in_children(self)

    def serve(self) -> None:
        self.serve_forever(_LOOK_EVERY_S)

    def server_bind(self) -> None:
        """Without asking the name service for our own name, which may take long."""
        super(HTTPServer, self).server_bind()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            is_busy = len(self._open) >= _WAITING
            if not is_busy:
                self._open[request] = time.monotonic()
        if is_busy:
            request.setblocking(False)
            try:
                request.send(_BUSY)
            except OSError:
                LOG.debug("HTTP connection turned away was gone")
            self.shutdown_request(request)
            return
        self._pool.submit(self._handle, request, client_address)

    def _handle(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception as error:  # noqa: BLE001 - one connection's trouble is no other's
            LOG.debug("HTTP connection broken", error=error)
        finally:
            with self._lock:
                self._open.pop(request, None)
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that have lasted for too long."""
        with self._lock:
            late = [each for each, since in self._open.items() if time.monotonic() - since > _LONGEST_S]
            for each in late:
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    self._open[each] = time.monotonic()  # it is gone, and its thread about to notice

    def server_close(self) -> None:
        super().server_close()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _close_in_children(server: _Http) -> None:
    """A job's process is forked off, and shall not keep the port beyond its parent."""
    found = weakref.ref(server)

    def close() -> None:
        own = found()
        if own is not None:
            own.socket.close()

    os.register_at_fork(after_in_child=close)


class _Bounded:
    """What a client sends, up to so many bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._left = _LONGEST_REQUEST

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._file.readline(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(line)
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Handler(BaseHTTPRequestHandler):
    """One request, and no more of the connection."""

    timeout = _SILENT_S
    protocol_version = "HTTP/1.0"
    server: _Http

    def setup(self) -> None:
        super().setup()
        self.rfile = _Bounded(self.rfile)  # type: ignore[assignment]

    def do_GET(self) -> None:
        self._answer(*self.server.pages.answer(self.path.partition("?")[0], self.headers.get("Accept", "")))

    do_HEAD = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What is wrong with a request, as JSON; nothing of the request is repeated."""
        del explain, message
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._answer(*_error(status, status.phrase))

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        headers = getattr(self, "headers", None)
        packs = headers is not None and "gzip" in headers.get("Accept-Encoding", "") and status == HTTPStatus.OK
        if packs:
            body = gzip.compress(body, compresslevel=4)
        if not hasattr(self, "request_version"):
            self.request_version = self.protocol_version
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if packs:
            self.send_header("Content-Encoding", "gzip")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        return "sojourn"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server names it
        """Scrapes are many, and nobody wants to read of each."""


def _json(status: HTTPStatus, value: Mapping[str, Any]) -> Answer:
    return status, _JSON, json.dumps(value).encode() + b"\n"


def _error(status: HTTPStatus, told: str) -> Answer:
    return _json(status, {"error": {"status": int(status), "told": told}})


class _Pages:
    """What there is to see."""

    def __init__(self, watch: Watch, roles: Callable[[], Mapping[str, bool]], alive: Callable[[], bool]) -> None:
        self._watch = watch
        self._roles = roles
        self._alive = alive
        self._made = {"/livez": self._livez, "/readyz": self._readyz, "/health": self._health}

    def answer(self, path: str, accept: str) -> Answer:
        """The page at a path."""
        try:
            if path == "/metrics":
                return self._metrics(accept)
            made = self._made.get(path)
            return made() if made else _error(HTTPStatus.NOT_FOUND, f"there are {', '.join(_PAGES)}")
        except SojournError as error:
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except Exception as error:  # noqa: BLE001 - the other pages are as good as before, and so is the next try
            LOG.error("HTTP page cannot be made", error=error)
            return _error(HTTPStatus.INTERNAL_SERVER_ERROR, type(error).__name__)

    def _livez(self) -> Answer:
        """Asks nobody: a worker is not to be killed because Redis is away."""
        if self._alive():
            return _json(HTTPStatus.OK, {"alive": True})
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"alive": False, "told": "the supervisor's loop stands still"})

    def _readyz(self) -> Answer:
        checks = (*self._watch.ready(), *(Check(f"role {role}", up) for role, up in self._roles().items()))
        ready = all(each.ok for each in checks)
        status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return _json(status, {"ready": ready, "checks": [each.to_json() for each in checks]})

    def _health(self) -> Answer:
        health = self._watch.health()
        roles = dict(self._roles())
        down = [role for role, up in roles.items() if not up]
        if down:
            told = f"of this worker {', '.join(down)} {'is' if len(down) == 1 else 'are'} not up"
            health = health.and_also(
                Reason("roles", State.DEGRADED, told, "see the worker's log: it starts them again")
            )
        status = HTTPStatus.SERVICE_UNAVAILABLE if health.state == State.UNHEALTHY else HTTPStatus.OK
        return _json(status, health.to_json() | {"roles": roles})

    def _metrics(self, accept: str) -> Answer:
        from sojourn.exposition import encoded

        state = str(self._watch.health().state)
        try:
            metrics = self._watch.metrics()
        except StoreError:
            metrics = None  # its state is told all the same
        body, content_type = encoded(metrics, state, accept)
        return HTTPStatus.OK, content_type, body
