"""The model of a documentation run over the files of a module."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from sojourn.models.base import Session
from sojourn.models.markers import Counter, Indexed, Log

__all__ = ["DocumentationSession", "Note", "Progress"]


class Note(BaseModel):
    """What was noted about one file."""

    model_config = ConfigDict(frozen=True)

    file_path: str
    memory_id: str | None = None
    status: str
    created_at: AwareDatetime


class Progress(BaseModel):
    """How far a documentation run has come."""

    model_config = ConfigDict(frozen=True)

    total_files: int
    processed_files: int
    current_file: str | None
    failed_files: tuple[str, ...]

    @property
    def ratio(self) -> float:
        """Done, failed ones included, of 1.0; an empty run is done."""
        return min(1.0, self.processed_files / self.total_files) if self.total_files else 1.0


class DocumentationSession(Session, kind="documentation"):
    """A run that documents the files of one module.

    The parts of its progress are fields of their own, so that several writers can count files at once without
    conflicting: ``store.increment(id, processed_files=1)``.

    Example:
        >>> DocumentationSession.notes
        Log('notes')
    """

    workspace_id: Annotated[str, Indexed()]
    module_name: Annotated[str, Indexed()]
    file_paths: tuple[str, ...] = ()
    total_files: int = Field(default=0, ge=0)
    processed_files: Annotated[int, Counter()] = 0
    current_file: str | None = None
    failed_files: tuple[str, ...] = ()

    notes: ClassVar[Log[Note]] = Log(Note)

    @property
    def progress(self) -> Progress:
        """The four progress fields together."""
        return Progress(
            total_files=self.total_files,
            processed_files=self.processed_files,
            current_file=self.current_file,
            failed_files=self.failed_files,
        )
