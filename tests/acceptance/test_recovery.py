"""Every command of the recovery guide does what the guide says, in its order, each after its disaster."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from tests.acceptance.documents import ROOT, commands, on_path, run, sections
from tests.waiting import eventually

from sojourn import SessionStore, Settings
from sojourn.keys import TenantKeys

GUIDE = (ROOT / "docs" / "recovery.md").read_text("utf-8")
_HOOK = """
import os
from pathlib import Path

def note(event, session):
    if not Path("mended").exists():
        raise ValueError("broken")
    with open("noted", "a") as file:
        file.write(event.session_id + "\\n")
"""
_KEYS = TenantKeys.of("default", 64)


class Deployment:
    """What the guide's reader has: servers, workers, sessions, and a day that goes wrong."""

    def __init__(self, folder: Path, redis_url: str, archive_url: str) -> None:
        self.folder = folder
        (folder / "guide_hooks.py").write_text(_HOOK)
        config = {
            "redis_url": redis_url, "archive_url": archive_url, "archive_interval": 0.3, "retention": 0,
            "hooks": {"note": {"events": ["deleted"], "function": "guide_hooks:note", "retries": 0}},
        }  # fmt: skip
        (folder / "sojourn.yaml").write_text(json.dumps(config))
        given = {name: value for name, value in os.environ.items() if not name.startswith("SOJOURN_")}
        self.environment = given | {"PATH": on_path(), "SOJOURN_CONFIG": str(folder / "sojourn.yaml")}
        settings = Settings(redis_url=redis_url, archive_url=archive_url, retention=timedelta(0))
        self.redis: Any = redis.Redis.from_url(redis_url)
        self.archive = psycopg.connect(archive_url, autocommit=True)
        run("sojourn archive init", self.environment)
        self.store = SessionStore(settings=settings)
        self.session = self.store.create(owner="ada", ttl=3600)
        self.environment["ID"] = self.session.id
        self.store.update(self.session.id, owner="eve")
        assert list(self.store.events("nobody-reads-this", timeout=0)) == []
        self.worker = subprocess.Popen(
            ["sojourn", "worker"], cwd=folder, env=self.environment | {"PYTHONPATH": str(folder)}
        )
        self.settled()

    def settled(self) -> None:
        """Wait until nothing waits for the archive."""
        eventually(lambda: not self.redis.exists(_KEYS.partition.dirty), deadline_s=60, what="the archive")

    def there(self) -> bool:
        """Whether the session lives in Redis."""
        return bool(self.redis.exists(_KEYS.session(self.session.id)))

    def close(self) -> None:
        """Stop everything."""
        self.worker.terminate()
        assert self.worker.wait(30) == 0
        self.store.close()
        self.redis.close()
        self.archive.close()


@pytest.fixture
def deployment(tmp_path: Path, any_redis_url: str, postgres_url: str) -> Iterator[Deployment]:
    """Give a deployment at work."""
    made = Deployment(tmp_path, any_redis_url, postgres_url)
    yield made
    made.close()


def _nothing(here: Deployment) -> None:
    """No disaster, or nothing more to see."""


def _lose_everything(here: Deployment) -> None:
    here.redis.flushall()


def _delete_a_record(here: Deployment) -> None:
    here.settled()
    here.redis.delete(_KEYS.session(here.session.id))


def _empty_the_archive(here: Deployment) -> None:
    here.archive.execute("DROP SCHEMA sojourn CASCADE")


def _fail_a_hook(here: Deployment) -> None:
    doomed = here.store.create()
    here.store.delete(doomed.id)
    eventually(lambda: doomed.id in run("sojourn dead list --json", here.environment), deadline_s=60)
    (here.folder / "mended").touch()


def _change_the_wrong_one(here: Deployment) -> None:
    here.session = here.store.create(owner="ada")
    here.environment["ID"] = here.session.id
    here.store.update(here.session.id, owner="eve")
    here.store.complete(here.session.id)
    eventually(lambda: not here.there(), deadline_s=60)


_DISASTERS: dict[str, Callable[[Deployment], None]] = {
    "Redis has lost everything": _lose_everything,
    "Records were evicted, or deleted by hand": _delete_a_record,
    "PostgreSQL was restored from an older copy, or is new": _empty_the_archive,
    "A hook fails": _fail_a_hook,
    "Somebody changed, ended or deleted the wrong session": _change_the_wrong_one,
}


def _all_is_there(here: Deployment) -> None:
    assert here.store.get(here.session.id).owner == "eve"
    assert here.store.count(owner="eve") == 1


def _group_is_gone(here: Deployment) -> None:
    assert not here.store.forget_events("nobody-reads-this")


def _archived_again(here: Deployment) -> None:
    here.settled()
    assert here.store.archive.get(here.session.id).owner == "eve"


def _hook_ran(here: Deployment) -> None:
    eventually((here.folder / "noted").exists, deadline_s=60)
    assert len((here.folder / "noted").read_text().split()) == 1
    assert json.loads(run("sojourn dead list --json", here.environment))["letters"] == []


def _is_restored(here: Deployment) -> None:
    assert here.store.get(here.session.id).owner == "ada"


_OUTCOMES: dict[str, Callable[[Deployment], None]] = {
    "Redis has lost everything": _all_is_there,
    "Records were evicted, or deleted by hand": _all_is_there,
    "Redis is full": _group_is_gone,
    "PostgreSQL was restored from an older copy, or is new": _archived_again,
    "A hook fails": _hook_ran,
    "Somebody changed, ended or deleted the wrong session": _is_restored,
}


@pytest.mark.timeout(300)  # a disaster after the other, each with commands that are processes
def test_the_guide_from_top_to_bottom(deployment: Deployment) -> None:
    """Each section's disaster, its commands, and what they promise."""
    known = [heading for heading, _ in sections(GUIDE)]
    assert set(_DISASTERS) | set(_OUTCOMES) <= set(known)
    for heading, text in sections(GUIDE):
        _DISASTERS.get(heading, _nothing)(deployment)
        for command in commands(text):
            # The doctor's exit code tells how bad it is; after these disasters, it is.
            codes = (0, 6, 7) if command == "sojourn doctor" else (0,)
            run(command, deployment.environment, folder=deployment.folder, codes=codes)
        _OUTCOMES.get(heading, _nothing)(deployment)
