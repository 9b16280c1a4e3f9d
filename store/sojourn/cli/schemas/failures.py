"""What is printed of what went wrong."""

from __future__ import annotations

from typing import Annotated, NotRequired

from pydantic import Field as D
from typing_extensions import TypedDict

__all__ = ["CandidateJson", "ErrorJson"]


class CandidateJson(TypedDict):
    """A session that an abbreviated id may mean."""

    id: str
    kind: str
    owner: str | None
    created_at: str


class ErrorJson(TypedDict):
    """What is on a line of stderr, under ``error``, for each thing that went wrong."""

    code: Annotated[str, D(description="session_not_found, version_conflict, usage and so on: the error in words")]
    message: str
    session: NotRequired[str]
    tenant: NotRequired[str]
    candidates: NotRequired[Annotated[list[CandidateJson], D(description="of an abbreviated id: what it may mean")]]
