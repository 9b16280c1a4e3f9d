"""``sojourn doctor``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.asking import confirm
from sojourn.cli.output import Cell, complain, hint, print_line
from sojourn.cli.parameters import DRY_RUN, YES
from sojourn.cli.progress import bar
from sojourn.cli.shapes import Document
from sojourn.cli.shared import Command, State, pass_state
from sojourn.cli.telling import tell

if TYPE_CHECKING:
    from sojourn.doctor import Finding, Mended

__all__ = ["doctor"]

WARNED: Final = 6
WRONG: Final = 7
_STYLES: Final = {"ok": "green", "info": "cyan", "warning": "yellow", "error": "red"}
_CODES: Final = {"ok": 0, "info": 0, "warning": WARNED, "error": WRONG}
_INDENT: Final = Cell(" " * 7)


@click.command(
    cls=Command,
    output=Document("Findings"),
    examples=[
        "sojourn doctor",
        "sojourn doctor --full",
        "sojourn doctor --check memory --check persistence --json",
        "sojourn doctor --fix --dry-run",
        "sojourn doctor --fix --yes",
    ],
    epilog=f"Exit codes: 0 all is well, {WARNED} there are warnings, {WRONG} something is wrong; after --fix, of what "
    "is left.",
)
@click.option("--check", "names", multiple=True, metavar="NAME", help="Only this check; may be repeated.")
@click.option("--full", is_flag=True, help="Look at every session, not only at some.")
@click.option("--fix", is_flag=True, help="Mend what can be mended without losing anything; asks first.")
@YES
@DRY_RUN
@pass_state
def doctor(state: State, names: tuple[str, ...], full: bool, fix: bool, yes: bool, dry_run: bool) -> None:
    """Find what is wrong, and how to mend it.

    Of each thing it tells what was found, why it matters, and the command that mends it. Nothing is changed without
    --fix, and nothing is lost with it: what could lose data is left to you. Clients and workers may go on meanwhile.
    """
    if (yes or dry_run) and not fix:
        raise click.UsageError("--yes and --dry-run go with --fix", click.get_current_context())
    findings = _examined(state, names, full=full)
    if not fix:
        _tell(state, findings)
        raise SystemExit(_code(findings))
    chosen = _chosen(findings)
    if dry_run:
        _tell(state, findings, [each.to_json() for each in _planned(state, chosen)])
        raise SystemExit(_code(findings))
    if chosen:
        _ask(chosen, yes=yes)
    mended = list(_mended(state, chosen))
    _tell(state, findings, [each.to_json() for each in mended])
    done = {each.check for each in mended}
    left = [each for each in findings if not (each.fixable and each.check in done)]
    raise SystemExit(_code([*left, *(finding for each in mended for finding in each.left)]))


def _code(findings: Sequence[Finding]) -> int:
    return max((_CODES[each.severity] for each in findings), default=0)


def _examined(state: State, names: Sequence[str], *, full: bool) -> list[Finding]:
    """Make the checks; people see each finding as it comes."""
    from sojourn.doctor import examine

    found = []
    with bar("keys", "keys", quiet=not full) as progress:
        for each in examine(state.settings, only=names, full=full, progress=progress):
            found.append(each)
            if state.output == "table":
                _print(each)
    return found


def _tell(state: State, findings: Sequence[Finding], fixes: list[dict[str, Any]] | None = None) -> None:
    """Tell programs; people were told already."""
    rows = [each.to_json() for each in findings]
    document: dict[str, Any] = {"findings": rows} if fixes is None else {"findings": rows, "fixes": fixes}
    tell(state, document, lambda: None, rows=rows)


def _print(finding: Finding) -> None:
    print_line(
        [Cell(f"{finding.severity:<7}", _STYLES[finding.severity]), Cell(f"{finding.check}:"), Cell(finding.found)]
    )
    if finding.why:
        print_line([_INDENT, Cell(finding.why)])
    if finding.mend:
        print_line([_INDENT, Cell(f"to mend it: {finding.mend}")])
    for command in finding.commands:
        print_line([_INDENT, Cell(f"$ {command}")])


def _chosen(findings: Sequence[Finding]) -> list[Finding]:
    """What --fix can mend."""
    chosen = [each for each in findings if each.fixable]
    if not chosen:
        hint("there is nothing that --fix could mend")
    return chosen


def _plans(chosen: Sequence[Finding]) -> dict[str, str]:
    """What would be done, by the names of the checks."""
    from sojourn.doctor import CHECKS

    fixes = {each.name: each.fixes for each in CHECKS}
    return {name: fixes[name] for name in dict.fromkeys(each.check for each in chosen)}


def _planned(state: State, chosen: Sequence[Finding]) -> Iterator[Mended]:
    from sojourn.doctor import Mended

    for name, told in _plans(chosen).items():
        if state.output == "table":
            hint(f"{name}: --fix {told}")
        yield Mended(name, done=told, left=tuple(each for each in chosen if each.check == name))


def _ask(chosen: Sequence[Finding], *, yes: bool) -> None:
    if not yes:
        for name, told in _plans(chosen).items():
            hint(f"{name}: --fix {told}")
    confirm("Mend that", yes=yes)


def _mended(state: State, chosen: Sequence[Finding]) -> Iterator[Mended]:
    """Mend it, and tell the audit."""
    from sojourn.doctor import mend

    if not chosen:
        return
    with state.telling("doctor.fix") as told, bar("keys", "keys") as progress:
        done: dict[str, str] = {}
        told["checks"] = done
        for each in mend(state.acting, chosen, progress=progress):
            done[each.check] = each.done or "failed"
            if each.failed:
                complain(f"{each.check} could not be mended: {each.failed}")
            elif state.output == "table":
                print_line([Cell("mended ", "green"), Cell(f"{each.check}:"), Cell(each.done)])
                for finding in each.left:
                    _print(finding)
            yield each
