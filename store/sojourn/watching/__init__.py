"""Following what happens to sessions, as it happens, without taking it from anybody."""

from sojourn.watching.watcher import Notice, Wanted, Watch

__all__ = ["Notice", "Wanted", "Watch"]
