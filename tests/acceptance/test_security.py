"""What the security guide says is so: the tests that it names are there, and its settings for production work."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
import pytest
import redis
from click.testing import CliRunner
from tests.acceptance.documents import ROOT, on_path
from tests.certificates import make_certificate, tls_context
from tests.conftest import OwnRedis
from tests.proxy import Proxy
from tests.store.archive.helpers import note
from tests.waiting import eventually

from sojourn import (
    ArchiveError,
    ArchiveUnavailable,
    DocumentationSession,
    SessionStore,
    Settings,
    StoreError,
)
from sojourn.archive import Archive, Audit, apply_retention, archive_once, init, rehydrate
from sojourn.archive.transfer import export_rows, import_rows
from sojourn.cli import cli
from sojourn.secrets import status
from sojourn.settings import ArchiveRetention
from sojourn.tenants import confine, delete, new_password

GUIDE = (ROOT / "docs" / "security.md").read_text("utf-8")
_AT_ONCE: Final = timedelta(microseconds=1)
_HOOK = """
from pathlib import Path

def note(event, session):
    with Path("noted").open("a") as file:
        file.write(event.session_id + "\\n")
"""


def test_every_line_names_tests_that_are_there() -> None:
    """Each row of what is defended, and each line of what is not and of what to set up, ends with the tests of it."""
    _, defended, not_defended, production = (part.partition("\n")[2] for part in GUIDE.split("\n## ")[1:])
    rows = [line for line in defended.splitlines() if line.startswith("|")][2:]
    points = re.findall(r"^(?:- |\d\. )(.+(?:\n {2,3}\w.*|\n {2,3}[(`].*)*)", not_defended + production, re.MULTILINE)
    assert len(rows) > 20
    assert len(points) > 18
    lines = [row.rstrip("| ").rpartition("|")[2] for row in rows]
    lines += [point.rpartition("(")[2] for point in points]
    for line in lines:
        named = re.findall(r"`([\w/.]+)`", line)
        assert named, line
        for each in named:
            assert (ROOT / "tests" / each).exists(), each


OPERATORS_DO = {
    "tenant list": 0, "tenant show acme": 0, "tenant limits acme --sessions 5": 0, "tenant isolate acme": 0,
    "acl acme": 0, "acl acme --apply": 0, "tenant delete acme --yes": 0, "cleanup --due": 0, "archive run": 0,
    "archive status": 0, "rehydrate": 0, "dead list": 0, "events": 0, "metrics": 0, "top --once": 0,
    "secrets status": 0, "audit verify": 0, "config": 0,
}  # fmt: skip


@pytest.mark.timeout(300)
def test_the_users_of_the_guide_suffice(
    redis_url: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its rules, over TLS, and `default` off, a deployment runs: expiry, hooks, archive; and operators operate."""
    rules = dict(re.findall(r"^ *ACL SETUSER (\S+) (.+)$", GUIDE, re.MULTILINE))
    assert set(rules) == {"sojourn-service", "sojourn-worker", "sojourn-operator"}
    init(postgres_url)
    certificate = make_certificate(tmp_path / "server.pem")
    with (
        redis.Redis.from_url(redis_url) as admin,
        psycopg.connect(postgres_url, autocommit=True) as archive,
        Proxy(redis_url, tls=tls_context(certificate)) as proxy,
    ):
        for name, rule in rules.items():
            admin.execute_command("ACL", "SETUSER", name, "reset", *rule.replace("PASSWORD", "pass").split())
        admin.execute_command("ACL", "SETUSER", "default", "off")
        tls = f"{proxy.url}?ssl_ca_certs={certificate}"
        urls = {name: tls.replace("rediss://", f"rediss://{name}:pass@") for name in rules}
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
            with pytest.raises(StoreError), SessionStore(redis_url) as nobody:
                nobody.count()
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
                store.for_tenant("acme").create()
            monkeypatch.chdir(tmp_path)
            monkeypatch.setenv("SOJOURN_CONFIG", "sojourn.yaml")
            monkeypatch.setenv("SOJOURN_REDIS_URL", urls["sojourn-operator"])
            for command, code in OPERATORS_DO.items():
                ran = CliRunner().invoke(cli, command.split())
                assert ran.exit_code == code, (command, ran.output)
                if command == "acl acme --apply":
                    assert "sojourn-acme" in str(admin.acl_users())
            assert "sojourn-acme" not in str(admin.acl_users())
            assert CliRunner().invoke(cli, ["doctor"]).exit_code in (0, 6)
            assert CliRunner().invoke(cli, ["inspect", kept.id]).exit_code == 0
        finally:
            admin.execute_command("ACL", "SETUSER", "default", "on")
            worker.terminate()
            assert worker.wait(30) == 0
            admin.execute_command("ACL", "DELUSER", *rules)


