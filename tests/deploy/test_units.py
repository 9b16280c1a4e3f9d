"""Units for systemd, the compose file and the image: what they name is there, and each command of theirs runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from click.testing import CliRunner
from tests.conftest import OwnRedis
from tests.deploy_files import DEPLOY, load
from tests.servers import redis_executables
from tests.waiting import eventually

from sojourn.cli import cli
from sojourn.embedded import free_port

ROOT: Final = DEPLOY.parent
UNITS: Final = sorted((DEPLOY / "systemd").glob("*.service"))
COMPOSE: Final = DEPLOY / "compose" / "compose.yaml"
_SOJOURN: Final = "/opt/sojourn/bin/sojourn"
_ROLES: Final = ("listen", "dispatch", "hooks", "archive", "schedule")


def _run(*arguments: str, environment: dict[str, str] | None = None) -> str:
    given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    done = subprocess.run(
        [sys.executable, "-m", "sojourn.cli", *arguments],
        env=given | (environment or {}), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"sojourn {shlex.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


def _commands(unit: Path) -> list[list[str]]:
    lines = re.findall(r"^Exec\w+=(.*)$", unit.read_text(), re.MULTILINE)
    assert all(line.startswith(f"{_SOJOURN} ") for line in lines)
    return [shlex.split(line)[1:] for line in lines]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    """`systemd-analyze verify`, with a program that is there; and little of the machine is exposed to a worker."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    name = unit.name.replace("@", "@listen")
    (tmp_path / name).write_text(unit.read_text().replace(_SOJOURN, "/bin/true"))
    for arguments in (["verify", "--man=no"], ["security", "--offline=true", "--threshold=25", "--no-pager"]):
        done = subprocess.run(
            ["systemd-analyze", *arguments, str(tmp_path / name)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert arguments[0] == "security" or name not in done.stderr


def test_the_units_commands_run() -> None:
    """The check of the settings; and each role of the template is one."""
    for unit in UNITS:
        check, worker = _commands(unit)
        assert "redis_url" in _run(*check)
        roles = _ROLES if "@" in unit.name else ("",)
        for role in roles:
            told = CliRunner().invoke(cli, [*(part.replace("%i", role) for part in worker), "--help"])
            assert told.exit_code == 0
            assert role in told.stdout
    assert all(f"@{role}" in UNITS[1].read_text() for role in _ROLES)


def _services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = load(COMPOSE)["services"]
    return services


def test_all_that_the_compose_file_mounts_and_builds_is_there() -> None:
    """Files, the context with what the image copies from it, and the volumes."""
    volumes = load(COMPOSE)["volumes"]
    for service in _services().values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source in volumes or (COMPOSE.parent / source).exists(), volume
        if "build" in service:
            context = (COMPOSE.parent / service["build"]["context"]).resolve()
            dockerfile = context / service["build"]["dockerfile"]
            copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile.read_text(), re.MULTILINE)
            assert copied
            assert all((context / name).exists() for names in copied for name in names.split())
        for other in service.get("depends_on", {}):
            assert other in _services()
    grafana = load(DEPLOY / "grafana" / "provisioning" / "dashboards" / "sojourn.yml")["providers"][0]
    mounted = [each.split(":")[1] for each in _services()["grafana"]["volumes"]]
    assert f"{grafana['options']['path']}/sojourn.json" in mounted
    source = load(DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    scraped = load(DEPLOY / "prometheus" / "prometheus.yml")["scrape_configs"][0]["dns_sd_configs"][0]
    assert _services()["worker"]["command"][-1] == f"0.0.0.0:{scraped['port']}"
    assert scraped["names"] == ["worker"]


def test_docker_takes_the_compose_file() -> None:
    """`docker compose config`."""
    compose = ["docker", "compose"]
    if (
        shutil.which("docker") is None
        or subprocess.run([*compose, "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed")
    done = subprocess.run([*compose, "-f", str(COMPOSE), "config", "-q"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_compose_file_s_commands_run(own_redis: OwnRedis, postgres_url: str, tmp_path: Path) -> None:
    """Redis takes its options; the tables, the worker, its check, and the commands in the file's head do as told."""
    services = _services()
    options = shlex.split(services["redis"]["command"])
    assert options[0] == "redis-server"
    pairs = zip(options[1::2], options[2::2], strict=True)
    given = {name.removeprefix("--"): value for name, value in pairs}
    executables = redis_executables()
    if "redis7" not in executables:  # where it has another name
        given["hash-max-ziplist-value"] = given.pop("hash-max-listpack-value")
    server = own_redis(given, executable=list(executables.values())[-1])
    environment = {"SOJOURN_REDIS_URL": server.url, "SOJOURN_ARCHIVE_URL": postgres_url}
    assert set(environment) == set(services["worker"]["environment"])
    _run(*services["tables"]["command"], environment=environment)
    port = str(free_port())
    command = [part.replace("0.0.0.0:9464", f"127.0.0.1:{port}") for part in services["worker"]["command"]]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
    with (tmp_path / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "sojourn.cli", *command], env=ours | environment, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        check = [part.replace("9464", port) for part in services["worker"]["healthcheck"]["test"]]
        assert check[:2] == ["CMD", "python"]

        def ready() -> bool:
            return not subprocess.run([sys.executable, *check[2:]], capture_output=True, check=False).returncode

        eventually(ready, deadline_s=40, what="the check of the worker's health")
        for line in re.findall(r"^#   docker compose .* run --rm worker (.*)$", COMPOSE.read_text(), re.MULTILINE):
            assert _run(*shlex.split(line), environment=environment)
    finally:
        worker.terminate()
        assert worker.wait(30) == 0
