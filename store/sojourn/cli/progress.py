"""Progress bars, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sojourn.cli.terminal import into_file

__all__ = ["bar", "counted"]

T = TypeVar("T")


@contextmanager
def bar(what: str, unit: str = "rows", *, quiet: bool = False) -> Iterator[Callable[..., None] | None]:
    """A progress bar; None where stderr is no terminal, or `quiet`.

    The function is told how many are done, of how many, and if that changes on the way, of what.
    """
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    counts = DownloadColumn() if unit == "bytes" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counts, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task(what, total=None)

        def tell(done: int, total: int | None, stage: str | None = None) -> None:
            drawn.update(task, completed=done, total=total, description=stage)

        yield tell


def counted(items: Iterable[T], what: str, unit: str = "rows", *, quiet: bool = False) -> Iterator[T]:
    """The same things, with a bar that counts them as they go into a file; elsewhere they tell of themselves."""
    with bar(what, unit, quiet=quiet or not into_file()) as progress:
        for count, each in enumerate(items, 1):
            yield each
            if progress is not None:
                progress(count, None)
