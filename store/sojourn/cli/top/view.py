"""What a frame shows: lines of text that fit into the terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from rich.text import Text

from sojourn.cli.terminal import plain
from sojourn.cli.top.look import KEYS, Look, arranged
from sojourn.cli.top.model import HookRow, Row, Sample, Summary, hook_rows, rows, summary

__all__ = ["Frame", "frame"]

_MB: Final = 2**20
_GAP: Final = 2
_NAME_LEAST: Final = 8
_HOOKS: Final = 5
"""Hooks that are shown where there is not room for all: the slowest."""
_ALARM_S: Final = 60.0


@dataclass(frozen=True)
class _Column:
    title: str
    field: str
    importance: int
    """Where there is no room, those of the highest number go first."""
    style: str = ""


_COLUMNS: Final = (
    _Column("NAME", "name", 0), _Column("LIVE", "live", 0, "green"), _Column("PENDING", "pending", 3, "yellow"),
    _Column("ACTIVE", "in_progress", 3, "cyan"), _Column("OVERDUE", "overdue", 2, "red"),
    _Column("COMPLETED", "completed", 4), _Column("FAILED", "failed", 4), _Column("TERMIN", "terminated", 6),
    _Column("EXPIRED", "expired", 5), _Column("DELETED", "deleted", 6), _Column("CREATED/S", "created_per_s", 1),
    _Column("ENDED/S", "ended_per_s", 1), _Column("MEMORY", "memory_bytes", 5),
)  # fmt: skip
_HOOK_TITLES: Final = ("HOOK", "RUNS/S", "FAILED", "AVERAGE", "P95", "DEAD")


@dataclass(frozen=True)
class Frame:
    """Everything that a frame is made of."""

    now: Sample | None
    before: Sample | None = None
    problem: str = ""
    """Why what is shown is not of this moment."""


def frame(found: Frame, look: Look, width: int, height: int, *, keys: bool = True) -> list[Text]:
    """The lines of a frame, no more and no wider than there is room.

    Args:
        found: what was read.
        look: how it is looked at.
        width: columns of the terminal.
        height: its lines.
        keys: whether to tell of the keys, at the bottom.
    """
    if look.help:
        lines = [Text("keys", style="bold"), *(Text(f"  {key:<6}{told}") for key, told in KEYS)]
        return _fit([*lines, Text(""), Text("any key goes back", style="dim")], width, height)
    foot = [_foot(look)] if keys and height > 2 else []
    head = _head(found, look)
    if found.now is None:
        return _fit([*head, *foot], width, height)
    whole = summary(found.before, found.now)
    head += _totals(whole)
    hooks = _hooks(hook_rows(found.before, found.now))
    body = arranged(rows(found.before, found.now, look.group), look)
    table = _table(body, look, width)
    room = height - len(head) - len(foot) - 1
    if hooks and room - len(table) < len(hooks) + 1:
        hooks = hooks[: max(0, min(len(hooks), _HOOKS + 1, room // 3))]
        hooks = hooks if len(hooks) > 1 else []
    space = max(1, room - (len(hooks) + 1 if hooks else 0))
    if len(table) > space:
        table = [*table[: max(1, space - 1)], Text(f"... {len(table) - max(1, space - 1)} more", style="dim")]
    lines = [*head, Text(""), *table, *([Text(""), *hooks] if hooks else [])]
    if len(lines) + len(foot) > height:  # a terminal of a few lines: the table matters most, then the totals
        lines = [*head[:1], *table][: max(1, height - len(foot))]
    return _fit([*lines, *foot], width, height)


def _fit(lines: Sequence[Text], width: int, height: int) -> list[Text]:
    found = list(lines)[: max(1, height)]
    for each in found:
        each.no_wrap = True
        each.truncate(max(1, width), overflow="ellipsis")
    return found


def _head(found: Frame, look: Look) -> list[Text]:
    at = "" if found.now is None else f"{datetime.fromtimestamp(found.now.at_s, UTC):%Y-%m-%d %H:%M:%SZ}"
    line = Text.assemble(("sojourn top", "bold"), f"  {at}  every {look.interval_s:g} s, by {look.group}")
    if look.paused:
        line.append("  paused", style="yellow")
    if look.filter or look.typing:
        line.append(f"  filter: {look.filter}{'_' if look.typing else ''}", style="cyan")
    lines = [line]
    if found.problem:
        lines.append(Text(plain(found.problem), style="red"))
    elif found.now is None:
        lines.append(Text("reading ...", style="dim"))
    return lines


def _totals(whole: Summary) -> list[Text]:
    memory = _bytes(whole.redis_memory_bytes)
    if whole.redis_memory_limit_bytes:
        memory += f" of {_bytes(whole.redis_memory_limit_bytes)}"
    sessions = _line(
        "sessions", (f"{whole.live} live", "green"), _alarm(f"{whole.overdue} overdue", whole.overdue > 0),
        (f"created {_rate(whole.created_per_s)}/s", ""), (f"ended {_rate(whole.ended_per_s)}/s", ""),
    )  # fmt: skip
    lag, p99 = _duration(whole.expiry_lag_s), _duration(whole.expiry_lag_p99_s)
    claimed = f"claimed {lag} after the deadline, 99 % within {p99}" if whole.expiry_lag_s is not None else "none yet"
    expiry = _line("expiry", (claimed, ""), _alarm(f"{whole.lost} lost", whole.lost > 0))
    behind = (
        f"{whole.slowest_group} {_duration(whole.group_lag_s)} behind" if whole.slowest_group else "no group is behind"
    )
    archive = _line(
        "archive", _alarm(f"{whole.dirty} wait, the first for {_duration(whole.archive_lag_s)}",
                          whole.archive_lag_s > _ALARM_S),
        (f"outbox {whole.outbox}", ""), _alarm(behind, whole.group_lag_s > _ALARM_S),
    )  # fmt: skip
    if whole.queues_answer:
        queues = [
            _alarm(f"{_kind(name)} {waiting} wait, {_workers(whole.workers.get(name, 0))}",
                   waiting > 0 and not whole.workers.get(name))
            for name, waiting in whole.queues.items()
        ]  # fmt: skip
    else:
        queues = [("their Redis does not answer", "red")]
    jobs = _line("queues", *queues, _alarm(f"{whole.dead_letters} dead letters", whole.dead_letters > 0))
    return [sessions, expiry, archive, jobs, _line("redis", (memory, ""))]


def _line(title: str, *parts: tuple[str, str]) -> Text:
    line = Text.assemble((f"{title:<9}", "dim"))
    for number, (text, style) in enumerate(parts):
        line.append(("  " if number else "") + plain(text), style=style)
    return line


def _alarm(text: str, alarming: bool) -> tuple[str, str]:
    return text, "red" if alarming else ""


def _kind(queue: str) -> str:
    return queue.rpartition("-")[2]


def _workers(number: int) -> str:
    return f"{number} worker" + ("" if number == 1 else "s")


def _table(body: Sequence[Row], look: Look, width: int) -> list[Text]:
    columns = list(_COLUMNS)
    texts = {column: [_cell(getattr(row, column.field), column.field) for row in body] for column in columns}

    def title(column: _Column) -> str:
        mark = ("↑" if look.ascending else "↓") if column.field == look.sort else ""
        return (look.group.upper() if column.field == "name" else column.title) + mark

    def room(column: _Column) -> int:
        least = max([len(title(column)), *map(len, texts[column])])
        return min(least, max(_NAME_LEAST, width // 3)) if column.field == "name" else least

    while sum(map(room, columns)) + _GAP * (len(columns) - 1) > width and len(columns) > 2:
        columns.remove(max(columns, key=lambda each: (each.field != look.sort, each.importance)))
    titles = Text()
    for column in columns:
        _append(titles, column, title(column), room(column), "bold reverse" if column.field == look.sort else "bold")
    lines = [titles]
    for number in range(len(body)):
        line = Text()
        for column in columns:
            text = texts[column][number]
            _append(line, column, text, room(column), column.style if text not in ("0", "-") else "dim")
        lines.append(line)
    if not body:
        lines.append(Text("no session yet" if not look.filter else "none of that name", style="dim"))
    return lines


def _append(line: Text, column: _Column, text: str, room: int, style: str) -> None:
    if column.field == "name":
        text = text if len(text) <= room else text[: room - 1] + "…"
        line.append(f"{text:<{room}}", style=style)
    else:
        line.append(" " * _GAP)
        line.append(" " * max(0, room - len(text)))
        line.append(text, style=style)


def _cell(value: float | str | None, field: str) -> str:
    if isinstance(value, str):
        return plain(value) or "-"
    if field == "memory_bytes":
        return _bytes(value)
    return _rate(value) if field.endswith("_per_s") else "-" if value is None else str(value)


def _hooks(found: Iterable[HookRow]) -> list[Text]:
    cells = [_HOOK_TITLES] + [
        (plain(each.name), _rate(each.runs_per_s), str(each.failed), _duration(each.average_s), _duration(each.p95_s),
         str(each.dead_letters))
        for each in found
    ]  # fmt: skip
    if len(cells) == 1:
        return []
    widths = [max(len(row[number]) for row in cells) for number in range(len(_HOOK_TITLES))]
    lines = []
    for row in cells:
        first, *rest = (text for text in row)
        line = f"{first:<{widths[0]}}" + "".join(
            f"{'':<{_GAP}}{text:>{room}}" for text, room in zip(rest, widths[1:], strict=True)
        )
        lines.append(Text(line, style="bold" if row is _HOOK_TITLES else ""))
    return lines


def _foot(look: Look) -> Text:
    if look.typing:
        return Text("type to filter; Enter ends, Esc clears", style="dim")
    return Text("q quit  s sort  r reverse  / filter  t tenant  k kind  +/- interval  p pause  h help", style="dim")


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _bytes(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value / _MB:.1f} MB" if value >= _MB / 10 else f"{value / 1024:.1f} kB" if value else "0"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds == float("inf"):
        return "more"
    if seconds < 1:
        return f"{seconds * 1000:.{0 if seconds >= 0.01 else 1}f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
