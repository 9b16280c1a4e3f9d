"""URLs of a Redis: redis-py's own, and ``redis+sentinel://`` for a Redis whose place sentinels know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

import redis
import redis.asyncio
import redis.asyncio.sentinel
import redis.sentinel

__all__ = ["asynchronous_pool", "by_sentinel", "pool", "url_options"]

_SCHEMES: Final = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_PORT: Final = 26379
_OWN: Final = "sentinel_"
"""What parameters of the connections to sentinels begin with."""


@dataclass(frozen=True)
class _Sentinels:
    service: str
    """The name under which they know the Redis."""
    addresses: tuple[tuple[str, int], ...]
    login: dict[str, Any]


def by_sentinel(url: str) -> bool:
    """Whether sentinels tell where the Redis of a URL is.

    Example:
        >>> by_sentinel("redis+sentinel://a:26379,b:26379/main/0"), by_sentinel("redis://a")
        (True, False)
    """
    return urlsplit(url).scheme in _SCHEMES


def pool(url: str, **options: Any) -> redis.ConnectionPool:
    """A pool of connections to the Redis of a URL.

    Raises:
        ValueError: it is none, or an option's value is no good.
    """
    found: redis.ConnectionPool = _pool(url, options, redis.ConnectionPool, redis.sentinel)
    return found


def asynchronous_pool(url: str, **options: Any) -> redis.asyncio.ConnectionPool:
    """The same for redis-py's asynchronous connections."""
    found: redis.asyncio.ConnectionPool = _pool(url, options, redis.asyncio.ConnectionPool, redis.asyncio.sentinel)
    return found


def _pool(url: str, options: dict[str, Any], pools: Any, by_sentinels: Any) -> Any:
    plain, sentinels = _parsed(url)
    found = pools.from_url(plain, **options)
    if sentinels is None:
        return found
    given = {name: value for name, value in found.connection_kwargs.items() if name not in ("host", "port")}
    tls = plain.startswith("rediss:")
    # Sentinels are reached in the same way as Redis, with a login of their own.
    shared = {name: value for name, value in given.items() if name.startswith(("socket_", "ssl_", "retry"))}
    asked = by_sentinels.Sentinel(sentinels.addresses, sentinel_kwargs={**shared, **sentinels.login, "ssl": tls})
    return by_sentinels.SentinelConnectionPool(sentinels.service, asked, ssl=tls, **given)


def url_options(url: str) -> dict[str, Any]:
    """What a URL says of the connections: host, port, path, db and so on; of sentinels, the first one's address."""
    return dict(redis.ConnectionPool.from_url(_parsed(url)[0]).connection_kwargs)


def _parsed(url: str) -> tuple[str, _Sentinels | None]:
    """A URL that redis-py takes, and where sentinels are, if they are to be asked.

    Raises:
        ValueError: it names no service, or an address is no good.
    """
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        return url, None
    user, at, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("the URL names no service: redis+sentinel://host:26379,host:26379/service/db")
    addresses = tuple(_address(each) for each in hosts.split(","))
    query = parse_qsl(parts.query, keep_blank_values=True)
    login = {name.removeprefix(_OWN): value for name, value in query if name.startswith(_OWN)}
    if not login.keys() <= {"username", "password"}:
        raise ValueError("of sentinels there are sentinel_username and sentinel_password")
    rest = urlencode([(name, value) for name, value in query if not name.startswith(_OWN)])
    plain = urlunsplit((_SCHEMES[parts.scheme], f"{user}{at}{hosts.split(',')[0]}", database, rest, ""))
    return plain, _Sentinels(unquote(service), addresses, login)


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a sentinel's address is host:port")
    return parts.hostname, parts.port or _PORT
