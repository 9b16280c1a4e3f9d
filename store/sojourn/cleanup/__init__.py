"""Cleaning up for services that run no worker: runs, their reports, and a scheduler."""

from sojourn.cleanup.report import CleanupFailure, CleanupReport, DueReport

__all__ = ["CleanupFailure", "CleanupReport", "DueReport"]
