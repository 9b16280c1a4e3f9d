"""The embedded servers: real processes, started, broken and ended."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped, unused-ignore]
import psycopg
import pytest
import redis
from tests.conftest import OwnRedis
from tests.waiting import eventually

from sojourn.embedded import (
    EmbeddedMissing,
    PortInUse,
    PostgresServer,
    RedisServer,
    ServerFailed,
    _as_root,
    _guard,
    _server,
    bundled_redis,
)

# An owner of both servers, which tells their pids and the URL of Redis, and goes on at each line it is sent.
_OWNER = """
import os, signal, sys
from pathlib import Path
from sojourn.embedded import PostgresServer, RedisServer

folder = Path(sys.argv[1])
redis_server = RedisServer.start(folder / "redis")
postgres = PostgresServer.start(folder / "postgres", durable=False)
if sys.argv[2] == "fork" and os.fork() == 0:
    signal.pause()
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
print(redis_server.pid, postgres.pid, redis_server.url, flush=True)
for line in sys.stdin:
    if line.strip() == "pause":
        redis_server.pause()
        postgres.pause()
        print("paused", flush=True)
    if line.strip() == "stop":
        redis_server.stop()
        postgres.stop()
        print("stopped", flush=True)
"""

Owner = subprocess.Popen[str]


@pytest.fixture
def start_owner(tmp_path: Path) -> Iterator[Callable[[str], Owner]]:
    """Give a function that starts an owner of servers in a process and a session of its own."""
    owners: list[Owner] = []

    def start(mode: str = "") -> Owner:
        owner = subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(tmp_path), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        owners.append(owner)
        return owner

    yield start
    for owner in owners:
        # The whole group, for one of the owners forks.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(owner.pid, signal.SIGKILL)
        with owner:
            owner.kill()


def tell(owner: Owner, line: str) -> list[str]:
    """Send a line to the owner (none if empty) and return the words of its answer."""
    assert owner.stdin
    assert owner.stdout
    if line:
        owner.stdin.write(line + "\n")
        owner.stdin.flush()
    return owner.stdout.readline().split()


def gone(process: psutil.Process) -> bool:
    """Tell whether a process has ended (a zombie has)."""
    try:
        return not process.is_running() or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def family(*pids: str | int) -> list[psutil.Process]:
    """Return these processes, their parents (the guards) and all their children."""
    parents = [psutil.Process(int(pid)) for pid in pids]
    return [each for one in parents for each in (one, one.parent(), *one.children(recursive=True))]


def test_redis_starts_and_stops(redis_executable: str, tmp_path: Path) -> None:
    """A started server answers at its URL, and neither it nor its guard is there after stop."""
    server = RedisServer.start(tmp_path / "a folder", executable=redis_executable, options={"databases": "40"})
    processes = family(server.pid)
    with redis.Redis.from_url(server.url, db=39) as client:
        assert client.ping()
    server.stop()
    server.stop()
    assert not server.running
    assert all(map(gone, processes))


def test_redis_keeps_data_over_restart_and_kill(own_redis: OwnRedis) -> None:
    """With appendonly, data survives a restart and a crash, on the same port."""
    server = own_redis({"appendonly": "yes", "appendfsync": "always"})
    port = server.port
    with redis.Redis.from_url(server.url) as client:
        client.set("first", 1)
        server.restart()
        client.set("second", 2)
        server.kill()
        assert not server.running
        server.restart()
        assert client.mget("first", "second") == [b"1", b"2"]
    assert server.port == port


def test_redis_without_appendonly_starts_empty(own_redis: OwnRedis) -> None:
    """By default nothing is kept, and keep_port=False takes a new port."""
    server = own_redis()
    with redis.Redis.from_url(server.url) as client:
        client.set("key", 1)
    server.restart(keep_port=False)
    with redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 0


def test_password_is_in_the_url_and_not_in_the_arguments(own_redis: OwnRedis) -> None:
    """A password from the options works through the URL, and `ps` does not show it."""
    server = own_redis({"requirepass": "top@secret/1"})
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
    assert not any("secret" in word for each in family(server.pid) for word in each.cmdline())
    assert stat.S_IMODE((server.directory / "redis.conf").stat().st_mode) == 0o600


def test_paused_server_does_not_answer(own_redis: OwnRedis) -> None:
    """A frozen server takes connections and is silent; resumed it answers; frozen it can be stopped."""
    server = own_redis()
    with redis.Redis.from_url(server.url, socket_timeout=0.2) as client:
        server.pause()
        with pytest.raises(redis.TimeoutError):
            client.execute_command("PING")
        server.resume()
        assert eventually(client.ping)
    server.pause()
    server.stop()
    assert not server.running


def test_a_given_port_that_is_busy_is_refused(own_redis: OwnRedis, tmp_path: Path, free_port: int) -> None:
    """A port asked for and taken raises PortInUse, for both servers, and leaves nothing running."""
    with socket.create_server(("127.0.0.1", free_port)):
        with pytest.raises(PortInUse, match=str(free_port)):
            RedisServer.start(tmp_path / "redis", port=free_port)
        with pytest.raises(PortInUse, match=str(free_port)):
            PostgresServer.start(tmp_path / "postgres", port=free_port, durable=False)
    with RedisServer.start(tmp_path / "redis", port=free_port) as server:
        assert server.port == free_port


def test_a_lost_race_for_a_port_takes_another(
    own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_port: int
) -> None:
    """When another server takes the port found free, the start goes on with the next one."""
    rival = own_redis()
    second = free_port
    ports = iter([rival.port, second])
    monkeypatch.setattr(_server, "free_port", lambda: next(ports))
    with RedisServer.start(tmp_path / "redis") as server:
        assert server.port == second


def test_many_at_once_do_not_collide(own_redis: OwnRedis) -> None:
    """Servers side by side have ports and data of their own."""
    servers = [own_redis() for _ in range(4)]
    assert len({server.port for server in servers}) == 4
    assert len({server.pid for server in servers}) == 4


def test_failed_start_shows_the_log(tmp_path: Path) -> None:
    """A server that cannot start raises ServerFailed with the end of its log."""
    with pytest.raises(ServerFailed, match="no-such-option") as caught:
        RedisServer.start(tmp_path, options={"no-such-option": "1"})
    assert "no-such-option" in caught.value.log_tail
    with pytest.raises(ServerFailed, match="No such file"):
        RedisServer.start(tmp_path, executable=str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="line break"):
        RedisServer.start(tmp_path, options={"save": "\nbind 0.0.0.0"})


def test_server_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    """A program that never answers is ended at the deadline."""
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 600\n")
    silent.chmod(0o700)
    with pytest.raises(ServerFailed, match="did not answer within"):
        RedisServer.start(tmp_path, executable=str(silent), deadline_s=0.3)


def test_missing_wheel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the wheels the error says what to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(EmbeddedMissing, match=r"sojourn\[embedded\]"):
        bundled_redis()


def test_stopped_server_cannot_be_signalled(own_redis: OwnRedis) -> None:
    """Signals to a server that has ended raise instead of reaching a stranger's process."""
    server = own_redis()
    server.stop()
    for action in (server.kill, server.pause, server.resume, lambda: server.pid):
        with pytest.raises(ServerFailed, match="not running"):
            action()


