"""Arguments for the methods of stores: sensible ones by the parameter's name, and odd ones for any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from inspect import Parameter
from typing import Any, Final

from hypothesis import strategies as st
from tests.fuzz.hostile import VALUES, Made, Named, texts, values
from tests.fuzz.models import EverySession
from tests.fuzz.profile import chosen
from tests.fuzz.world import Entry

from sojourn import Log

__all__ = ["CALLED", "SENSIBLE", "Call", "calls", "missing", "one_odd"]

_MOMENTS: Final = (None, datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
_TTLS: Final = (60, 0.5, timedelta(hours=1), None)
_IDS: Final = (Named("live"), Named("live"), Named("ended"), Named("other"), "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77")
_CHANGES: Final = ({"text": "new"}, {"number": 5}, {"metadata": {"b": None}}, {"labels": ["y"]}, {"owner": None})
_LOGS: Final[tuple[Log[Any], ...]] = (
    EverySession.lines,
    EverySession.items,
    EverySession.any_values,
    Log(str, "x" * 65),
    Log(str, "a:b"),
    Log(int, ""),
    Log(Any, "any"),
)

SENSIBLE: Final[Mapping[str, Sequence[Any]]] = {
    "session_id": _IDS,
    "session_ids": ([Named("live")], [], list(_IDS)),
    "tenant": ("default", "acme", None),
    "actor": ("", "ada"),
    "trace_id": ("", "4bf9"),
    "version": (None, 1, 2),
    "ttl": _TTLS,
    "max_lifetime": (3600, *_TTLS),
    "change": (Made("{'text': 'new'}", lambda: lambda _: {"text": "new"}), Made("{}", lambda: lambda _: {})),
    "log": _LOGS,
    "entries": (["x"], ["x", "y"], [{"text": "x"}], []),
    "start": (0, 1),
    "count": (None, 1),
    "reason": (None, "done"),
    "sessions": ([{"text": "x"}], list(_CHANGES), []),
    "updates": ({Named("live"): {"text": "x"}}, {Named("live"): {"version": 1}, Named("ended"): {}}, {}),
    "status": (None, "pending", ["pending", "completed"]),
    "kind": (None, "every", "session"),
    "owner": (None, "ada"),
    "client_type": (None, "web"),
    "tag": (None, "x"),
    "created_after": _MOMENTS,
    "created_before": _MOMENTS,
    "where": (None, {"queue": "q"}, {"slot": 1}),
    "predicate": (None, Made("all", lambda: lambda _: True)),
    "limit": (1, 100),
    "cursor": (None, "0-0"),
    "group": ("billing",),
    "consumer": (None, "me"),
    "timeout": (0, 0.01),
    "at": _MOMENTS,
    "fields": _CHANGES,
    "changes": _CHANGES,
    "assigned": _CHANGES,
    "amounts": ({"attempts": 1}, {"attempts": -(2**53)}, {"number": 1}),
    "access_ttl": (60, 0.5, timedelta(hours=1)),
    "refresh_ttl": _TTLS,
    "fingerprint": (None, "client"),
    "token": (Named("access"), Named("refresh"), "sjt_40_x"),
    "tool": ("search",),
    "duration": (0.5, timedelta(seconds=1), 0),
    "success": (True, False),
    "error": (None, "failed"),
    "arguments": (None, {"q": ["x"]}),
    "executions": ([{"tool": "search", "duration": 0.1}], []),
    "action": ("tenant.limits", "created", ("created", "deleted")),
    "detail": ({"sessions": 5}, {}),
    "since": _MOMENTS,
    "until": _MOMENTS,
    "expect": (None, "1:" + "0" * 64),
    "progress": (None, Made("callable", lambda: lambda *_: None)),
    "observers": ((), []),
    "max_age": (3600, 0.5, timedelta(days=7)),
    "dry_run": (False, True),
    "batch": (10, 1),
    "interval": (3600, timedelta(hours=1)),
    "jitter": (0.1, 0, 1),
    "limits": ({"sessions": 5}, {"creates": "10/s:50", "policy": "evict_lru"}, {"bytes": None}),
}
"""What each parameter is meant for, by its name; the first is the plainest."""
_OWN: Final[Mapping[str, Sequence[Any]]] = {
    "events.start": ("oldest", "new"),
    "peek_events.start": ("recent", "oldest", "new"),
}
"""The same where one name means another thing in one method."""
_FIELDS: Final = st.sampled_from(sorted(EverySession.model_fields))


def _with_text_keys(named: dict[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in named.items() if isinstance(name, str)}


_CHANGED: Final = st.dictionaries(_FIELDS | texts().filter(lambda each: isinstance(each, str)), values(), max_size=2)
_MORE: Final[Mapping[str, st.SearchStrategy[Any]]] = {
    "fields": _CHANGED,
    "changes": _CHANGED,
    "assigned": _CHANGED,
    "sessions": st.lists(_CHANGED, max_size=2),
    "updates": st.dictionaries(st.sampled_from(_IDS), _CHANGED, max_size=2),
    "where": st.dictionaries(_FIELDS, values(), max_size=2),
    "entries": st.lists(values(), max_size=2),
    "executions": st.lists(
        st.fixed_dictionaries(
            {"tool": values(), "duration": values()}, optional={"arguments": values(), "error": values()}
        ),
        max_size=2,
    ),
    "detail": st.dictionaries(texts(), values(), max_size=2).map(_with_text_keys),
    "amounts": st.dictionaries(st.sampled_from(["attempts", "number"]), values(), max_size=2),
    "limits": st.dictionaries(
        st.sampled_from(["sessions", "bytes", "policy", "creates", "owner_operations"]), values(), max_size=2
    ),
}
"""What may be odd within an argument."""

_NAMES: Final = frozenset({"session_id", "session_ids", "updates", "tenant", "kind", "group", "consumer"})
"""What messages may quote."""
CALLED: Final = frozenset(
    {
        "change",
        "predicate",
        "sessions",
        "session_ids",
        "updates",
        "status",
        "detail",
        "limits",
        "where",
        "action",
        "progress",
        "entries",
        "fields",
        "executions",
    }
)
"""What the library calls, or iterates: what it raises of its own comes through."""
_STARRED: Final = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
_ADDED: Final = {"editing": (Parameter("assigned", Parameter.KEYWORD_ONLY),)}
"""What a block assigns to the draft."""


def missing(entry: Entry) -> list[str]:
    """The parameters of an entry of which it is not known what they are meant for."""
    return [each.name for each in entry.parameters if each.name not in SENSIBLE]


@dataclass(frozen=True)
class Call:
    """Arguments for one call."""

    args: tuple[Any, ...]
    named: Mapping[str, Any]
    quotes: bool
    of_the_callers: bool


@st.composite
def calls(draw: st.DrawFn, entry: Entry) -> Call:
    """Sensible arguments but for one or two."""
    names = [each.name for each in _parameters(entry)]
    odd = draw(st.sets(st.sampled_from(names), max_size=2)) if names else set()
    given = {}
    for each in _parameters(entry):
        if each.name in odd and (each.kind in _STARRED or each.name == "assigned"):
            given[each.name] = draw(_MORE[each.name])
        elif each.name in odd:
            given[each.name] = draw(values() | _MORE.get(each.name, st.nothing()))
        elif each.default is Parameter.empty or draw(st.booleans()):
            given[each.name] = draw(st.sampled_from(_meant(entry, each.name)))
    return _call(entry, given, odd)


def one_odd(entry: Entry, every: int) -> Iterator[Call]:
    """Odd values for each parameter, the others as plain as can be: all where much is tried, else every so many."""
    plain = {each.name: _meant(entry, each.name)[0] for each in _parameters(entry)}
    for number, each in enumerate(_parameters(entry), len(entry.path)):
        for value in chosen(VALUES, number % 3 == 0, every, number):
            if each.name == "assigned":
                yield _call(entry, {**plain, each.name: {"metadata": value, "text": value}}, {each.name})
            elif each.kind is Parameter.VAR_POSITIONAL:
                yield _call(entry, {**plain, each.name: [value]}, {each.name})
            elif each.kind is Parameter.VAR_KEYWORD:
                for name in _odd_names(entry):
                    yield _call(entry, {**plain, each.name: {name: value}}, {each.name})
            else:
                yield _call(entry, {**plain, each.name: value}, {each.name})


def _odd_names(entry: Entry) -> Sequence[str]:
    return {
        "increment": ("attempts",),
        "set_tenant_limits": ("sessions", "policy", "creates"),
        "administered": ("what",),
    }.get(entry.path, ("metadata", "text", "labels"))


def _parameters(entry: Entry) -> tuple[Parameter, ...]:
    return (*entry.parameters, *_ADDED.get(entry.path, ()))


def _meant(entry: Entry, name: str) -> Sequence[Any]:
    return _OWN.get(f"{entry.path}.{name}", SENSIBLE[name])


def _call(entry: Entry, given: Mapping[str, Any], odd: AbstractSet[str]) -> Call:
    args: list[Any] = []
    named: dict[str, Any] = {}
    positional = True
    for each in _parameters(entry):
        if each.name not in given:
            positional = False
            continue
        value = given[each.name]
        if each.kind is Parameter.VAR_KEYWORD:
            named |= value
        elif each.kind is Parameter.VAR_POSITIONAL:
            args += value
        elif each.kind is Parameter.KEYWORD_ONLY or not positional:
            named[each.name] = value
        else:
            args.append(value)
    # Else it would wait for ever, as it may.
    if entry.path == "events" and not any(named.get("timeout") is each for each in SENSIBLE["timeout"]):
        named |= {"start": "oldest", "limit": 1}
    return Call(tuple(args), named, bool(odd & _NAMES), bool(odd & CALLED))
