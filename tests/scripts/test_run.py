"""The main job: odd trees do not stop it, nothing outlives it, and it leaves other deployments alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import redis
from tests.waiting import eventually

from _document import as_fits, count_docstrings, packages_under, shown

SCRIPT = Path(__file__).parents[2] / "scripts" / "_run.py"
PACKAGES = Path(__file__).parents[1] / "data" / "packages"
pytestmark = pytest.mark.timeout(240)


@contextlib.contextmanager
def _run(tmp_path: Path, *arguments: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run the script with a folder for temporary files of its own."""
    (tmp_path / "tmp").mkdir()
    given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    with (tmp_path / "out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=given | {"TMPDIR": str(tmp_path / "tmp"), "PYTHONFAULTHANDLER": "1"} | more,
        )
    try:
        yield process
    except BaseException:
        _end(process, signal.SIGABRT)  # which also has it write where it was
        for file in (tmp_path / "out", *tmp_path.glob("tmp/*/worker.log")):
            print(f"--- {file.name}\n{file.read_text(errors='replace')[-10_000:]}")
        raise
    finally:
        _end(process, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _odd_tree(root: Path) -> Path:
    package = root / "pack\udcffage\n"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('"""Doc."""\n')
    (package / "deep.py").write_text("(" * 5000 + ")" * 5000)
    (package / "minus.py").write_text("x = " + "-" * 100_000 + "1")
    (package / "wrong\udcfe\t.py").write_bytes(b"\xff")
    (package / "dangling.py").symlink_to("nowhere")
    (package / "loop.py").symlink_to("loop.py")
    (package / "folder.py").mkdir()
    os.mkfifo(package / "fifo.py")
    fake = root / "fake"
    fake.mkdir()
    os.mkfifo(fake / "__init__.py")
    return root


def test_odd_files_are_skipped_or_told(tmp_path: Path) -> None:
    """Only regular files count; what does not parse raises what the writer expects."""
    (package,) = packages_under(_odd_tree(tmp_path / "tree"))
    names = [Path(each).name for each in package.files]
    assert names == ["__init__.py", "deep.py", "minus.py", "wrong\udcfe\t.py"]
    assert shown(package.name) == "pack\\xffage\\n"
    for path in package.files[1:]:
        with pytest.raises((SyntaxError, ValueError, RecursionError, MemoryError)):
            count_docstrings(Path(path))


def test_names_are_cut_to_what_a_field_holds() -> None:
    """As many as fit, in their JSON form."""
    names = ["n" * 96] * 20
    assert as_fits(names, 1002) == tuple(names[:10])
    assert as_fits(names) == tuple(names)


def test_an_odd_tree_on_servers_of_others(tmp_path: Path, any_redis_url: str, postgres_url: str) -> None:
    """The run ends well, whatever else the environment says; no group, queue or temporary file of it stays."""
    other = json.dumps({"mine": {"events": ["ended"], "function": "os:abort"}})
    servers = {"SOJOURN_REDIS_URL": any_redis_url, "SOJOURN_ARCHIVE_URL": postgres_url}
    tree = _odd_tree(tmp_path / "tree")
    with _run(tmp_path, "--once", str(tree), SOJOURN_TENANT="mine", SOJOURN_HOOKS=other, **servers) as process:
        assert process.wait(120) == 0, (tmp_path / "out").read_text()
    with redis.Redis.from_url(any_redis_url, decode_responses=True) as client:
        groups = [each["name"] for key in client.scan_iter("sojourn:*:events") for each in client.xinfo_groups(key)]
        assert set(groups) <= {"sojourn-archive"}
        assert not client.sismember("sojourn:tenants", "mine")
        ours = [key for key in client.scan_iter("*") if key.startswith("rq:") or "sojourn-" in key]
        assert [key for key in ours if client.ttl(key) == -1] == []  # those of ended workers go by themselves
    assert not list((tmp_path / "tmp").iterdir())


def test_nothing_outlives_a_killed_run(tmp_path: Path, any_redis_url: str, postgres_url: str) -> None:
    """SIGKILL to the script: its worker finds out and stops."""
    servers = {"SOJOURN_REDIS_URL": any_redis_url, "SOJOURN_ARCHIVE_URL": postgres_url}
    with _run(tmp_path, str(PACKAGES), **servers) as process:
        eventually(lambda: "It stays up" in (tmp_path / "out").read_text(), deadline_s=120)
        family = psutil.Process(process.pid).children(recursive=True)
        assert family
        process.kill()
        eventually(lambda: not any(each.is_running() and each.status() != "zombie" for each in family), deadline_s=20)


def test_several_interrupts_leave_nothing(tmp_path: Path, any_redis_url: str, postgres_url: str) -> None:
    """Ctrl-C again and again while it cleans up does not keep it from that."""
    servers = {"SOJOURN_REDIS_URL": any_redis_url, "SOJOURN_ARCHIVE_URL": postgres_url}
    with _run(tmp_path, str(PACKAGES), **servers) as process:
        eventually(lambda: "It stays up" in (tmp_path / "out").read_text(), deadline_s=120)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert process.wait(1) == 130
    assert not list((tmp_path / "tmp").iterdir())


def test_a_dead_writer_ends_the_run_at_once(tmp_path: Path, any_redis_url: str, postgres_url: str) -> None:
    """A writer is killed: one clear line, and an exit code that tells."""
    servers = {"SOJOURN_REDIS_URL": any_redis_url, "SOJOURN_ARCHIVE_URL": postgres_url}
    with _run(tmp_path, "--once", **servers) as process:

        def writers() -> list[psutil.Process]:
            children = psutil.Process(process.pid).children()
            return [each for each in children if "spawn_main" in " ".join(each.cmdline())]

        found = eventually(writers, deadline_s=120)
        found[0].kill()
        assert process.wait(30) == 1
    assert "a writer ended with signal 9" in (tmp_path / "out").read_text()