def test_server_that_ends_by_itself_is_noticed(own_redis: OwnRedis) -> None:
    """A server that ends without us is no longer running, and can be restarted."""
    server = own_redis()
    os.kill(server.pid, signal.SIGKILL)
    eventually(lambda: not server.running)
    server.restart()
    assert server.running


def test_postgres_keeps_databases_over_restart_and_kill(own_postgres: PostgresServer) -> None:
    """What was committed survives a restart and a crash, and the URLs stay the same."""
    url = own_postgres.create_database("orders")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    own_postgres.restart()
    with psycopg.connect(url) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute("INSERT INTO t VALUES (2)")
    own_postgres.kill()
    own_postgres.restart()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT n FROM t ORDER BY n").fetchall() == [(1,), (2,)]
    with psycopg.connect(own_postgres.url) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("sojourn",)


def test_postgres_starts_again_in_its_folder(tmp_path: Path) -> None:
    """A second start in the same folder finds the databases of the first."""
    with PostgresServer.start(tmp_path, durable=False) as server:
        server.create_database("kept")
    with PostgresServer.start(tmp_path) as server, psycopg.connect(server.url_of("kept")) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_half_made_postgres_folder_is_made_anew(tmp_path: Path) -> None:
    """What an interrupted initialization left behind is thrown away."""
    (tmp_path / "data.unfinished").mkdir()
    (tmp_path / "data.unfinished" / "PG_VERSION").write_text("18\n")
    with PostgresServer.start(tmp_path, durable=False) as server:
        assert server.running


