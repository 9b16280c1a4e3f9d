"""The lines for a shell that show what was read. No password is in them: the servers' URLs are in the environment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from redis.connection import parse_url

from sojourn.operations.core import Argument
from sojourn.settings import Settings

__all__ = ["RedisCli", "psql", "quoted"]

_PRINTABLE: Final = re.compile("[\x20-\x7e\u00a1-\u1fff\u2c00-\ud7ff\uf900-\ufefe\U00010000-\U000dffff]*")
"""What a terminal shows as it is; other characters may be invisible, or steer it."""


def quoted(text: str) -> str:
    r"""A word for a shell, whatever is in it; what cannot be shown as escapes, which bash, zsh and ksh read.

    Example:
        >>> print(quoted("plain"), quoted("a b$c"), quoted(chr(27) + "[31m"))
        plain 'a b$c' $'\x1b[31m'
    """
    if _PRINTABLE.fullmatch(text):
        return shlex.quote(text)
    escaped = []
    for character in text:
        if character in "\\'":
            escaped.append("\\" + character)
        elif _PRINTABLE.fullmatch(character):
            escaped.append(character)
        else:
            escaped += [f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")]
    # After an escape in hexadecimal some shells would take a further digit for a part of it.
    joined = "".join(escaped)
    return "$'" + re.sub(r"(\\x[0-9a-f]{2})(?=[0-9a-fA-F])", r"\1'$'", joined) + "'"


@dataclass(frozen=True)
class RedisCli:
    """How ``redis-cli`` reaches a Redis: by a URL that a variable of the environment holds."""

    reach: str

    @classmethod
    def of(cls, settings: Settings) -> RedisCli:
        """The sessions' Redis."""
        return cls(_reach(settings.redis_url, "SOJOURN_REDIS_URL"))

    @classmethod
    def of_queues(cls, settings: Settings) -> RedisCli:
        """The queues' Redis."""
        return cls.of(settings) if settings.queue_url is None else cls(_reach(settings.queue_url, "SOJOURN_QUEUE_URL"))

    def line(self, command: Iterable[Argument]) -> str:
        """The line that sends a command."""
        return f"redis-cli {self.reach} " + " ".join(quoted(str(each)) for each in command)


def _reach(url: str, variable: str) -> str:
    found: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    database = int(found.get("db") or 0)
    if urlsplit(url).scheme == "unix":
        user = f"--user {quoted(found['username'])} " if found.get("username") else ""
        return f"-s {quoted(found['path'])} {user}-n {database}"  # the password goes into REDISCLI_AUTH
    return f'-u "${variable}" -n {database}'


def psql(statement: str) -> str:
    """The line that runs a statement in the archive."""
    plain = not any(each in statement for each in '"$`\\!') and _PRINTABLE.fullmatch(statement)
    return 'psql -X "$SOJOURN_ARCHIVE_URL" -c ' + (f'"{statement}"' if plain else quoted(statement))
