"""What comes back from PostgreSQL equals what was in Redis, types included."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, ClassVar
from uuid import UUID

import psycopg
import pytest
import redis
from hypothesis import HealthCheck, example, given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue
from tests.store.archive.helpers import exactly, keys_of

from sojourn import DocumentationSession, Indexed, Log, Session, SessionStore, Settings
from sojourn.archive import Archive, archive_once
from sojourn.archive.exact import as_jsonb, from_jsonb
from sojourn.codec import Models

Query = Callable[..., list[tuple[Any, ...]]]
_SLOW = with_settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


class Colour(Enum):
    """Some colours."""

    RED = "red"
    DEEP_BLUE = "deep blue"


class Level(IntEnum):
    """Some levels."""

    LOW = 1
    HIGH = 10


class Inner(BaseModel):
    """A nested model."""

    model_config = ConfigDict(frozen=True)

    ratio: float
    price: Decimal
    moment: AwareDatetime | None = None
    more: tuple[Inner, ...] = ()
    any: JsonValue = None


class EverySession(Session, kind="every"):
    """A field of each sort."""

    text: str | None = None
    name: Annotated[str | None, Indexed()] = None
    number: int = 0
    ratio: float = 0.5
    flag: bool = False
    moment: AwareDatetime | None = None
    span: timedelta = timedelta(0)
    colour: Colour = Colour.RED
    level: Level = Level.LOW
    uid: UUID | None = None
    price: Decimal = Decimal(0)
    day: date | None = None
    inner: Inner | None = None
    several: list[Inner] = Field(default_factory=list)
    mapping: dict[str, float | int | str | None] = Field(default_factory=dict)
    ordered: OrderedDict[str, int] = Field(default_factory=OrderedDict)
    choice: int | None = 5
    blob: bytes = b""

    lines: ClassVar[Log[JsonValue]] = Log(JsonValue)
    parts: ClassVar[Log[Inner]] = Log(Inner)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6),
    st.integers(-(10**40), 10**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 0.0, -0.0, 1.0, 1e16, 1e15, 1e22, 5e-324, 0.1, -1e-7, 123456789012345678, 2**53 + 1]),
)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=None) | st.sampled_from(
    [Decimal("1.10"), Decimal("-0"), Decimal("1E+30")]
)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INNERS = st.builds(Inner, ratio=FLOATS, price=DECIMALS, moment=st.none() | MOMENTS, any=JSON)
SESSIONS = st.fixed_dictionaries(
    {},
    optional={
        "owner": TEXT.filter(lambda each: each.isprintable() and each != ""),
        "tags": st.just(["a", "b c", "ü"]),
        "metadata": st.dictionaries(TEXT, JSON, max_size=5),
        "text": st.none() | TEXT,
        "name": st.just("x:y{z}"),
        "number": st.integers(-(10**30), 10**30),
        "ratio": FLOATS,
        "flag": st.booleans(),
        "moment": MOMENTS,
        "span": st.timedeltas(timedelta(days=-1000), timedelta(days=1000)),
        "colour": st.sampled_from(Colour),
        "level": st.sampled_from(Level),
        "uid": st.uuids(),
        "price": DECIMALS,
        "day": st.dates(),
        "inner": INNERS,
        "several": st.lists(INNERS, max_size=3),
        "mapping": st.dictionaries(TEXT, st.none() | NUMBERS | TEXT, max_size=4),
        "ordered": st.lists(st.tuples(TEXT, st.integers(0, 9)), max_size=4).map(OrderedDict),
        "choice": st.none() | st.integers(),
        "blob": st.binary(max_size=20),
    },
)


@pytest.fixture
def every(settings: Settings) -> SessionStore[EverySession]:
    """Give a store of sessions with a field of each sort."""
    return SessionStore(settings=settings, model=EverySession)


@pytest.mark.no_cover  # many values
def test_sessions_come_back_as_they_were(settings: Settings, every: SessionStore[EverySession]) -> None:
    """Every sort of field, with nasty values, by a run that knows the model and by one that does not."""
    knowing, ignorant = settings.load_models(EverySession), settings.load_models()
    archive = Archive(settings, knowing)

    @given(st.lists(SESSIONS, min_size=1, max_size=8), st.booleans())
    @_SLOW
    def check(fields: list[dict[str, Any]], known: bool) -> None:
        made = every.create_many(fields)
        report = archive_once(settings, models=knowing if known else ignorant)
        assert report.damaged == 0
        assert report.sessions == len(made)
        for session in made:
            assert exactly(archive.get(session.id)) == exactly(every.get(session.id))

    check()
    every.close()


def test_entries_come_back_as_they_were(settings: Settings, every: SessionStore[EverySession]) -> None:
    """Log entries of any JSON type, strings, numbers and null among them."""
    models = settings.load_models(EverySession)
    archive = Archive(settings, models)

    @given(st.lists(JSON, min_size=1, max_size=8), st.lists(INNERS, min_size=1, max_size=3))
    @_SLOW
    def check(lines: list[Any], parts: list[Inner]) -> None:
        session = every.create()
        every.append(session.id, EverySession.lines, *lines)
        every.append(session.id, EverySession.parts, *parts)
        archive_once(settings, models=models)
        for log in (EverySession.lines, EverySession.parts):
            assert exactly(archive.entries(session.id, log)) == exactly(every.entries(session.id, log))

    check()
    every.close()


def test_events_come_back_as_they_were(settings: Settings, every: SessionStore[EverySession]) -> None:
    """Events with their changes, nasty numbers among them, in the order in which they happened."""
    session = every.create()
    for index in range(12):
        every.acting(actor=f"ada {index}", trace_id="ü").update(
            session.id, metadata={"a": [1e300, -0.0, 1.0, 10**30], "b": "\\u0000"}, text='"'
        )
    every.terminate(session.id, reason="done {}")
    told = list(every.events("check", start="oldest", timeout=0))
    archive_once(settings)
    found = Archive(settings).history(session.id)
    assert len(found) == 14
    assert [exactly(each.to_json()) for each in found] == [exactly(each.to_json()) for each in told]
    assert {type(each.at.tzinfo) for each in found} == {type(UTC)}
    every.close()


def test_other_models(settings: Settings, every: SessionStore[EverySession], raw: redis.Redis, query: Query) -> None:
    """Where no model is known, fields come back as the text that they were; core columns are there for SQL."""
    session = every.create(owner="ada", tags=["x"], text="[1, 2]", number=7, several=[Inner(ratio=1, price=Decimal(2))])
    raw.hset(keys_of().session(session.id), "surprise", "{not json")
    archive_once(settings)
    assert Archive(settings).get(session.id).model_extra == {
        name: raw.hget(keys_of().session(session.id), name)
        for name in ("text", "number", "several", "surprise", "ratio", "flag", "span_ms", "colour", "level", "price",
                     "mapping", "ordered", "choice", "blob")
    }  # fmt: skip
    assert query(
        "SELECT kind, status, version, owner, tags, ttl, data->'tags', data->>'number' FROM sojourn.sessions"
    ) == [("every", "pending", 1, "ada", ["x"], timedelta(hours=1), ["x"], "7")]


def test_known_models_can_be_queried(
    settings: Settings, store: SessionStore[DocumentationSession], query: Query
) -> None:
    """Metadata and notes are JSON to SQL, except where that would change them."""
    store.create(workspace_id="w", module_name="m", metadata={"team": {"id": 7}}, file_paths=["a", "b"])
    store.create(workspace_id="w", module_name="m", metadata={"team": {"id": 1e30}})
    archive_once(settings)
    assert query("SELECT data#>'{metadata,team,id}', data->'file_paths'->>1 FROM sojourn.sessions ORDER BY 1") == [
        (7, "b"),
        (None, None),
    ]


def _tokens(text: str) -> Any:
    return json.loads(text, parse_int=lambda digits: ("int", digits), parse_float=lambda digits: ("float", digits))


_PIECES = st.sampled_from(
    [
        *("1", "-0", "-0.0", "0.10", "1e5", "1E-7", "-1.50", "9" * 30, "0." + "1" * 40, "1" * 5000),
        *(r'"\u0000"', r'"\ud800"', r'"\ud83d\ude00"', r'"\\u0000"', r'"\/"', r'"\"}"', '"\x7f\u2028\uffff"'),
        *('"1e5"', '"-0"', '"a b  ,: c"', "null", "true", "NaN", "Infinity", "1.", "[", "]", "\t"),
    ]
)


@st.composite
def _raw_json(draw: st.DrawFn) -> str:
    """JSON text, or nearly so, as other hands may write it: spaces, equal keys, odd escapes and numbers."""
    pieces = draw(st.lists(_PIECES, min_size=1, max_size=5))
    if draw(st.booleans()):
        return "[" + draw(st.sampled_from([",", " , ", ",\n"])).join(pieces) + "]"
    names = draw(
        st.lists(st.sampled_from(['"a"', '"b"', '"bb"', '"\\u0061"', '"é"']), min_size=len(pieces), max_size=5)
    )
    return "{" + ", ".join(f"{name} : {piece}" for name, piece in zip(names, pieces, strict=False)) + "}"


def test_any_text_survives(postgres_url: str) -> None:
    """Whatever the text, it comes back as it was, or as JSON with the same tokens."""
    back = (
        "SELECT CASE jsonb_typeof(v) WHEN 'string' THEN v ELSE jsonb_build_array(v::text) END "
        "FROM (SELECT %s::jsonb v) t"
    )

    with psycopg.connect(postgres_url, autocommit=True) as connection:

        @given(_raw_json() | JSON.map(json.dumps) | TEXT)
        @example('{"a":1,"a":2}')
        @example("[" * 200 + "]" * 200)
        @with_settings(max_examples=300, deadline=None)
        def check(text: str) -> None:
            row = connection.execute(back, (as_jsonb(text, embed=True),)).fetchone()
            assert row is not None
            found = from_jsonb(row[0])
            if isinstance(row[0], str):
                assert found == text
            else:
                assert _tokens(found) == _tokens(text)
            row = connection.execute(back, (as_jsonb(text, embed=False),)).fetchone()
            assert row is not None
            assert from_jsonb(row[0]) == text

        check()


def test_what_is_embedded(settings: Settings, every: SessionStore[EverySession], query: Query) -> None:
    """JSON is embedded, but for equal keys, and for fields in which the order of keys counts."""
    assert as_jsonb('{"a":{"b":1}}', embed=True) == '{"a":{"b":1}}'
    assert as_jsonb('{"a":{"b":1,"b":2}}', embed=True) == '"{\\"a\\":{\\"b\\":1,\\"b\\":2}}"'
    session = every.create(ordered=OrderedDict(bb=1, a=2), mapping={"bb": 1, "a": 2})
    models = settings.load_models(EverySession)
    archive_once(settings, models=models)
    assert exactly(Archive(settings, models).get(session.id)) == exactly(every.get(session.id))
    types = "SELECT jsonb_typeof(data->'ordered'), jsonb_typeof(data->'mapping') FROM sojourn.sessions"
    assert query(types) == [("string", "object")]
    every.close()


def test_models_are_found_by_kind() -> None:
    """A reader that is given models tells sessions as those."""
    assert Models([EverySession]).codec("every").model is EverySession
