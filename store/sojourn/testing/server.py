"""What tests need of a Redis, whether it is a real one or not."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sojourn.codec import Models
from sojourn.operations.expiry import claim_due
from sojourn.operations.homes import homes
from sojourn.settings import Settings, load_settings
from sojourn.testing.clock import Clock
from sojourn.transport.blocking import Transport

__all__ = ["TestRedis"]

_BATCH = 100


class TestRedis(ABC):
    """A Redis for tests. Every store that is made with its `url`, or its `settings`, uses it."""

    __test__ = False  # pytest would take it for a class of tests

    url: str
    """Its URL, for ``SOJOURN_REDIS_URL`` and `SessionStore`."""
    settings: Settings
    """The settings of stores on it."""

    def use(self, **settings: Any) -> Settings:
        """Set its `settings`: what environment and ``sojourn.yaml`` say, and these over them.

        An archive and a Redis for jobs are not taken from there, so that no test reaches for those of production.

        Raises:
            SettingsError: they are no good.
        """
        found = load_settings(**{**settings, "redis_url": self.url})
        unasked = {name: None for name in ("archive_url", "queue_url") if name not in settings}
        self.settings = found.model_copy(update=unasked)
        return self.settings

    @property
    @abstractmethod
    def clock(self) -> Clock:
        """Its clock; what falls due by moving it expires at once.

        Raises:
            ClockNotSettable: it is a real Redis.
        """

    @abstractmethod
    def clear(self) -> None:
        """Remove all that is in it."""

    def expire_due(self) -> int:
        """Do what workers do all the time: expire sessions past their deadline, and remove ended ones.

        Returns:
            How many expired.
        """
        settings = self.settings
        context = settings.context(Models([]))  # claims read no model
        transport = Transport(settings)
        try:
            everywhere = homes(settings.partitions)
            due = list(everywhere.parse(transport.execute([everywhere])[0]).partitions)
            expired = 0
            while due:
                claims = [claim_due(context, each, _BATCH, archived=settings.archive_url is not None) for each in due]
                replies = transport.execute(claims)
                swept = [each.parse(own) for each, own in zip(claims, replies, strict=True)]
                expired += sum(each.expired for each in swept)
                due = [partition for partition, each in zip(due, swept, strict=True) if each.more]
        finally:
            transport.close()
        return expired
