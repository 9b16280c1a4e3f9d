"""Records that other hands wrote into: each call tells a session, or that it is damaged."""

from __future__ import annotations

from typing import Any, Final

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.hostile import TEXTS
from tests.fuzz.models import EverySession
from tests.fuzz.oracle import check_error
from tests.fuzz.profile import examples

from sojourn import SessionStore, Settings
from sojourn.codec import codec_for

_NAMES: Final = sorted(each.stored_as for each in codec_for(EverySession).fields.values())
_BYTES: Final = st.binary(max_size=40) | st.sampled_from([each for each in TEXTS if isinstance(each, str)]).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
_CALLS: Final = {
    "get": lambda store, id_: store.get(id_),
    "get_many": lambda store, id_: store.get_many([id_]),
    "list": lambda store, _: store.list(),
    "count": lambda store, _: store.count(),
    "update": lambda store, id_: store.update(id_, text="new"),
    "mutate": lambda store, id_: store.mutate(id_, lambda _: {"text": "new"}),
    "increment": lambda store, id_: store.increment(id_, attempts=1),
    "append": lambda store, id_: store.append(id_, EverySession.lines, "x"),
    "entries": lambda store, id_: store.entries(id_, EverySession.lines),
    "touch": lambda store, id_: store.touch(id_),
    "set_ttl": lambda store, id_: store.set_ttl(id_, 60),
    "rotate_id": lambda store, id_: store.rotate_id(id_),
    "issue": lambda store, id_: store.tokens.issue(id_),
    "complete": lambda store, id_: store.complete(id_),
    "delete": lambda store, id_: store.delete(id_),
    "usage": lambda store, _: store.usage(),
}


@pytest.mark.parametrize("call", _CALLS)
@given(wrong=st.dictionaries(st.sampled_from(_NAMES), _BYTES | st.none(), min_size=1, max_size=3))
@examples(25)
def test_fields_that_other_hands_wrote(fuzz_settings: Settings, call: str, wrong: dict[str, bytes | None]) -> None:
    """An error of the tree, or a result; never an exception of another kind."""
    with (
        SessionStore(settings=fuzz_settings, model=EverySession) as store,
        redis.Redis.from_url(fuzz_settings.redis_url) as raw,
    ):
        raw.flushdb()
        made = store.create(text="first", labels=["x"])
        store.append(made.id, EverySession.lines, "one")
        key = store._context.keys.session(made.id)
        for name, value in wrong.items():
            raw.hdel(key, name) if value is None else raw.hset(key, name, value)
        attempt: Any = _CALLS[call]
        try:
            attempt(store, made.id)
        except Exception as error:  # noqa: BLE001 - it is what is looked for
            check_error(error)


@pytest.mark.parametrize("kind", ["string", "list", "set", "zset"])
def test_keys_of_another_type(fuzz_settings: Settings, kind: str) -> None:
    """So is a record that is no hash."""
    with (
        SessionStore(settings=fuzz_settings, model=EverySession) as store,
        redis.Redis.from_url(fuzz_settings.redis_url) as raw,
    ):
        commands: dict[str, Any] = {
            "string": lambda name: raw.set(name, "x"),
            "list": lambda name: raw.rpush(name, "x"),
            "set": lambda name: raw.sadd(name, "x"),
            "zset": lambda name: raw.zadd(name, {"x": 1}),
        }
        for attempt in _CALLS.values():
            raw.flushdb()
            made = store.create(text="first")
            key = store._context.keys.session(made.id)
            raw.delete(key)
            commands[kind](key)
            try:
                attempt(store, made.id)  # type: ignore[no-untyped-call]
            except Exception as error:  # noqa: BLE001
                check_error(error)
