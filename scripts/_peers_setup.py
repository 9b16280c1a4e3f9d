"""The environments in which other session stores run: made once in a cache folder, never in ours."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from _bootstrap import BootstrapError, Environment, call

__all__ = ["PEERS", "Node", "PeerEnvironment", "cache_folder"]

PEERS: Final = Path(__file__).resolve().parent / "peers"


def cache_folder() -> Path:
    """Where they are kept: `SOJOURN_CACHE`, else `sojourn` in the user's cache folder."""
    named = os.environ.get("SOJOURN_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "sojourn"


class PeerEnvironment(Environment):
    """A virtual environment with what `peers/requirements.txt` names; what cannot be installed is left out."""

    def __init__(self, path: Path) -> None:
        super().__init__(PEERS, path)

    def _base(self) -> str:
        return f"{sys.version} {self.path}"

    def _refuse_another_checkouts(self) -> None:
        """Nothing of a checkout is in it: all may use it."""

    def _project(self) -> str:
        return hashlib.sha256((PEERS / "requirements.txt").read_bytes()).hexdigest()

    def _install_wanted(self, pip: list[str], groups: list[str]) -> None:
        try:
            call("install the other session stores", [*pip, "-r", str(PEERS / "requirements.txt")])
        except BootstrapError:
            # One by one, so that the others are there. Who lacks its packages is told of by its adapter.
            for line in (PEERS / "requirements.txt").read_text("utf-8").splitlines():
                if line and not line.startswith("#"):
                    subprocess.run([*pip, line], check=False)  # noqa: S603 - our own command


class Node:
    """A folder with what `peers/package.json` names.

    Raises:
        BootstrapError: Node or npm is not there, or the installation failed.
    """

    def __init__(self, path: Path) -> None:
        node, npm = shutil.which("node"), shutil.which("npm")
        if node is None or npm is None:
            raise BootstrapError("there is no Node with npm on PATH")
        self.node = node
        self.path = path
        wanted = (PEERS / "package.json").read_bytes()
        done = path / "installed.json"
        if not done.exists() or done.read_bytes() != wanted:
            path.mkdir(parents=True, exist_ok=True)
            (path / "package.json").write_bytes(wanted)
            call(
                "install connect-redis", [npm, "install", "--prefix", str(path), "--no-audit", "--no-fund", "--silent"]
            )
            done.write_bytes(wanted)
