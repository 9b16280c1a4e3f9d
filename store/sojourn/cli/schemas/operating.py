"""What is printed of a deployment: its settings, health and numbers, and what mends it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field as D
from typing_extensions import TypedDict

__all__ = [
    "CleanedJson",
    "FindingJson",
    "FindingsJson",
    "FixJson",
    "HealthJson",
    "MetricsJson",
    "ReasonJson",
    "SealedJson",
    "SettingJson",
]


class SettingJson(TypedDict):
    """A setting, masked where it is a secret."""

    name: str
    value: Any
    source: Annotated[str, D(description="default, file, environment or argument")]
    where: str | None


class CleanedJson(TypedDict):
    """What a cleanup did, or in a dry run what it would do."""

    tenant: str
    dry_run: bool
    expired: Annotated[int, D(description="sessions past their deadline that were claimed")]
    lost: Annotated[int, D(description="those whose record was gone")]
    damaged: Annotated[int, D(description="those whose record cannot be read")]
    removed: Annotated[int, D(description="ended sessions that were kept for long enough")]
    looked_at: Annotated[int, D(description="live sessions that are old enough to be inactive")]
    ended: Annotated[int, D(description="those that nobody had used")]
    skipped: Annotated[int, D(description="those that were used")]
    failed: Annotated[int, D(description="sessions that could not be cleaned up; each is named on stderr")]
    more: Annotated[bool, D(description="whether something is left")]
    duration_s: float
    ids: Annotated[list[str], D(description="the first 100 of the inactive sessions that ended")]


class KeyJson(TypedDict):
    """A fresh key for secret fields."""

    key: Annotated[str, D(description="as the setting secret_keys takes it; keep it secret")]


class SealedJson(TypedDict):
    """What is sealed under which key, and what was moved."""

    newest: str | None
    keys: dict[str, dict[str, int]]
    moved: dict[str, int]
    unopened: int
    unopened_first: list[dict[str, Any]]
    changed: int
    duration_s: float
    complete: bool


class FindingJson(TypedDict):
    """What one check of doctor found; as CSV, a row."""

    check: Annotated[str, D(description="its name, as --check takes it")]
    severity: Annotated[str, D(description="ok, info, warning or error")]
    found: str
    why: Annotated[str, D(description="why it matters; empty where all is well")]
    mend: Annotated[str, D(description="what to do, in words")]
    commands: Annotated[list[str], D(description="the commands that do it")]
    fixable: Annotated[bool, D(description="whether --fix does it")]


class FixJson(TypedDict):
    """What came of mending what one check found."""

    check: str
    done: Annotated[str, D(description="what was done, or with --dry-run would be; empty where it failed")]
    failed: Annotated[str, D(description="why it could not be mended; empty where it was")]
    left: Annotated[list[FindingJson], D(description="what the check finds now that is not well")]


class FindingsJson(TypedDict):
    """What doctor found, and what it mended."""

    findings: list[FindingJson]
    fixes: NotRequired[Annotated[list[FixJson], D(description="only with --fix")]]


class MetricsJson(TypedDict):
    """The numbers that Redis keeps; see `Metrics`."""


class ReasonJson(TypedDict):
    """Why a deployment is not healthy."""

    what: Annotated[str, D(description="what was looked at, such as redis, memory or scheduler")]
    state: Annotated[Literal["degraded", "unhealthy"], D(description="how bad that alone is")]
    told: str
    mend: Annotated[str, D(description="what to do")]
    value: float | None
    threshold: float | None


class HealthJson(TypedDict):
    """How a deployment is, and why."""

    state: Literal["healthy", "degraded", "unhealthy"]
    reasons: list[ReasonJson]
