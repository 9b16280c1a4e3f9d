"""Values that nobody should pass: each has a name, by which a failing example shows it, and is made when it is used."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from hypothesis import strategies as st
from pydantic import SecretStr

from sojourn import Session, Status

__all__ = ["MARK", "TEXTS", "VALUES", "Made", "Named", "Planted", "made", "texts", "values"]

MARK: Final = "pl4nted-v4lue"
"""Stands in many values; no message may quote one."""


class Planted(Exception):
    """What an object of the caller's raises by itself."""

    def __init__(self, *_: object) -> None:
        super().__init__(MARK)


@dataclass(frozen=True)
class Made:
    """A value that is made when it is used: it may be large, odd to show, or good for one use only."""

    name: str
    make: Callable[[], Any]

    def __repr__(self) -> str:
        return f"<{self.name}>"


@dataclass(frozen=True)
class Named:
    """Something that is there when the example runs, such as the id of a live session."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


def made(value: Any, there: Mapping[str, Any]) -> Any:
    """The value with everything in it made, and names replaced by what is there."""
    if isinstance(value, Made):
        return value.make()
    if isinstance(value, Named):
        return there[value.name]
    if type(value) in (list, tuple):
        return type(value)(made(each, there) for each in value)
    if type(value) is dict:
        return {made(name, there): made(each, there) for name, each in value.items()}
    return value


def _raise(*_: object, **__: object) -> Any:
    raise Planted


def _with(name: str, base: type, arguments: tuple[Any, ...] = (), **methods: Any) -> Any:
    """An instance of a new subclass of `base` with these methods."""
    return type(name, (base,), methods)(*arguments)


def _nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    value: Any = MARK
    for _ in range(depth):
        value = wrap(value)
    return value


def _self_containing_list() -> list[Any]:
    value: list[Any] = [MARK]
    value.append(value)
    return value


def _self_containing_dict() -> dict[str, Any]:
    value: dict[str, Any] = {"a": MARK}
    value["self"] = value
    return value


def _generator() -> Iterator[str]:
    yield MARK
    raise Planted


class _OddZone(tzinfo):
    """A time zone that answers what `answer` says."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer

    def utcoffset(self, _: datetime | None) -> timedelta | None:
        return _raise() if self.answer is _raise else self.answer  # type: ignore[no-any-return]

    def tzname(self, _: datetime | None) -> str:
        return MARK

    def dst(self, _: datetime | None) -> None:
        return None


class _OddMapping(Mapping[str, Any]):
    """A mapping whose items cannot be had."""

    def __getitem__(self, _: object) -> Any:
        return _raise()

    def __iter__(self) -> Iterator[str]:
        return iter(["a", MARK])

    def __len__(self) -> int:
        return 2


TEXTS: Final[tuple[str | Made, ...]] = (
    "",
    " ",
    "\x00",
    f"{MARK}\x00",
    "\ud800",
    f"{MARK}\udfff{MARK}",
    "\x01\x1b[31m\x7f",
    "\r\n",
    "a\r\nSET x y\r\n",
    "\u2028\u2029\x85",
    "\u202egnp.exe",
    "\u2066a\u2069\u200f",
    "\ufeffa",
    "\U0001f469\u200d\U0001f4bb\ufe0f",
    "e\u0301" + "\u0336" * 300,
    "\u0430dmin",
    "\uff21\uff22",
    "\u1d49c\u2102",
    "%s%n%x",
    "{0}{__class__}{self.tenant}",
    "*",
    "[a-z]*",
    "?",
    "${jndi:x}",
    "'; DROP TABLE sessions;--",
    '" OR ""="',
    "..",
    "../../x",
    "/",
    "\\",
    "a:b",
    "{a}",
    "a}b",
    "}:t:",
    "null",
    "None",
    "NaN",
    "Infinity",
    "true",
    "-1",
    "0",
    "1e999",
    "9" * 5_000,
    "sojourn:{00}:default:session:x",
    "KEYS[1]",
    "return redis.call('FLUSHALL')",
    "__proto__",
    "__class__",
    "self",
    "\U0010ffff",
    "\ufffe\uffff",
    "1" * 257,
    "x" * 64,
    "x" * 65,
    "\u00df\u0130\u01c5",
    "2026-02-30T25:61:61Z",
    "{",
    '{"a":',
    "[" * 2_000,
    '{"a":' * 2_000,
    "\\ud800",
    "\\u0000",
    "\\x00",
    "sjt_40_",
    f"sjt_40_{'a' * 32}{'A' * 43}_aaaaaaaa",
    "sjs1.",
    "6F0F5BE2-94A5-4C2F-8D5E-0E6F3A9C1B77",
    Made("1 MB of text", lambda: MARK * 80_000),
    Made("3 MB of wide text", lambda: "\U0001f469" * 800_000),
)
"""Text of every odd kind."""