def test_the_roles_of_the_guide_suffice(any_redis_url: str, postgres_url: str) -> None:
    """A worker's role does all that workers and operators do, but not what the owner may; a reader's only reads."""
    init(postgres_url)
    database = postgres_url.rpartition("/")[2]
    roles = {f"sojourn_{each}": f"{each}_of_{database}" for each in ("worker", "reader")}
    text = GUIDE.replace("ON DATABASE sojourn", f"ON DATABASE {database}")
    for name, own in roles.items():
        text = text.replace(name, own)
    urls = {
        name: psycopg.conninfo.make_conninfo(postgres_url, user=own, password="PASSWORD") for name, own in roles.items()
    }
    settings = Settings(
        redis_url=any_redis_url, archive_url=urls["sojourn_worker"], retention=timedelta(0),
        audit_retention=_AT_ONCE, archive_retention=(ArchiveRetention(keep=_AT_ONCE),),
    )  # fmt: skip
    with psycopg.connect(postgres_url, autocommit=True) as owner:
        try:
            owner.execute(f"REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC".encode())
            for each in re.findall(r"^ +((?:CREATE ROLE|GRANT) [^;`]+;)$", text, re.MULTILINE):
                owner.execute(each.encode())
            _work(settings)
            with psycopg.connect(urls["sojourn_worker"], autocommit=True) as worker:
                for statement in (
                    "ALTER TABLE sojourn.audit DISABLE TRIGGER ALL", "DROP TRIGGER audit_update ON sojourn.audit",
                    "SET session_replication_role = replica", "UPDATE sojourn.audit SET actor = ''",
                    "DELETE FROM sojourn.audit", "TRUNCATE sojourn.audit", "DROP TABLE sojourn.audit",
                ):  # fmt: skip
                    with pytest.raises(psycopg.errors.InsufficientPrivilege):
                        worker.execute(statement.encode())
            reading = settings.model_copy(update={"archive_url": urls["sojourn_reader"]})
            assert Archive(reading).count(status=("completed", "pending")) == 1
            assert Audit(reading).verify().is_sound
            with SessionStore(settings=reading) as store:
                store.create()
            with pytest.raises(ArchiveError):
                archive_once(reading)
        finally:
            for own in roles.values():
                owner.execute(f"DROP OWNED BY {own}".encode())
                owner.execute(f"DROP ROLE {own}".encode())


def _work(settings: Settings) -> None:
    """Archive, apply retention, bring back, move to another key, export and import, and delete a tenant."""
    with SessionStore(settings=settings, model=DocumentationSession) as store:
        made = store.create(workspace_id="w", module_name="m", owner="ada")
        store.append(made.id, DocumentationSession.notes, note("a.py"))
        ended = store.create(workspace_id="w", module_name="m")
        store.complete(ended.id)
        store.for_tenant("acme").create(workspace_id="w", module_name="m")
        assert archive_once(settings).sessions == 3
        store.update(made.id, owner="eve")
        archive_once(settings)
        assert store.restore(made.id, version=2).owner == "ada"
        archive_once(settings)
        report = apply_retention(settings)
        assert (report.sessions, report.audit_rows > 3, report.audit_damaged) == (1, True, [])
        assert rehydrate(settings, ids=[made.id]).loaded == 0
        assert status(settings).unopened == 0
        rows = io.BytesIO()
        assert export_rows(settings, rows, table="sessions", file_format="jsonl", all_tenants=True) == 2
        rows.seek(0)
        assert import_rows(settings, rows, file_format="jsonl").unchanged == 2
        assert delete(settings, "acme").archive["sessions"] == 1
        archive_once(settings)
        assert all(each.is_sound for each in Audit(settings).verify_all())


@pytest.mark.skipif(psycopg.pq.version() < 170_000, reason="speaks TLS only to servers that know PostgreSQL's own way")
def test_tls_to_the_archive(postgres_url: str, any_redis_url: str, tmp_path: Path) -> None:
    """A server that proves who it is, is archived to; one that does not is refused."""
    certificate = make_certificate(tmp_path / "server.pem")
    context = tls_context(certificate)
    context.set_alpn_protocols(["postgresql"])
    with Proxy(postgres_url, tls=context) as proxy, SessionStore(any_redis_url) as store:
        url = f"{proxy.url.replace('rediss', 'postgresql', 1)}?sslmode=verify-full&sslnegotiation=direct"
        trusting = f"{url}&sslrootcert={certificate}"
        init(trusting)
        store.create()
        settings = Settings(redis_url=any_redis_url, archive_url=trusting)
        assert archive_once(settings).sessions == 1
        store.create()
        with pytest.raises(ArchiveUnavailable, match="certificate"):
            archive_once(settings.model_copy(update={"archive_url": url}))


def test_users_survive_a_restart(own_redis: OwnRedis, tmp_path: Path) -> None:
    """Where there is an aclfile, the user of a tenant is in it."""
    file = tmp_path / "users.acl"
    file.touch()
    server = own_redis({"aclfile": str(file), "appendonly": "yes"})
    password = new_password()
    done = confine(Settings(redis_url=server.url), "acme", password=password)
    assert done.persisted == "aclfile"
    assert password not in file.read_text()
    with SessionStore(server.url.replace("redis://", f"redis://{done.user}:{password}@"), tenant="acme") as store:
        made = store.create(owner="ada")
        server.restart()
        assert store.get(made.id) == made
