"""Cleaning up for services that run no worker: runs, their reports, and a scheduler."""

from sojourn.cleanup.report import CleanupFailure, CleanupReport, DueReport
from sojourn.cleanup.schedule import CleanupScheduler

__all__ = ["CleanupFailure", "CleanupReport", "CleanupScheduler", "DueReport"]
