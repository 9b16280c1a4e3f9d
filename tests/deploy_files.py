"""Where the files under `deploy/` are, and the programs of Prometheus that check them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

__all__ = ["DEPLOY", "RULES", "load", "program"]

DEPLOY: Final = Path(__file__).parents[1] / "deploy"
RULES: Final = DEPLOY / "prometheus" / "sojourn.rules.yml"


def load(path: Path) -> Any:
    """Read YAML, of which JSON is a part."""
    return yaml.safe_load(path.read_text())


def program(name: str) -> str:
    """Find `promtool` or `prometheus`, on PATH or in the folder that SOJOURN_PROMETHEUS names; skip where it is not."""
    places = os.pathsep.join(filter(None, [os.environ.get("SOJOURN_PROMETHEUS"), os.environ.get("PATH")]))
    found = shutil.which(name, path=places)
    if found is None:
        pytest.skip(
            f"{name} is not installed (Debian: apt install prometheus; or name its folder in SOJOURN_PROMETHEUS)"
        )
    return found
