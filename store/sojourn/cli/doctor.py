"""``sojourn doctor`` and ``sojourn metrics``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from sojourn.cli.output import Cell, complain, hint, print_json, print_line
from sojourn.cli.progress import bar
from sojourn.cli.shared import Command, State, pass_state

if TYPE_CHECKING:
    from sojourn.doctor import Finding, Mended

__all__ = ["doctor", "metrics"]

WARNED: Final = 6
WRONG: Final = 7
_STYLES: Final = {"ok": "green", "info": "cyan", "warning": "yellow", "error": "red"}
_CODES: Final = {"ok": 0, "info": 0, "warning": WARNED, "error": WRONG}
_INDENT: Final = Cell(" " * 7)


@click.command(
    cls=Command,
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
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Mend nothing, but tell what --fix would do.")
@pass_state
def doctor(state: State, names: tuple[str, ...], full: bool, fix: bool, yes: bool, dry_run: bool) -> None:
    """Check a deployment: what is wrong, why it matters, and the command that mends it.

    Nothing is changed without --fix, and nothing is lost with it: what could lose data is left to you. Clients and
    workers may go on meanwhile.
    """
    from sojourn.doctor import examine

    if (yes or dry_run) and not fix:
        raise click.UsageError("--yes and --dry-run go with --fix", click.get_current_context())
    findings: list[Finding] = []
    with bar("keys", "keys", quiet=not full) as progress:
        for each in examine(state.settings, only=names, full=full, progress=progress):
            findings.append(each)
            if not state.as_json:
                _print(each)
    mended: list[Mended] | None = None
    if fix:
        mended = list(_mended(state, findings, yes=yes, dry_run=dry_run))
        fixed = {each.check for each in mended}
        left = [each for each in findings if not (each.fixable and each.check in fixed)]
        left += [finding for each in mended for finding in each.left]
        remaining = findings if dry_run else left
    else:
        remaining = findings
    code = max((_CODES[each.severity] for each in remaining), default=0)
    if state.as_json:
        told: dict[str, Any] = {"findings": [each.to_json() for each in findings]}
        if mended is not None:
            told["fixes"] = [each.to_json() for each in mended]
        print_json(told)
    raise SystemExit(code)


def _print(finding: Finding) -> None:
    style = _STYLES[finding.severity]
    print_line([Cell(f"{finding.severity:<7}", style), Cell(f"{finding.check}:"), Cell(finding.found)])
    if finding.why:
        print_line([_INDENT, Cell(finding.why)])
    if finding.mend:
        print_line([_INDENT, Cell(f"to mend it: {finding.mend}")])
    for command in finding.commands:
        print_line([_INDENT, Cell(f"$ {command}")])


def _mended(state: State, findings: Sequence[Finding], *, yes: bool, dry_run: bool) -> Iterator[Mended]:
    """Mend what may be mended, after asking."""
    from sojourn.doctor import CHECKS, Mended, mend

    fixes = {each.name: each.fixes for each in CHECKS}
    wanted = list(dict.fromkeys(each.check for each in findings if each.fixable))
    chosen = []
    for name in wanted:
        if dry_run:
            hint(f"{name}: would be mended: {fixes[name]}")
            yield Mended(name, done="")
        elif yes or click.confirm(f"{name}: --fix {fixes[name]}. Do it?", err=True):
            chosen.append(name)
    if not wanted:
        hint("there is nothing that --fix could mend")
    if not chosen:
        return
    with state.telling("doctor.fix", checks=chosen) as told, bar("keys", "keys") as progress:
        told["done"] = []
        for each in mend(state.settings, [f for f in findings if f.check in chosen], progress=progress):
            told["done"].append(each.check)
            if each.failed:
                complain(f"{each.check} could not be mended: {each.failed}")
            elif not state.as_json:
                print_line([Cell("mended ", "green"), Cell(f"{each.check}:"), Cell(each.done)])
            if not state.as_json:
                for finding in each.left:
                    _print(finding)
            yield each


@click.command(cls=Command, examples=["sojourn metrics", "sojourn metrics --json"])
@pass_state
def metrics(state: State) -> None:
    """Print the numbers that Redis keeps of a deployment, in the format that Prometheus scrapes."""
    from sojourn.metrics import read_metrics

    found = read_metrics(state.settings)
    if state.as_json:
        print_json(found.to_json())
        return
    from sojourn.exposition import exposition

    click.echo(exposition(found), nl=False)
