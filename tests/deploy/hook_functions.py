"""Hooks of the deployments that are tried here."""

from __future__ import annotations

from sojourn import Event, Session

__all__ = ["bad", "good"]


def good(event: Event, session: Session | None) -> None:
    """Do nothing, and that well."""


def bad(event: Event, session: Session | None) -> None:
    """Fail every time."""
    raise RuntimeError
