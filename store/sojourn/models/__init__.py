"""Session models: the base class, the ready ones, and the markers for your own."""

from sojourn.models.base import ENDED, LIVE, Session, Status, UnknownSession
from sojourn.models.documentation import DocumentationSession, Note, Progress
from sojourn.models.markers import Counter, Indexed, Log

__all__ = [
    "ENDED",
    "LIVE",
    "Counter",
    "DocumentationSession",
    "Indexed",
    "Log",
    "Note",
    "Progress",
    "Session",
    "Status",
    "UnknownSession",
]
