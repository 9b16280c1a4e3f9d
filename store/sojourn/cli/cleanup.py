"""``sojourn cleanup``: what is due, and what nobody uses, without a worker."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from sojourn.cli.asking import confirm
from sojourn.cli.completing import completes_kind
from sojourn.cli.failures import exit_code
from sojourn.cli.output import complain, hint
from sojourn.cli.parameters import DRY_RUN, REASON, YES, span
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell
from sojourn.cli.words import duration
from sojourn.models import LIVE

if TYPE_CHECKING:
    from sojourn.cleanup import CleanupFailure, CleanupReport, DueReport

__all__ = ["cleanup"]


@click.command(
    cls=Command,
    output=Document("Cleaned"),
    examples=[
        "sojourn cleanup --due",
        "sojourn cleanup --due --inactive 7d --dry-run",
        "sojourn cleanup --due --inactive 7d --status pending --yes",
    ],
    epilog="Exit codes: 0 all is clean; 5 damaged sessions, and 3 others, could not be cleaned up and are named.",
)
@click.option("--due", is_flag=True, help="Claim what is past its deadline; remove what has ended and was kept enough.")
@click.option("--inactive", type=span, metavar="DURATION", help="End live sessions that nobody used for so long.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="With --due: so many at most.")
@click.option("--status", type=click.Choice(sorted(map(str, LIVE))), help="With --inactive: only these.")
@click.option("--kind", metavar="KIND", shell_complete=completes_kind, help="With --inactive: only sessions of it.")
@REASON
@DRY_RUN
@YES
@pass_state
def cleanup(
    state: State, due: bool, inactive: timedelta | None, limit: int | None, status: str | None, kind: str | None,
    reason: str | None, dry_run: bool, yes: bool,
) -> None:  # fmt: skip
    """Clean up a tenant's sessions without a worker.

    Used is what was created, kept alive or written; reading counts where sessions slide. Nothing is asked for what is
    due: that has expired already. Before inactive sessions end, it is.
    """
    if not due and inactive is None:
        raise click.UsageError("say what to clean up: --due, --inactive DURATION, or both")
    ends: dict[str, Any] = {"status": status, "kind": kind, "reason": reason or "inactive"}
    if inactive is not None and not dry_run and not yes:
        found = _inactive(state, inactive, ends, dry_run=True)
        what = f"{found.ended} {'session' if found.ended == 1 else 'sessions'} of tenant '{state.store.tenant}'"
        confirm(f"End {what} that nobody used for {duration(inactive)}", yes=yes)
    if dry_run:
        hint("nothing is changed")
        would = _due(state, limit) if due else None
        _tell(state, would, None if inactive is None else _inactive(state, inactive, ends, dry_run=True), dry_run=True)
    asked = {} if inactive is None else {"inactive_s": inactive.total_seconds()}
    with state.telling("session.cleanup", due=due, **asked) as told:
        claimed = ended = None
        if due:
            with bar("claiming what is due", "sessions") as progress:
                claimed = state.store.expire_due(limit=limit, progress=progress)
            told |= {"expired": claimed.expired, "removed": claimed.removed}
        if inactive is not None:
            ended = _inactive(state, inactive, ends, dry_run=False)
            told |= {"ended": ended.ended, "ids": list(ended.ids)}
    _tell(state, claimed, ended, dry_run=False)


def _due(state: State, limit: int | None) -> DueReport:
    """What would be done about what is due, as the report of it."""
    from sojourn.cleanup import DueReport
    from sojourn.outlook import would_expire

    found = would_expire(state.store)
    expired, removed = (each if limit is None else min(limit, each) for each in (found.expired, found.removed))
    more = expired < found.expired or removed < found.removed
    return DueReport(
        expired=expired, lost=0, damaged=0, removed=removed, failed=0, failures=(), more=more, duration_s=0.0
    )  # fmt: skip


def _inactive(state: State, max_age: timedelta, ends: dict[str, Any], *, dry_run: bool) -> CleanupReport:
    with bar("looking for inactive sessions" if dry_run else "ending inactive sessions", "sessions") as progress:
        return state.store.cleanup_inactive(max_age, **ends, dry_run=dry_run, progress=progress)


def _tell(state: State, claimed: DueReport | None, ended: CleanupReport | None, *, dry_run: bool) -> None:
    failures: list[CleanupFailure] = []
    document: dict[str, Any] = {"tenant": state.store.tenant, "dry_run": dry_run}
    for name in ("expired", "lost", "damaged", "removed"):
        document[name] = getattr(claimed, name, 0)
    for name in ("looked_at", "ended", "skipped"):
        document[name] = getattr(ended, name, 0)
    reports = [each for each in (claimed, ended) if each is not None]
    document |= {
        "failed": sum(each.failed for each in reports),
        "more": any(each.more for each in reports),
        "duration_s": round(sum(each.duration_s for each in reports), 6),
        "ids": list(ended.ids) if ended is not None else [],
    }
    tell(state, document)
    for report in reports:
        failures += report.failures
    for each in failures:
        complain(each.error)
    click.get_current_context().exit(max((exit_code(each.error) for each in failures), default=0))
