"""Set up the project's virtual environment and go on in it: what every command in this folder does first.

Needs nothing but Python 3.11 or later with venv and pip. The environment is `.venv` in the project's root, or
`SOJOURN_VENV`. It is made once; later runs compare a stamp and start at once. Two runs at once wait for each
other.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["BootstrapError", "Environment", "call", "run", "venv_path"]

ROOT = Path(__file__).resolve().parent.parent
_OLDEST = (3, 11)
_EXTRAS = "worker,embedded"
# --group came with pip 25.1.
_PIP = "pip>=25.1"
# Marks a folder as ours before anything else is in it, and is the lock; other folders are never touched.
_MARKER = "made-by-sojourn-scripts"
_STAMP = "sojourn-stamp.json"


class BootstrapError(Exception):
    """The environment cannot be made; the message says why, in words for the user."""


class Stamp(NamedTuple):
    """What a complete environment was made from; it is written last."""

    base: str
    project: str
    groups: list[str]


class Environment:
    """The virtual environment at ``path`` for the project at ``root``.

    Example: ``Environment(ROOT, ROOT / ".venv").ensure(groups=["dev"])``
    """

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.path = path

    @property
    def python(self) -> Path:
        """The interpreter inside."""
        return self.path / "bin" / "python"

    def ensure(self, groups: Iterable[str] = ()) -> None:
        """Make or refresh the environment where its stamp does not fit; ``groups`` are dependency groups.

        Raises:
            BootstrapError: a folder that is not ours is in the way, or an installation failed.
        """
        wanted = sorted(groups)
        if self.fits(wanted):
            return
        with self._locked():
            if self.fits(wanted):
                return  # whom we waited for made it
            installed = self._installed_groups()
            if installed is None:
                self._refuse_another_checkouts()
                self._create()
            self._install(sorted({*wanted, *(installed or [])}))

    def fits(self, groups: Iterable[str]) -> bool:
        """Whether the environment is complete and made from what is there now, with at least these groups."""
        stamp = self._read_stamp()
        return (
            stamp is not None
            and stamp.base == self._base()
            and stamp.project == self._project()
            and set(groups) <= set(stamp.groups)
            and self.python.exists()
        )

    def _installed_groups(self) -> list[str] | None:
        """Return the groups of a usable environment; None for one that has to be made anew."""
        stamp = self._read_stamp()
        if stamp is None or stamp.base != self._base() or not self.python.exists():
            return None
        return stamp.groups

    def _refuse_another_checkouts(self) -> None:
        """Leave alone what a checkout that is still there uses: its programs may be running."""
        stamp = self._read_stamp()
        of = stamp.base.removeprefix(f"{sys.version} ").removesuffix(f" {self.path}") if stamp else ""
        if of and Path(of).is_dir() and Path(of) != self.root:
            raise BootstrapError(f"{self.path} belongs to the checkout {of}: name another folder in SOJOURN_VENV")

    def _base(self) -> str:
        """Return what an environment cannot outlive: the interpreter's version, the paths written into it."""
        return f"{sys.version} {self.root} {self.path}"

    def _project(self) -> str:
        return hashlib.sha256((self.root / "pyproject.toml").read_bytes()).hexdigest()

    def _read_stamp(self) -> Stamp | None:
        try:
            values = json.loads((self.path / _STAMP).read_text("utf-8"))
            return Stamp(base=str(values["base"]), project=str(values["project"]), groups=list(values["groups"]))
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None  # no environment, or a half-made one

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if self.path.exists() and any(self.path.iterdir()) and not (self.path / _MARKER).exists():
            raise BootstrapError(
                f"{self.path} was not made by these scripts: move it away, or name another folder in SOJOURN_VENV"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        # The kernel frees the lock with its holder, however that ends.
        with (self.path / _MARKER).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _say(f"waiting for another run that sets up {self.path}")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _create(self) -> None:
        for path in self.path.iterdir():
            if path.name == _MARKER:
                continue  # it is the lock that we hold
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        call("make a virtual environment", [sys.executable, "-m", "venv", str(self.path)])

    def _install(self, groups: list[str]) -> None:
        # Without a stamp it counts as half-made, should this be interrupted.
        (self.path / _STAMP).unlink(missing_ok=True)
        pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        self._install_wanted(pip, groups)
        stamp = Stamp(self._base(), self._project(), groups)._asdict()
        unfinished = self.path / f"{_STAMP}.unfinished"
        unfinished.write_text(json.dumps(stamp), "utf-8")
        unfinished.replace(self.path / _STAMP)

    def _install_wanted(self, pip: list[str], groups: list[str]) -> None:
        if groups:
            call("update pip", [*pip, "--upgrade", _PIP])
        wanted = ["-e", f"{self.root}[{_EXTRAS}]"]
        for group in groups:
            wanted += ["--group", f"{self.root / 'pyproject.toml'}:{group}"]
        call("install the project", [*pip, *wanted])


def run(program: str | Path, *, groups: Iterable[str] = ()) -> None:
    """Set up the environment and become ``program`` (a file in this folder) in it, with our own arguments.

    The process is replaced, so signals go straight to the program. Does not return; ends with status 2 and
    one line on stderr where the environment cannot be made.

    Example: ``run("_check.py", groups=["dev"])``
    """
    try:
        environment = Environment(ROOT, venv_path(os.environ))
        environment.ensure(groups)
    except BootstrapError as error:
        print(f"sojourn: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    python = str(environment.python)
    sys.stdout.flush()
    os.execv(python, [python, str(ROOT / "scripts" / program), *sys.argv[1:]])  # noqa: S606 - no shell is the point


def venv_path(environ: Mapping[str, str]) -> Path:
    """Return where the environment belongs: ``SOJOURN_VENV``, else ``.venv`` in the root.

    Raises:
        BootstrapError: this Python is too old.
    """
    if sys.version_info < _OLDEST:
        raise BootstrapError(f"needs Python 3.11 or later, and {sys.executable} is {sys.version.split()[0]}")
    return Path(environ.get("SOJOURN_VENV") or ROOT / ".venv").expanduser().resolve()


def call(what: str, command: list[str]) -> None:
    """Run a command that sets something up.

    Raises:
        BootstrapError: it failed.
    """
    _say(what)
    started = time.monotonic()
    status = subprocess.run(command, check=False).returncode  # noqa: S603 - our own command
    if status != 0:
        raise BootstrapError(f"could not {what} (status {status}): {' '.join(command)}")
    _say(f"{what}: {time.monotonic() - started:.1f} s")


def _say(text: str) -> None:
    print(f"[setup] {text}", file=sys.stderr, flush=True)
