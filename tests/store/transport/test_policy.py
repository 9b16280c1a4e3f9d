"""Which commands a batch sends, and which replies each of its operations gets."""

from __future__ import annotations

from sojourn.operations.core import CLOCK, Operation
from sojourn.transport.policy import dealt, gathered


def test_a_batch_asks_for_the_time_once() -> None:
    """Operations that end by asking for the time share one answer, which is read last; the others are as they are."""
    reads = [Operation((("GET", name), CLOCK), list) for name in "ab"]
    none, other = Operation((), list), Operation((("PING",), ("PING", "x")), list)
    batch = [reads[0], none, other, reads[1]]
    assert gathered(batch) == [("GET", "a"), ("PING",), ("PING", "x"), ("GET", "b"), CLOCK]
    assert dealt(batch, ["A", "PONG", "x", "B", "now"]) == [["A", "now"], [], ["PONG", "x"], ["B", "now"]]


def test_one_operation_is_sent_as_it_is() -> None:
    """One alone keeps its commands and gets all replies."""
    single = Operation((("GET", "a"), CLOCK), list)
    assert gathered([single]) == [("GET", "a"), CLOCK]
    assert dealt([single], ["A", "now"]) == [["A", "now"]]


def test_without_the_time_nothing_is_added() -> None:
    """A batch that does not ask for the time gets none."""
    batch = [Operation((("PING",),), list)] * 2
    assert gathered(batch) == [("PING",), ("PING",)]
    assert dealt(batch, ["a", "b"]) == [["a"], ["b"]]
