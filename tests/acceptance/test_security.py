"""What the security guide says is so: the tests that it names are there, and its settings for production work."""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import redis
from tests.acceptance.documents import ROOT, on_path
from tests.waiting import eventually

from sojourn import SessionStore, Settings
from sojourn.archive import init

GUIDE = (ROOT / "docs" / "security.md").read_text("utf-8")
_HOOK = """
from pathlib import Path

def note(event, session):
    with Path("noted").open("a") as file:
        file.write(event.session_id + "\\n")
"""


def test_every_line_names_tests_that_are_there() -> None:
    """Each row of what is defended ends with files or folders below tests/."""
    rows = [
        line for line in GUIDE.partition("## What is defended")[2].partition("\n## ")[0].splitlines() if "|" in line
    ]
    assert len(rows) > 15
    for row in rows[2:]:
        named = re.findall(r"`([\w/.]+)`", row.rstrip("| ").rpartition("|")[2])
        assert named, row
        for each in named:
            assert (ROOT / "tests" / each).exists(), each


@pytest.mark.timeout(300)
def test_the_users_of_the_guide_suffice(redis_url: str, postgres_url: str, tmp_path: Path) -> None:
    """With the rules for services and for workers, and `default` off, a deployment runs: expiry, hooks, archive."""
    rules = dict(re.findall(r"^ACL SETUSER (\S+) (.+)$", GUIDE, re.MULTILINE))
    assert set(rules) == {"sojourn-service", "sojourn-worker"}
    init(postgres_url)
    with redis.Redis.from_url(redis_url) as admin, psycopg.connect(postgres_url, autocommit=True) as archive:
        for name, rule in rules.items():
            admin.execute_command("ACL", "SETUSER", name, "reset", *rule.replace("PASSWORD", "pass").split())
        urls = {name: redis_url.replace("redis://", f"redis://{name}:pass@") for name in rules}
        (tmp_path / "guide_hooks.py").write_text(_HOOK)
        (tmp_path / "sojourn.yaml").write_text(
            json.dumps({
                "redis_url": urls["sojourn-worker"], "archive_url": postgres_url, "archive_interval": 0.3,
                "retention": 0, "hooks": {"note": {"events": ["expired"], "function": "guide_hooks:note"}},
            })
        )  # fmt: skip
        given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
        environment = given | {"PATH": on_path(), "PYTHONPATH": str(tmp_path), "SOJOURN_CONFIG": "sojourn.yaml"}
        worker = subprocess.Popen(["sojourn", "worker"], cwd=tmp_path, env=environment)
        try:
            settings = Settings(redis_url=urls["sojourn-service"], retention=timedelta(0))
            with SessionStore(settings=settings) as store:
                store.set_tenant_limits(sessions=10)
                made = store.create(owner="ada", ttl=0.3)
                kept = store.create(ttl=60)
                noted = tmp_path / "noted"
                eventually(lambda: noted.exists() and made.id in noted.read_text(), deadline_s=60, what="the hook")
                query = "SELECT status FROM sojourn.sessions WHERE id = %s"
                eventually(
                    lambda: archive.execute(query, (made.id,)).fetchone() == ("expired",),
                    deadline_s=60,
                    what="the archive",
                )
                assert store.get(kept.id).is_live
                doctor = subprocess.run(["sojourn", "doctor"], cwd=tmp_path, env=environment, check=False)
                assert doctor.returncode in (0, 6)
        finally:
            worker.terminate()
            assert worker.wait(30) == 0
            admin.execute_command("ACL", "DELUSER", *rules)
