"""Make the documentation site, or serve it: what `scripts/docs` runs inside the environment.

Stricter than the generator alone: broken links, missing anchors, unknown references, pages without an entry in the
navigation and entries without a page, docstrings that cannot be read, settings without a meaning: each fails it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

from docs_site import nav

__all__ = ["build"]

ROOT = Path(__file__).resolve().parent.parent
_ZENSICAL = (sys.executable, "-m", "zensical")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_TOLD_ONLY = ("griffe: ",)
"""How lines begin that tell of faults which the generator lets pass."""


def build(root: Path) -> list[str]:
    """Build the site of the project at `root`, whose docs/ and mkdocs.yml they are; what is wrong is the result."""
    found = nav.faults(root / "mkdocs.yml", root / "docs")
    command = [*_ZENSICAL, "build", "--strict", "--clean", "-f", str(root / "mkdocs.yml")]
    done = subprocess.run(command, cwd=root, env=_environment(), capture_output=True, text=True, check=False)  # noqa: S603
    said = _COLOURS.sub("", done.stdout + done.stderr)
    found += [line for line in said.splitlines() if line.startswith(_TOLD_ONLY)]
    if done.returncode:
        found.append(said)
    return found


def serve(root: Path, address: str) -> NoReturn:
    """Become the generator's server, which shows the site at `address`, and again whenever a page changes."""
    for fault in nav.faults(root / "mkdocs.yml", root / "docs"):
        print(f"[docs] {fault}", flush=True)
    command = [*_ZENSICAL, "serve", "-f", str(root / "mkdocs.yml"), "--dev-addr", address]
    os.execve(sys.executable, command, _environment())  # noqa: S606 - no shell is the point


def _environment() -> dict[str, str]:
    """The generator imports our extension from this folder."""
    return os.environ | {"PYTHONPATH": str(ROOT / "scripts"), "NO_COLOR": "1"}


def main(arguments: list[str]) -> int:
    """Do what the command line says; return 0 if the site is without faults."""
    parser = argparse.ArgumentParser(prog="scripts/docs", description="Make the documentation site, or serve it.")
    parser.add_argument("action", nargs="?", choices=("build", "serve"), default="build")
    parser.add_argument("--address", default="127.0.0.1:8000", help="where to serve it [default: %(default)s]")
    options = parser.parse_args(arguments)
    if options.action == "serve":
        serve(ROOT, options.address)
    started = time.monotonic()
    faults = build(ROOT)
    for fault in faults:
        print(f"[docs] {fault}", flush=True)
    what = "failed" if faults else f"build/site, open {ROOT / 'build' / 'site' / 'index.html'}"
    print(f"[docs] {what}, {time.monotonic() - started:.1f} s", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        raise SystemExit(130) from None
