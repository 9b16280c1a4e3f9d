"""``python -m sojourn.embedded FOLDER``: a Redis and a PostgreSQL to try things on, for as long as this runs.

It prints the lines for a shell that name them, and keeps their files in the folder, for the next time.
"""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path

from sojourn.embedded import EmbeddedError, PostgresServer, RedisServer

_USAGE = 2


def main(arguments: list[str]) -> int:
    """Run both until a signal comes; return the exit code."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m sojourn.embedded FOLDER > servers.env", file=sys.stderr)
        return _USAGE
    folder = Path(arguments[0])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with (
            RedisServer.start(folder / "redis", options={"appendonly": "yes"}) as redis,
            PostgresServer.start(folder / "postgres") as postgres,
        ):
            for name, url in (("SOJOURN_REDIS_URL", redis.url), ("SOJOURN_ARCHIVE_URL", postgres.url)):
                print(f"export {name}={shlex.quote(url)}")
            sys.stdout.flush()
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except (EmbeddedError, OSError) as error:
        print(f"sojourn: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
