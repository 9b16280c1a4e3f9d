"""Logging of workers: one line for each thing that happened, with the role in it."""

from __future__ import annotations

import logging

from sojourn.settings import Settings

__all__ = ["LOG", "set_up"]

LOG = logging.getLogger("sojourn.worker")


def set_up(role: str, settings: Settings) -> None:
    """Log to standard error at the level of the settings, unless the program has set up logging itself."""
    level = settings.log_level.upper()
    line = f"%(asctime)s %(levelname)-7s {role}[%(process)d] %(message)s"
    logging.basicConfig(level=logging.WARNING, format=line)
    LOG.setLevel(level)
    # RQ tells of each of its steps, many times a second; what matters of that is told by the roles themselves.
    for name in ("rq.worker", "rq.job", "rq.queue", "rq.registry", "rq.scheduler", "rq_scheduler.scheduler"):
        logging.getLogger(name).setLevel(logging.DEBUG if level == "DEBUG" else logging.ERROR)
