"""Operations that are sent while the one before is still being looked at."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
import redis

from sojourn import SessionCorrupt, Settings, StoreUnavailable
from sojourn.embedded import RedisServer
from sojourn.operations.core import Operation, call, raise_for
from sojourn_worker.redis_link import RedisLink


def link_to(url: str, **settings: Any) -> RedisLink:
    """Return a link of these settings."""
    return RedisLink(Settings(redis_url=url, **settings))


def command(*words: str | int) -> Operation[Any]:
    """Return an operation of one command; its result is the reply."""

    def parse(replies: list[Any]) -> Any:
        raise_for(replies[0], "-", "-")
        return replies[0]

    return Operation((words,), parse)


@pytest.mark.parametrize("connections", [1, 2])
def test_each_has_its_own_result(any_redis_url: str, connections: int) -> None:
    """In turn, also of those that were added meanwhile; one that fails is in nobody's way, nor too few connections."""
    link = link_to(any_redis_url, max_connections=connections)
    key = f"{{ahead}}:{connections}"
    waiting = deque([(1, command("INCR", key)), (2, command("LPUSH", key, 1)), (3, command("INCR", key))])
    found: list[Any] = []
    for name, result in link.run_ahead(waiting):
        try:
            found.append((name, result()))
        except SessionCorrupt as error:
            found.append((name, type(error).__name__))
        if name == 3:
            waiting.extend([(4, command("INCR", key)), (5, command("INCR", key))])
    assert found == [(1, 1), (2, "SessionCorrupt"), (3, 2), (4, 3), (5, 4)]
    link.run(command("DEL", key))
    link.close()


def test_a_script_that_redis_does_not_know(any_redis_url: str) -> None:
    """It is sent along, as to other calls."""
    link = link_to(any_redis_url)
    with redis.Redis.from_url(any_redis_url) as plain:
        plain.script_flush()
    operation = call("trim_events", ["{ahead}:events"], [1, 1], lambda reply: reply)
    replies = [result() for _, result in link.run_ahead(deque([(1, operation), (2, operation)]))]
    assert replies[0] == replies[1]
    assert not isinstance(replies[0], Exception)
    link.close()


def test_what_is_under_way_when_redis_goes(own_redis: Callable[..., RedisServer]) -> None:
    """It is told once; then the connections are made anew, and no reply is taken for another's."""
    server = own_redis()
    link = link_to(server.url)
    link.run(command("SET", "k", "v"))
    waiting = deque((number, command("GET", "k")) for number in range(4))
    with pytest.raises(StoreUnavailable):  # noqa: PT012
        for number, result in link.run_ahead(waiting):
            assert result() == "v"
            if number == 1:
                server.kill()
    server.restart()
    assert link.run(command("PING")) == "PONG"
    assert len(link._lines._free) == 2
    link.close()


def test_who_stops_looking(any_redis_url: str) -> None:
    """What was under way is nobody's then."""
    link = link_to(any_redis_url)
    for name, _ in link.run_ahead(deque([(1, command("ECHO", "one")), (2, command("ECHO", "two"))])):
        assert name == 1
        break
    assert [link.run(command("ECHO", each)) for each in ("three", "four", "five")] == ["three", "four", "five"]
    link.close()


def counted(link: RedisLink, key: str, times: int) -> list[int]:
    """Return what increments of a key give, one sent ahead of the other."""
    return [result() for _, result in link.run_ahead(deque((each, command("INCR", key)) for each in range(times)))]


def test_a_connection_that_redis_closed_as_idle(own_redis: Callable[..., RedisServer]) -> None:
    """Only what goes ahead uses the second one, so it may be idle for long; nothing is lost or done twice over it."""
    server = own_redis()
    link = link_to(server.url)
    assert counted(link, "k", 3) == [1, 2, 3]
    first, second = (each.connection._sock.getsockname() for each in link._lines._free)
    with redis.Redis.from_url(server.url, decode_responses=True) as plain:
        plain.client_kill("{}:{}".format(*first))
    assert counted(link, "k", 3) == [4, 5, 6]
    assert [each.connection._sock.getsockname() for each in link._lines._free].count(second) == 1
    link.close()


def test_no_room_for_a_second_connection(own_redis: Callable[..., RedisServer]) -> None:
    """Redis has as many clients as it may have: each operation waits for the one before."""
    server = own_redis()
    link = link_to(server.url)
    link.run(command("PING"))
    with redis.Redis.from_url(server.url) as plain:
        plain.config_set("maxclients", 2)
        assert counted(link, "k", 3) == [1, 2, 3]
        plain.config_set("maxclients", 100)
    assert counted(link, "k", 2) == [4, 5]
    assert len(link._lines._free) == 2
    link.close()