def test_postgres_wants_its_password(own_postgres: PostgresServer) -> None:
    """Another user of the machine does not get in without the password, which only the owner can read."""
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgres.url.replace(":", ":wrong", 2).replace(":wrong//", "://"))
    assert stat.S_IMODE((own_postgres.directory / "password").stat().st_mode) == 0o600


def test_create_database_refuses_odd_and_taken_names(own_postgres: PostgresServer) -> None:
    """Names that would need quoting are refused, and PostgreSQL's own refusals become ServerFailed."""
    with pytest.raises(ValueError, match="plain lower-case"):
        own_postgres.create_database('x"; DROP DATABASE sojourn')
    with pytest.raises(ServerFailed, match="already exists"):
        own_postgres.create_database("sojourn")


def test_paused_postgres_hangs_and_resumes(own_postgres: PostgresServer) -> None:
    """A frozen PostgreSQL freezes the connections it has, too."""
    with psycopg.connect(own_postgres.url) as connection:
        own_postgres.pause()
        assert {each.status() for each in family(own_postgres.pid)[:1]} == {psutil.STATUS_STOPPED}
        connection.pgconn.send_query(b"SELECT 1")
        own_postgres.resume()
        assert connection.pgconn.get_result()
        assert connection.pgconn.get_result() is None


def test_postgres_frozen_can_be_stopped(own_postgres: PostgresServer) -> None:
    """Stop ends a frozen server with all its backends."""
    with psycopg.connect(own_postgres.url):
        processes = family(own_postgres.pid)
        own_postgres.pause()
        own_postgres.stop()
    assert all(map(gone, processes))


@pytest.mark.parametrize("mode", ["plain", "fork", "paused"])
def test_servers_end_with_a_killed_owner(start_owner: Callable[[str], Owner], mode: str) -> None:
    """SIGKILL to the owner ends both servers, though a fork of it lives on, or though they are frozen."""
    owner = start_owner(mode)
    redis_pid, postgres_pid, _ = tell(owner, "")
    processes = family(redis_pid, postgres_pid)
    assert len(processes) > 6
    if mode == "paused":
        assert tell(owner, "pause") == ["paused"]
    owner.kill()
    eventually(lambda: all(map(gone, processes)), deadline_s=20, what="the end of all servers")


def test_owner_stops_its_servers_though_a_fork_lives_on(start_owner: Callable[[str], Owner]) -> None:
    """A fork that holds a copy of the pipe to the guard does not keep the servers up."""
    owner = start_owner("fork")
    redis_pid, postgres_pid, _ = tell(owner, "")
    processes = family(redis_pid, postgres_pid)
    assert tell(owner, "stop") == ["stopped"]
    assert all(map(gone, processes))


