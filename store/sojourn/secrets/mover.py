"""What every place with sealed texts in it has in common: looking at them, and sealing them anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sojourn.codec import Models
from sojourn.errors import SecretUnreadable
from sojourn.sealing import Keyring, Sealer, key_of
from sojourn.secrets.report import ResealReport, Stuck

__all__ = ["Mover", "Seen"]


@dataclass
class Seen:
    """The sealed texts in one record or event, by field."""

    current: list[str] = field(default_factory=list)
    """Sealed under the newest key."""
    stuck: dict[str, str] = field(default_factory=dict)
    """Keys of those that cannot be opened."""
    old: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Text and key of those to be moved."""


class Mover:
    """Looks at texts, counts them, and seals them anew.

    Args:
        keyring: the keys; None: only counting.
        models: those that are known (see `Models.may_be_secret`).
        report: where to count.
        begin: called once for each tenant, before the first thing of it is changed; None: nothing is changed at all.
    """

    def __init__(
        self, keyring: Keyring | None, models: Models, report: ResealReport, begin: Callable[[str], None] | None
    ) -> None:
        self.report = report
        self._keyring = keyring
        self._models = models
        self._begin = begin
        self._begun: set[str] = set()

    @property
    def moves(self) -> bool:
        """Whether anything is changed."""
        return self._begin is not None

    def look(self, texts: Mapping[str, str], kind: str, tenant: str, session_id: str) -> Seen:
        """Tell what there is."""
        seen = Seen()
        for name, text in texts.items():
            key = key_of(text)
            if key is None or not self._models.may_be_secret(kind, name):
                continue
            if self._keyring is None:
                seen.old[name] = text, key
                continue
            try:
                Sealer(self._keyring, tenant, session_id).open(name, text)
            except SecretUnreadable:
                seen.stuck[name] = key
                continue
            if key == self._keyring.newest:
                seen.current.append(name)
            else:
                seen.old[name] = text, key
        return seen

    def sealed(self, seen: Seen, tenant: str, session_id: str) -> dict[str, tuple[str, str]]:
        """The old texts, each with the new one; from here on the tenant is being changed."""
        if self._begin is not None and seen.old and tenant not in self._begun:
            self._begin(tenant)
            self._begun.add(tenant)
        sealer = Sealer(self._keyring, tenant, session_id)
        return {name: (text, sealer.seal(name, sealer.open(name, text))) for name, (text, _) in seen.old.items()}

    def count(self, first: Seen, last: Seen, place: str, tenant: str, session_id: str) -> None:
        """Count one record or event: as it was at first, and as it is now."""
        report = self.report
        for name, key in last.stuck.items():
            report.count(key, place)
            report.stuck(Stuck(tenant, session_id, name, key, place))
        for _, key in last.old.values():
            report.count(key, place)
        if last.current and self._keyring is not None:
            report.count(self._keyring.newest, place, len(last.current))
        if self.moves:
            report.changed += len(last.old)
            moved = len([name for name in first.old if name not in last.old and name not in last.stuck])
            setattr(report.moved, place, getattr(report.moved, place) + moved)
