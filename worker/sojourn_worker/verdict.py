"""What becomes of a job of a hook that ended early: whether it is tried again, and what is buried where it is not."""

from __future__ import annotations

from typing import Any

from rq.job import Job

from sojourn.errors import SojournError, StoreError
from sojourn.hook_names import check_hook
from sojourn.logs import place_of
from sojourn.settings import Settings
from sojourn_worker.blame import runs_hook
from sojourn_worker.burial import NO_SUCH_HOOK, bury_event, bury_unreadable, scope
from sojourn_worker.hooks import HookFailed, HookHeldUp
from sojourn_worker.logs import LOG
from sojourn_worker.queues import RUN_HOOK, SafeJob, SafeQueue, backoff, count, noted, notes
from sojourn_worker.redis_link import RedisLink
from sojourn_worker.tries import readable, standing, states

__all__ = ["Judge"]


class Judge:
    """Decides by what the sessions' Redis tells of a job's events.

    Args:
        settings: the settings.
        queue: where the job came from.
    """

    def __init__(self, settings: Settings, queue: SafeQueue) -> None:
        self._settings = settings
        self._queue = queue

    def in_hand(self, job: Job) -> str | None:
        """The event that a job had in hand when it ended; None if it had none, or nobody can tell."""
        if not runs_hook(job):
            return None
        link = RedisLink(self._settings)
        try:
            name, raws = job.args
            events, _ = readable(self._settings, raws)
            found = states(link, scope(self._settings, check_hook(name)), events)
        except (SojournError, ValueError, TypeError, KeyError) as error:
            LOG.debug("events of a job cannot be told apart", job=job.id, error=error)
            return None
        finally:
            link.close()
        for event, (done, holder, _) in zip(events, found, strict=True):
            if not done and holder == job.id:
                return event.id
        return None

    def decide(self, job: Job, failure: BaseException | None, *, blame: str | None) -> bool:
        """Decide whether a hook's job is tried again: by its events, of which each has retries of its own.

        The job's own retries are for tries in which nothing became of any event, as where its hook is missing.

        Args:
            job: the job.
            failure: what it ended with; None: with its process.
            blame: why the event in hand is to blame for that; None: it is not.

        Returns:
            Whether that is decided; not while the sessions' Redis is away or full.
        """
        if not runs_hook(job):
            return True
        if isinstance(failure, StoreError):
            return False
        link = RedisLink(self._settings)
        try:
            name, raws = job.args
            hook = self._settings.hooks[name]
            events, _ = readable(self._settings, raws)
            found = standing(link, self._settings, name, events, job.id, blame=blame)
        except StoreError as error:
            LOG.warning("events of a job cannot be told apart yet", job=job.id, error=error)
            return False
        except (SojournError, ValueError, TypeError, KeyError) as error:
            LOG.debug("events of a job cannot be told apart", job=job.id, error=error)
            return True
        finally:
            link.close()
        aside = failure.aside if isinstance(failure, HookFailed) else ()
        held_up = isinstance(failure, HookHeldUp)
        over = not found.waiting and (found.given_up or isinstance(failure, HookFailed))
        if over or (held_up and not found.ready):
            job.retries_left = None
        elif held_up or found.mark > noted(job, "mark"):
            notes(job).pop("away", None)
            notes(job)["mark"] = found.mark
            job.retries_left = (job.retries_left or 0) + 1
            job.retry_intervals = [found.pause_s(aside)]
        else:
            retry = backoff(hook.retries)
            job.retry_intervals = retry.intervals if retry is not None else None
        return True

    def give_up(self, job: Job, failure: BaseException | None, *, stopped: bool) -> bool:
        """The end of a job that failed for the last time, before it goes to RQ's registry of failed jobs.

        The one place through which every event passes that a job leaves undone: they are buried, except those that
        another job has in hand. Whether that is done; where it is not, the job must not end.
        """
        if not isinstance(job, SafeJob) or job.refusal is not None:
            return True  # it never ran
        if job.func_name != RUN_HOOK:
            LOG.error("job given up", job=job.id, error=failure)
            return True
        link = RedisLink(self._settings)
        try:
            name, raws = job.args
            if name not in self._settings.hooks:
                count(self._queue.connection, "refused_jobs")
            left = self._bury_rest(link, job.id, check_hook(name), raws, self._reason(name, failure, stopped=stopped))
        except StoreError as error:
            LOG.warning("events of a job cannot be buried yet", job=job.id, error=error)
            return False
        except (SojournError, ValueError, TypeError) as error:
            # The error may tell what others wrote there.
            reason = f"it holds nothing that can be kept ({type(error).__name__})"
            LOG.error("job given up", job=job.id, reason=reason)
        else:
            LOG.error("job given up", hook=name, job=job.id, error=failure, buried=left)
        finally:
            link.close()
        return True

    def _bury_rest(self, link: RedisLink, job_id: str, name: str, raws: Any, reason: str) -> list[str]:
        """Bury what a job leaves undone and no other job has in hand; the events' ids."""
        events, unreadable = readable(self._settings, raws)
        bury_unreadable(link, self._settings, name, unreadable, job_id)
        left = []
        for event, (done, _, tries) in zip(events, states(link, scope(self._settings, name), events), strict=True):
            token = job_id
            while not done:
                burial = bury_event(link, self._settings, name, event, job=token, tries=tries, reason=reason)
                if burial.outcome == "buried":
                    left.append(event.id)
                # Of a job that is gone nobody else will see to its event.
                if burial.outcome != "held" or self._queue.holds(burial.holder):
                    break
                token = burial.holder
        return left

    def _reason(self, name: str, failure: BaseException | None, *, stopped: bool) -> str:
        """Why the events are given up."""
        if name not in self._settings.hooks:
            return NO_SUCH_HOOK
        if stopped:
            return "its job was stopped"
        if isinstance(failure, HookHeldUp):
            return "a job that is gone had it in hand"
        return "its job was given up" if failure is None else f"its job was given up: {place_of(failure)}"