VALUES: Final[tuple[Any, ...]] = (
    *TEXTS,
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**53,
    -(2**53),
    2**63,
    2**64,
    10**400,
    -(10**400),
    Made("int of 5,000 digits", lambda: 10**5_000),
    0.0,
    -0.0,
    0.5,
    1e308,
    5e-324,
    math.nan,
    math.inf,
    -math.inf,
    1e22,
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    Decimal("1E+999999"),
    Decimal("-0.0"),
    Fraction(1, 3),
    1j,
    b"",
    b"\xff\xfe",
    MARK.encode(),
    bytearray(b"a"),
    Made("memoryview", lambda: memoryview(MARK.encode())),
    Made("1 MB of bytes", lambda: b"\xff" * 1_000_000),
    datetime.min,
    datetime.max,
    datetime.min.replace(tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=23, minutes=59))),
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999))),
    datetime(1, 1, 1, tzinfo=timezone(-timedelta(hours=12))),
    datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=14))),
    datetime(2026, 1, 1),
    datetime(2026, 3, 29, 2, 30, fold=1, tzinfo=UTC),
    datetime(1969, 12, 31, tzinfo=UTC),
    Made("datetime whose zone knows nothing", lambda: datetime(2026, 1, 1, tzinfo=_OddZone())),
    Made("datetime whose zone answers too much", lambda: datetime(2026, 1, 1, tzinfo=_OddZone(timedelta(days=2)))),
    Made("datetime whose zone answers text", lambda: datetime(2026, 1, 1, tzinfo=_OddZone(MARK))),
    Made("datetime whose zone raises", lambda: datetime(2026, 1, 1, tzinfo=_OddZone(_raise))),
    date.min,
    date.max,
    timedelta.min,
    timedelta.max,
    timedelta(0),
    timedelta(microseconds=1),
    timedelta(-1),
    [],
    (),
    {},
    set(),
    frozenset({MARK}),
    [None],
    [MARK] * 3,
    {"": ""},
    {"a": MARK},
    {"\ud800": 1},
    {"a\x00": 1},
    {1: 2},
    {None: MARK},
    {(1,): 2},
    {b"a": 1},
    {True: 1, "True": 2},
    {"a": math.nan},
    {"a": math.inf},
    {"a": 10**400},
    {"a": b"\xff"},
    {"a": "\ud800"},
    {"a": {1, 2}},
    {"a": 1, "A": 2, "\u0430": 3},
    {"a": Decimal("0.1")},
    {"a": datetime.max},
    {"a": ()},
    {"version": 0},
    {"id": "x"},
    {"status": "deleted"},
    Made("list nested 2,000 deep", lambda: _nested(2_000, lambda inner: [inner])),
    Made("dict nested 2,000 deep", lambda: _nested(2_000, lambda inner: {"a": inner})),
    Made("dict and list nested 2,000 deep", lambda: _nested(1_000, lambda inner: {"a": [inner]})),
    Made("tuple nested 2,000 deep", lambda: _nested(2_000, lambda inner: (inner,))),
    Made("metadata nested 2,000 deep", lambda: {"a": _nested(2_000, lambda inner: [inner])}),
    Made("metadata nested 33 deep", lambda: _nested(33, lambda inner: {"k": inner})),
    Made("list that contains itself", _self_containing_list),
    Made("dict that contains itself", _self_containing_dict),
    Made("doubled 60 times", lambda: _nested(60, lambda inner: [inner, inner])),
    Made("dict doubled 60 times", lambda: _nested(60, lambda inner: {"a": inner, "b": inner})),
    Made("100,000 items", lambda: [0] * 100_000),
    Made("100,000 keys", lambda: {str(each): each for each in range(100_000)}),
    Made("dict with a key of 1 MB", lambda: {"k" * 1_000_000: object()}),
    Made("generator", _generator),
    Made("iterator", lambda: iter([MARK])),
    Made("range", lambda: range(10**9)),
    Made("map", lambda: map(_raise, [1])),
    Made("deque", lambda: collections.deque([MARK])),
    Made("OrderedDict", lambda: collections.OrderedDict(a=MARK)),
    Made("UserDict", lambda: collections.UserDict(a=MARK)),
    Made("UserString", lambda: collections.UserString(MARK)),
    Made("ChainMap", lambda: collections.ChainMap({"a": MARK})),
    Made("mapping whose items raise", _OddMapping),
    Made(
        "dict whose methods raise",
        lambda: _with("OddDict", dict, ({"a": MARK},), items=_raise, values=_raise, keys=_raise, __iter__=_raise),
    ),
    Made("dict whose length raises", lambda: _with("OddDict", dict, ({"a": MARK},), __len__=_raise)),
    Made("list whose iteration raises", lambda: _with("OddList", list, ([MARK],), __iter__=_raise)),
    Made("list whose length lies", lambda: _with("OddList", list, ([MARK],), __len__=lambda _: 10**9)),
    Made("tuple whose length raises", lambda: _with("OddTuple", tuple, ((MARK,),), __len__=_raise)),
    Made(
        "text whose methods raise",
        lambda: _with(
            "OddStr", str, (MARK,), encode=_raise, isascii=_raise, __contains__=_raise, __str__=_raise, strip=_raise
        ),
    ),
    Made(
        "text that lies",
        lambda: _with(
            "OddStr",
            str,
            ("\ud800",),
            encode=lambda *_, **__: b"x",
            isascii=lambda _: True,
            isprintable=lambda _: True,
            __str__=lambda _: "x",
            __len__=lambda _: 1,
        ),
    ),
    Made(
        "text that says it is other text",
        lambda: _with(
            "OddStr",
            str,
            ("a\nb",),
            __str__=lambda _: "x",
            __repr__=lambda _: MARK,
            __eq__=lambda *_: True,
            __hash__=str.__hash__,
        ),
    ),
    Made(
        "int that says it is text",
        lambda: _with("OddInt", int, (5,), __str__=lambda _: MARK, __repr__=lambda _: MARK, __format__=lambda *_: MARK),
    ),
    Made(
        "int whose methods raise",
        lambda: _with(
            "OddInt", int, (5,), __str__=_raise, __repr__=_raise, __abs__=_raise, __le__=_raise, __index__=_raise
        ),
    ),
    Made(
        "float that lies",
        lambda: _with(
            "OddFloat", float, (0.5,), __le__=lambda *_: True, __repr__=lambda _: MARK, __mul__=lambda *_: MARK
        ),
    ),
    Made("timedelta that lies", lambda: _with("OddDelta", timedelta, (1,), total_seconds=lambda _: MARK)),
    Made("datetime that lies", lambda: datetime_that_lies()),
    Made("object", object),
    Made("object whose __str__ raises", lambda: _with("Odd", object, __str__=_raise, __repr__=_raise)),
    Made(
        "object whose __eq__ and __bool__ raise",
        lambda: _with("Odd", object, __eq__=_raise, __hash__=object.__hash__, __bool__=_raise, __repr__=lambda _: MARK),
    ),
    Made(
        "object whose __iter__ raises",
        lambda: _with("Odd", object, __iter__=_raise, __len__=_raise, __getitem__=_raise),
    ),
    Made("object without end", lambda: _with("Odd", object, __getitem__=lambda _, index: str(index))),
    Made("object without attributes", lambda: _with("Odd", object, __getattr__=_raise)),
    Made("callable", lambda: lambda *_, **__: {}),
    Made("callable that raises", lambda: _raise),
    Made("class", lambda: dict),
    Made("Session class", lambda: Session),
    Made("exception", lambda: ValueError(MARK)),
    Made("ellipsis", lambda: ...),
    Made("SecretStr", lambda: SecretStr(MARK)),
    Made("Path", lambda: Path(MARK)),
    UUID(int=0),
    Status.DELETED,
    Status.PENDING,
)
"""Values of every odd kind, odd text among them."""


def datetime_that_lies() -> datetime:
    """An aware datetime that cannot be subtracted from."""
    return type("OddDatetime", (datetime,), {"__sub__": _raise})(2026, 1, 1, tzinfo=UTC)  # type: ignore[no-any-return]


def texts() -> st.SearchStrategy[Any]:
    """Text, odd or random."""
    return st.sampled_from(TEXTS) | st.text(max_size=80) | st.text("*?[]{}:%-0aZ\x00\ud800\u202e/.\r\n", max_size=12)


def values() -> st.SearchStrategy[Any]:
    """Anything, odd or random, alone or within lists and dicts."""
    leaves = (
        st.sampled_from(VALUES)
        | texts()
        | st.integers()
        | st.floats()
        | st.binary(max_size=40)
        | st.datetimes()
        | st.timedeltas()
    )
    return (
        st.sampled_from(VALUES)
        | leaves
        | st.recursive(
            leaves,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=6,
        )
    )
