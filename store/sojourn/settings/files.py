"""The settings file: which one it is."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["config_file"]


def config_file() -> Path:
    """``sojourn.yaml`` in the working directory, or what ``SOJOURN_CONFIG`` names."""
    return Path(os.environ.get("SOJOURN_CONFIG", "sojourn.yaml"))
