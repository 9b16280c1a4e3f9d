"""The work of the main job: find packages, read their files, and keep a session for each."""

from __future__ import annotations

import ast
import json
import os
import signal
import stat
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import Queue
from pathlib import Path
from typing import Final

from sojourn import DocumentationSession, Note, SessionStore
from sojourn.limits import Limits

__all__ = ["Done", "Package", "document", "packages_under", "shown"]

_ABANDONED_TTL_S = 1.0
_LIMITS: Final = Limits()
_UNREADABLE: Final = (OSError, SyntaxError, ValueError, RecursionError, MemoryError)
"""What other people's files may raise: away or not for us, not Python, or nested too deeply to be parsed."""
_SKIPPED = {"site-packages", "dist-packages", "__pycache__", "node_modules"}


@dataclass(frozen=True)
class Package:
    """One package: a folder with an ``__init__.py``, and the files right in it."""

    name: str
    files: tuple[str, ...]
    abandoned: bool
    """Whether its writer walks away in the middle."""


@dataclass
class Done:
    """What was done, as the writers saw it."""

    statuses: dict[str, int] = field(default_factory=dict)
    notes: int = 0
    processed: int = 0
    failed: int = 0
    documented: int = 0
    undocumented: int = 0

    def add(self, other: Done) -> None:
        """Add another writer's work."""
        for status, count in other.statuses.items():
            self.statuses[status] = self.statuses.get(status, 0) + count
        for name in ("notes", "processed", "failed", "documented", "undocumented"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def packages_under(root: Path) -> list[Package]:
    """Every package under `root`, in order of path; every tenth will be abandoned."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for folder, below, names in os.walk(root):
        below[:] = sorted(each for each in below if each not in _SKIPPED and not each.startswith("."))
        if "__init__.py" in names and _is_file(Path(folder, "__init__.py")):
            paths = [Path(folder, name) for name in sorted(names) if name.endswith(".py")]
            relative = Path(folder).relative_to(root)
            found.append((".".join(relative.parts) or root.name or str(root), tuple(map(str, filter(_is_file, paths)))))
    return [Package(name, files, index % 10 == 9) for index, (name, files) in enumerate(found)]


def _is_file(path: Path) -> bool:
    """Whether it is a regular file, or leads to one: a FIFO would have its reader wait for ever."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False  # a link to nowhere, or to itself


def shown(name: str) -> str:
    r"""A file's name as text: bytes that are not UTF-8, and characters that are not for print, as escapes.

    Example:
        >>> shown("a\udcff\n")
        'a\\xff\\n'
    """
    return "".join(each if each.isprintable() else _escaped(each) for each in name)


def _escaped(character: str) -> str:
    if character.isascii():
        return character.encode("unicode_escape").decode()
    # A byte that the file system's encoding does not know, or a character of several.
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def _size(name: str) -> int:
    return len(json.dumps(name)) + len(", ")


def as_fits(names: Sequence[str], at_most: int = _LIMITS.field_bytes) -> tuple[str, ...]:
    """As many of these names as one field can hold."""
    size = len("[]")
    for index, name in enumerate(names):
        size += _size(name)
        if size > at_most:
            return tuple(names[:index])
    return tuple(names)


def document(config: str, packages: list[Package], told: Queue[tuple[int, Done | None]]) -> None:
    """One writer process: document these packages; tells how many files it did, and at last what it did."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    os.environ["SOJOURN_CONFIG"] = config
    done = Done()
    with SessionStore(model=DocumentationSession, actor=f"writer-{os.getpid()}") as store:
        for package in packages:
            for _ in _document_one(store, package, done):
                told.put((1, None))
    told.put((0, done))


def _document_one(store: SessionStore[DocumentationSession], package: Package, done: Done) -> Iterator[None]:
    session = store.create(
        workspace_id="packages",
        module_name=shown(package.name).encode()[: _LIMITS.indexed_bytes].decode(errors="ignore"),
        file_paths=as_fits([shown(path) for path in package.files]),
        total_files=len(package.files),
        client_type="scripts/run",
        tags=["abandoned"] if package.abandoned else [],
    )
    store.update(session.id, version=session.version, status="in_progress")
    files = package.files[: len(package.files) // 2] if package.abandoned else package.files
    totals = {"documented": 0, "undocumented": 0}
    room = _LIMITS.field_bytes - len("[]")
    for index, path in enumerate(files):
        name = shown(path)
        store.update(session.id, current_file=name)
        try:
            counted = count_docstrings(Path(path))
        except _UNREADABLE as error:
            status = f"cannot be parsed: {type(error).__name__}"
            room -= _size(name)
            if room >= 0:
                store.mutate(session.id, partial(_with_failed, name))
                done.failed += 1
        else:
            status = f"{counted['documented']} documented, {counted['undocumented']} not"
            for key, count in counted.items():
                totals[key] += count
        if index < _LIMITS.log_entries:
            note = Note(file_path=name, status=status, created_at=datetime.now(UTC))
            store.append(session.id, DocumentationSession.notes, note)
            done.notes += 1
        store.increment(session.id, processed_files=1)
        done.processed += 1
        yield
    with store.editing(session.id) as draft:
        draft.metadata = totals
        draft.current_file = None
    done.documented += totals["documented"]
    done.undocumented += totals["undocumented"]
    if package.abandoned:
        store.set_ttl(session.id, _ABANDONED_TTL_S)
        status = "expired"
    else:
        status = store.complete(session.id, reason="all files read").status.value
    done.statuses[status] = done.statuses.get(status, 0) + 1


def _with_failed(path: str, session: DocumentationSession) -> dict[str, tuple[str, ...]]:
    return {"failed_files": (*session.failed_files, path)}


def count_docstrings(path: Path) -> dict[str, int]:
    """How many public definitions of a file have a docstring, and how many do not.

    Raises:
        OSError: it cannot be read.
        SyntaxError, ValueError, RecursionError, MemoryError: it is not Python that this interpreter can parse.
    """
    with tokenize.open(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in other people's files
        tree = ast.parse(file.read(), filename=str(path))
    counted = {"documented": 0, "undocumented": 0}
    for node in _public(tree):
        counted["documented" if ast.get_docstring(node, clean=False) else "undocumented"] += 1
    return counted


Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def _public(tree: ast.Module) -> Iterator[Definition]:
    """The module, and its functions, classes and methods whose names do not begin with an underscore."""
    yield tree
    bodies = [tree.body]
    while bodies:
        for node in bodies.pop():
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node.name[0] != "_":
                yield node
                if isinstance(node, ast.ClassDef):
                    bodies.append(node.body)
