"""Progress bars, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["bar"]


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
