"""`docs/reference/logs.md` and the lines that the source can log say the same."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from pathlib import Path

from tests.log_calls import ROOT, Call, _calls_in, calls

from sojourn.settings.masking import is_secret_name

_DOCUMENT = ROOT / "docs" / "reference" / "logs.md"
_ROW = re.compile(r"\| (?P<event>[^|]+) \| (?P<levels>[a-z ]+) \| (?P<fields>[^|]*)\| (?P<meaning>[^|]*)\|")
_OF_A_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "extra"}
_CALLS = calls()


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Give levels and fields of the events in the document."""
    events = _DOCUMENT.read_text().partition("## Events")[2]
    rows = [found for line in events.splitlines() if (found := _ROW.fullmatch(line)) and found["event"] != "event"]
    return {
        row["event"]: (set(row["levels"].split(" or ")), set(re.findall(r"`(\w+)`", row["fields"]))) for row in rows
    }


def logged() -> dict[str, tuple[set[str], set[str]]]:
    """Give levels and fields of the events in the source."""
    found: defaultdict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for call in _CALLS:
        found[str(call.event)][0].update(call.levels)
        found[str(call.event)][1].update(call.fields)
    return dict(found)


def test_every_event_is_documented_with_its_levels_and_fields() -> None:
    """And none is that the source does not log; summaries of floods are made elsewhere."""
    told = documented()
    summary = {name: told.pop(name) for name in ["lines left out"]}
    source = logged()
    assert sorted(told) == sorted(source)
    differ = {name: (told[name], source[name]) for name in told if told[name][0] != source[name][0]}
    assert differ == {}
    open_ones = {call.event for call in _CALLS if call.is_open}
    fields = {name: told[name][1] ^ source[name][1] for name in told if told[name][1] ^ source[name][1]}
    assert {name: each - {"ArchiveReport"} for name, each in fields.items() if name not in open_ones} == {}
    assert summary["lines left out"][1] == {"what", "count", "window_s", "hook"}


def test_an_event_is_a_constant_text_with_fields() -> None:
    """No values in the text, and no field that `logging` has a use for itself, or that would be masked."""
    assert [call.place for call in _CALLS if _is_faulty(call)] == []
    assert len(_CALLS) > 80


def _is_faulty(call: Call) -> bool:
    return (
        call.event is None
        or call.positional > 0
        or "%" in call.event
        or len(call.event) > 60
        or not call.levels
        or bool(call.fields & _OF_A_RECORD)
        or any(is_secret_name(name) for name in call.fields)
    )


def test_nothing_logs_in_another_way() -> None:
    """The library and the workers know no logger but through `Log`, so the events above are all there are."""
    others = [
        str(path.relative_to(ROOT))
        for folder in ("store", "worker")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"getLogger\(|exc_info=|\blog(ger)?\.(debug|info|warning|error|exception)\(", path.read_text())
    ]
    assert sorted(others) == [
        "store/sojourn/logs.py",
        "worker/sojourn_worker/logs.py",
    ]


def test_the_finder_finds(tmp_path: Path) -> None:
    """A call is found with its levels, fields and faults."""
    (tmp_path / "odd.py").write_text(
        'LOG.warning("a %s", 1, hook=2, **about(x))\n_LOG.log(logging.INFO if x else logging.DEBUG, f"b", **more)\n'
    )
    first, second = _calls_in(tmp_path / "odd.py", "odd.py")
    assert (first.event, first.positional, first.is_open) == ("a %s", 1, False)
    assert first.fields == {"hook", "event_id", "tenant", "session_id", "trace_id"}
    assert _is_faulty(first)
    assert _is_faulty(second)
    assert (second.event, second.levels, second.is_open) == (None, frozenset({"info", "debug"}), True)
