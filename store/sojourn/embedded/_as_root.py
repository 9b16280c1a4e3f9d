"""How PostgreSQL, which refuses to run as root, is run by an owner who is root (as in most containers).

First choice: a user namespace (see ``_guard.enter_namespace``), which changes no file. Where the kernel
refuses that: as the system user ``postgres`` or ``nobody``, who must then own the data and be able to reach
it and the binaries.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

from sojourn.embedded import _guard
from sojourn.embedded.errors import ServerFailed

__all__ = ["choose_user", "give_to", "reachable_copy"]


@functools.cache
def _namespaces_work() -> bool:
    probe = [sys.executable, "-I", str(_guard.__file__), "probe"]
    return subprocess.run(probe, check=False).returncode == 0  # noqa: S603 - our own interpreter and file


def choose_user() -> str:
    """Return who runs PostgreSQL: ``self``, ``namespace`` or ``uid:gid`` (the words of ``_guard.Spec.user``).

    Raises:
        ServerFailed: we are root, and there is nobody else to run as.
    """
    if os.geteuid() != 0:
        return "self"
    if _namespaces_work():
        return "namespace"
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return f"{entry.pw_uid}:{entry.pw_gid}"
    raise ServerFailed("PostgreSQL refuses to run as root, and there is no user `postgres` or `nobody` to run it as")


def give_to(user: str, directory: Path) -> None:
    """Make ``directory`` belong to ``user`` ("uid:gid") and reachable for that user.

    Folders above it that lie in the temporary folder are opened for passing through (not for listing).

    Raises:
        ServerFailed: a folder above it is closed to other users.
    """
    uid, gid = map(int, user.split(":"))
    temporary = Path(tempfile.gettempdir()).resolve()
    for parent in _closed_parents(directory):
        if temporary not in (parent, *parent.parents):
            raise ServerFailed(
                "PostgreSQL refuses to run as root, and the user it would run as cannot reach "
                f"{directory}, because {parent} is closed to others: use a folder below {temporary}, "
                "or do not run as root"
            )
        parent.chmod(stat.S_IMODE(parent.stat().st_mode) | stat.S_IXGRP | stat.S_IXOTH)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def reachable_copy(package: Path, install: Path, target: Path) -> Path:
    """Return ``install``, or where other users cannot reach it, a copy of it below ``target`` (40 MB).

    ``package`` is the installed package that ``install`` is a part of; its shared libraries lie beside it.
    """
    if not _closed_parents(install / "bin"):
        return install
    copy = target / package.name / install.name
    if not copy.exists():
        libraries = package.parent / f"{package.name}.libs"
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name, symlinks=True, dirs_exist_ok=True)
        unfinished = copy.with_name(f"{copy.name}.unfinished")
        shutil.copytree(install, unfinished, symlinks=True, dirs_exist_ok=True)
        unfinished.rename(copy)
    return copy


def _closed_parents(path: Path) -> list[Path]:
    return [parent for parent in path.parents if not parent.stat().st_mode & stat.S_IXOTH]
