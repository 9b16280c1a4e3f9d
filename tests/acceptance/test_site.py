"""The documentation site: it is built without a fault, needs nobody else to be read, and tells all that there is."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from tests.acceptance.documents import PAGES, ROOT, blocks

import _docs
import sojourn
from docs_site import nav
from docs_site.commands import walk
from docs_site.drawings import draw
from docs_site.keys import key_rows
from docs_site.settings import documented
from sojourn import SessionStore, Settings, archive, embedded, keys, secrets, tenants, testing
from sojourn.archive import transfer
from sojourn.embedded import bundled_redis

_FETCHED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\" >]+)[^>]*>")


@pytest.mark.timeout(300)  # the build takes some ten seconds of a processor, and others may want it too
def test_the_site_is_built_and_tells_all_that_there_is(tmp_path: Path) -> None:
    """Built as `scripts/docs build` does, it has no fault, fetches nothing, and its reference is complete."""
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    assert _docs.build(tmp_path) == []
    site = tmp_path / "build" / "site"
    _check_nothing_is_fetched(site)
    _check_drawings(site)
    _check_names(site)
    _check_generated(site)


def _check_nothing_is_fetched(site: Path) -> None:
    """No page asks for a script, style, font or picture of another host."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(nav.named_pages(ROOT / "mkdocs.yml"))
    for page in pages:
        for found in _FETCHED.finditer(page.read_text("utf-8")):
            assert 'rel="canonical"' in found[0], f"{page.relative_to(site)} fetches {found[1]}"
    styles = "".join(each.read_text("utf-8") for each in site.rglob("*.css"))
    assert not re.search(r"url\(\s*[\"']?(?:https?:)?//", styles)


def _check_drawings(site: Path) -> None:
    """Mermaid blocks became pictures, where there is a renderer."""
    drawn = draw("flowchart LR\n a --> b") is not None
    for page in PAGES[1:]:
        count = sum(block.language == "mermaid" for block in blocks(page))
        made = (site / page.relative_to(ROOT / "docs")).with_suffix(".html").read_text("utf-8")
        assert made.count('<div class="drawing"><svg') == (count if drawn else 0)
        assert made.count('class="mermaid"') == (0 if drawn else count)


def _check_names(site: Path) -> None:
    """What `sojourn` and its public packages export has an entry that can be linked to."""
    inventory = (site / "objects.inv").read_bytes()
    entries = zlib.decompress(inventory.split(b"\n", 4)[4]).decode()
    known = {line.split(" ", 1)[0] for line in entries.splitlines()}
    for module in (sojourn, sojourn.errors, archive, transfer, secrets, tenants, embedded, testing):
        for name in set(module.__all__) - {"errors"}:
            exported = getattr(module, name)
            home = getattr(exported, "__module__", module.__name__)
            spellings = {f"{module.__name__}.{name}", f"{home}.{name}"}
            assert spellings & known, f"{module.__name__}.{name} is in no page of docs/reference"


def _check_generated(site: Path) -> None:
    """There is a heading for each command, and a row for each key and setting."""
    names = ("cli", "keys", "settings")
    reference = {each: html.unescape((site / "reference" / f"{each}.html").read_text("utf-8")) for each in names}
    for node in walk():
        assert f'id="{node.name.replace(" ", "-")}"' in reference["cli"]
    rows = list(key_rows())
    assert len(rows) == len(re.findall(r"^``sojourn:", keys.__doc__ or "", re.MULTILINE))
    for row in rows:
        assert f"<code>{row.key}</code>" in reference["keys"]
    for name in documented(Settings):
        assert f"<code>{name}</code></td>" in reference["settings"]


def test_redis_cli_shows_each_key(any_redis_url: str, tmp_path: Path) -> None:
    """The lines under the table of keys are commands that fit the types of the keys."""
    with SessionStore(any_redis_url) as store:
        store.set_tenant_limits(sessions=10)
        session = store.create(owner="ada", tags=["beta"], ttl=60)
        store.tokens.issue(session.id)
    client = Path(bundled_redis()).with_name("redis-cli")
    script = "\n".join(f'"{client}" -u {any_redis_url} {row.command}' for row in key_rows())
    said = subprocess.run(
        ["bash", "-euc", script], env={"ID": session.id}, capture_output=True, text=True, timeout=60, check=True
    ).stdout  # fmt: skip
    assert "ERR" not in said
    assert "WRONGTYPE" not in said
    assert "ada" in said


_FAULTY = """# Faulty

[gone](gone.md) [no such anchor](#nowhere) [unknown][sojourn.NoSuchName]
"""


@pytest.mark.timeout(300)
def test_faults_fail_the_build(tmp_path: Path) -> None:
    """A broken link, a missing anchor, an unknown name, a page that is not named and one that is not there."""
    (tmp_path / "docs" / "assets").mkdir(parents=True)
    (tmp_path / "docs" / "assets" / "site.css").touch()
    (tmp_path / "docs" / "index.md").write_text(_FAULTY)
    (tmp_path / "docs" / "forgotten.md").write_text("# Forgotten\n")
    settings = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(f"{settings}\nnav:\n- index.md\n- absent.md\n")
    found = "\n".join(_docs.build(tmp_path))
    for fault in (
        "page does not exist",
        "anchor does not exist",
        "unresolved autoref",
        "docs/forgotten.md",
        "docs/absent.md",
    ):
        assert fault in found, f"{fault}:\n{found}"


def test_a_drawing_with_a_mistake_is_refused() -> None:
    """Where the renderer is there, it says what it cannot draw."""
    if draw("flowchart LR\n a --> b") is None:
        pytest.skip("there is no wheel of the renderer for this machine")
    with pytest.raises(ValueError, match="not a Mermaid drawing"):
        draw("flowchart LR\n a --")