def test_one_server_at_a_time_in_a_folder(own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A second server in a folder waits for the first to go, and gives up where that stays."""
    first = own_redis()
    impatient = tmp_path / "_guard.py"
    impatient.write_text(Path(_guard.__file__).read_text().replace("_PATIENCE_S = 20.0", "_PATIENCE_S = 0.1"))
    with monkeypatch.context() as patch:
        patch.setattr(_guard, "__file__", str(impatient))
        with pytest.raises(ServerFailed, match="another server works in"):
            RedisServer.start(first.directory)
    late_stop = threading.Timer(0.2, first.stop)
    late_stop.start()
    with RedisServer.start(first.directory) as second:
        assert second.running
    late_stop.join()


def test_servers_end_with_an_owner_that_forgets_them(start_owner: Callable[[str], Owner]) -> None:
    """An owner that ends without stopping its servers leaves none behind."""
    owner = start_owner("plain")
    redis_pid, postgres_pid, _ = tell(owner, "")
    processes = family(redis_pid, postgres_pid)
    assert owner.stdin
    owner.stdin.close()
    owner.wait(20)
    eventually(lambda: all(map(gone, processes)), deadline_s=20, what="the end of all servers")


def test_ctrl_c_reaches_the_owner_alone(start_owner: Callable[[str], Owner]) -> None:
    """SIGINT to the owner's process group, as a terminal sends it, leaves the servers to the owner."""
    owner = start_owner("plain")
    _, _, url = tell(owner, "")
    os.killpg(owner.pid, signal.SIGINT)
    assert tell(owner, "") == ["interrupted"]
    with redis.Redis.from_url(url) as client:
        assert client.ping()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_servers_end_with_a_killed_guard(own_redis: OwnRedis, own_postgres: PostgresServer) -> None:
    """SIGKILL to a guard ends its server as well."""
    processes = family(own_redis().pid, own_postgres.pid)
    guards = [each for each in processes if "_guard.py" in " ".join(each.cmdline())]
    assert len(guards) == 2
    for guard in guards:
        guard.kill()
    eventually(lambda: all(map(gone, processes)), what="the end of all servers")


def test_guard_stops_its_server_at_sigterm(own_redis: OwnRedis) -> None:
    """A service manager that ends every process gently ends the server gently."""
    processes = family(own_redis().pid)
    processes[1].terminate()
    eventually(lambda: all(map(gone, processes)), what="the end of the server")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run PostgreSQL as somebody else")
def test_root_without_user_namespaces_runs_postgres_as_another_user(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the kernel allows no namespace, PostgreSQL runs as an existing user who owns its folder."""
    monkeypatch.setattr(_as_root, "_namespaces_work", lambda: False)
    with PostgresServer.start(tmp_path / "postgres", durable=False) as server:
        assert psutil.Process(server.pid).uids().real != 0
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    with PostgresServer.start(tmp_path / "postgres", durable=False) as server:
        server.kill()


def test_closed_folder_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder outside the temporary folder is not opened for others; the error says what to do."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with pytest.raises(ServerFailed, match="closed to others"):
        _as_root.give_to(f"{os.getuid()}:{os.getgid()}", closed / "postgres")
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_unreachable_binaries_are_copied(tmp_path: Path) -> None:
    """Binaries behind a closed folder are copied, with their libraries, once."""
    package = tmp_path / "closed" / "package"
    (package / "install" / "bin").mkdir(parents=True)
    (package / "install" / "bin" / "postgres").write_text("program")
    (tmp_path / "closed" / "package.libs").mkdir()
    (tmp_path / "closed").chmod(0o700)
    for _ in range(2):
        copy = _as_root.reachable_copy(package, package / "install", tmp_path / "software")
        assert (copy / "bin" / "postgres").read_text() == "program"
        assert copy == tmp_path / "software" / "package" / "install"
        assert (tmp_path / "software" / "package.libs").is_dir()


def test_both_servers_from_a_shell(tmp_path: Path) -> None:
    """`python -m sojourn.embedded` prints what names the servers, and takes them down when it is asked to end."""
    command = [sys.executable, "-m", "sojourn.embedded", str(tmp_path / "it's")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        named = dict(shlex.split(line)[1].split("=", 1) for line in lines)
        with redis.Redis.from_url(named["SOJOURN_REDIS_URL"]) as client:
            assert client.ping()
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            with psycopg.connect(named["SOJOURN_ARCHIVE_URL"]) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
            with pytest.raises(redis.ConnectionError):
                client.ping()
    wrong = subprocess.run([*command[:3]], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr.startswith("usage:")) == (2, True)
