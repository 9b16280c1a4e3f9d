"""``python -m sojourn_worker ROLE``: one role in this process."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from sojourn.errors import SettingsError
from sojourn.settings import Settings, load_settings
from sojourn_worker import config
from sojourn_worker.lifeline import end_with_stdin
from sojourn_worker.supervise import ROLES, run_role

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one role; the exit code."""
    parser = argparse.ArgumentParser(prog="sojourn_worker", description="One of Sojourn's worker roles.")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--supervised", action="store_true", help="take settings from, and end with, standard input")
    given = parser.parse_args(arguments)
    try:
        settings = _from_supervisor() if given.supervised else load_settings()
        return run_role(given.role, settings, alone=not given.supervised)
    except SettingsError as error:
        print(f"sojourn_worker: {error}", file=sys.stderr)  # there are no settings that say how to log
        return 2


def _from_supervisor() -> Settings:
    # Unbuffered, so that nothing after the line is read ahead.
    with os.fdopen(os.dup(0), "rb", buffering=0) as pipe:
        line = pipe.readline()
    if not line:
        raise SettingsError("the supervisor was gone before it told the settings")
    settings = config.from_line(line)
    end_with_stdin(settings.drain_timeout)
    return settings


if __name__ == "__main__":
    sys.exit(main())
