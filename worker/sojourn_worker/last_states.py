"""The last state there is of a session: what Redis holds, past its deadline or not, else what the archive holds."""

from __future__ import annotations

from typing import Any

from rq.timeouts import BaseTimeoutException

from sojourn.errors import ArchiveError, SessionCorrupt, SessionNotFound
from sojourn.events import Event
from sojourn.keys import TenantKeys
from sojourn.models import Session
from sojourn.operations.record import decode_record
from sojourn.settings import Settings
from sojourn_worker.logs import LOG, about

__all__ = ["ArchiveAway", "LastStates"]


class ArchiveAway(Exception):
    """The archive cannot tell a session now; `out_of_time`: it took the rest of the job's time to find out."""

    def __init__(self, *, out_of_time: bool) -> None:
        self.out_of_time = out_of_time
        super().__init__()


class LastStates:
    """Finds them for one job.

    Args:
        settings: the settings.
        hook: whose job it is.
    """

    def __init__(self, settings: Settings, hook: str) -> None:
        self._settings = settings
        self._hook = hook
        self._context = settings.context(settings.load_models())
        self._archive_is_away = False

    def of(self, event: Event, keys: TenantKeys, record: Any) -> Session | None:
        """The last state of the session that an event is about; None where there is none.

        Args:
            event: the event.
            keys: where its tenant's keys are.
            record: what Redis holds of the session.

        Raises:
            ArchiveAway: only the archive may hold it, and cannot tell now.
        """
        try:
            return decode_record(self._context.of(keys), Session, record, event.session_id)
        except SessionNotFound:
            return self._archived(event)
        except SessionCorrupt as error:
            LOG.warning("event comes without its session", hook=self._hook, **about(event), error=error)
            return None

    def _archived(self, event: Event) -> Session | None:
        if self._settings.archive_url is None:
            return None
        if self._archive_is_away:
            raise ArchiveAway(out_of_time=False)  # one wait for it is enough
        from sojourn.archive import Archive

        try:
            return Archive(self._settings).for_tenant(event.tenant).get(event.session_id)
        except SessionNotFound:
            return None
        except ArchiveError as error:
            LOG.warning("events wait for the archive", hook=self._hook, error=error)
            self._archive_is_away = True
            raise ArchiveAway(out_of_time=False) from None
        except BaseTimeoutException:
            LOG.warning("events wait for the archive", hook=self._hook, reason="it takes too long")
            raise ArchiveAway(out_of_time=True) from None
        except SessionCorrupt as error:
            LOG.warning("event comes without its session", hook=self._hook, **about(event), error=error)
            return None
