"""What is sealed under which key, and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

__all__ = ["Counts", "ResealReport", "Stuck"]

_TOLD: Final = 100


@dataclass
class Counts:
    """Sealed texts, by where they are. A session has as many as it has secrets."""

    live: int = 0
    """In Redis; those of ended sessions that it still holds, too."""
    archived: int = 0
    """In the archive's records, snapshots of earlier states among them."""
    events: int = 0
    """In the archive's events."""
    outbox: int = 0
    """In events that are still in Redis. They are not moved; those that are not archived yet come to the archive so."""


@dataclass(frozen=True)
class Stuck:
    """A sealed text that cannot be opened."""

    tenant: str
    session_id: str
    field: str
    key: str
    """The id of the key that it says to be sealed under."""
    place: str
    """``live``, ``archived`` or ``events``."""


@dataclass
class ResealReport:
    """What is sealed under which key, after the run; and what the run moved.

    Example:
        >>> ResealReport(newest="2f9c01aa").is_complete
        True
    """

    newest: str | None
    """The id of the key that seals; None where there is no keyring."""
    keys: dict[str, Counts] = field(default_factory=dict)
    """By the ids of the keys."""
    moved: Counts = field(default_factory=Counts)
    """What was put under the newest key."""
    unopened: int = 0
    """Texts that cannot be opened: their key is missing, or they are damaged."""
    unopened_first: list[Stuck] = field(default_factory=list)
    """The first hundred of them."""
    changed: int = 0
    """Texts that others kept changing meanwhile: run it again."""
    duration_s: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left under another key than the newest, but for events that are still in Redis."""
        return not any(each.live + each.archived + each.events for key, each in self.keys.items() if key != self.newest)

    def count(self, key: str, place: str, many: int = 1) -> None:
        """Count what is under a key in a place."""
        counts = self.keys.setdefault(key, Counts())
        setattr(counts, place, getattr(counts, place) + many)

    def stuck(self, found: Stuck) -> None:
        """Note what cannot be opened."""
        self.unopened += 1
        if len(self.unopened_first) < _TOLD:
            self.unopened_first.append(found)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "complete": self.is_complete}
