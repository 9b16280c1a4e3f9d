"""The operations on sessions of MCP servers: recording executions of tools, and telling what came of them."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

from pydantic import JsonValue, TypeAdapter, ValidationError

from sojourn.errors import InvalidField, InvalidInput, SessionCorrupt
from sojourn.keys import check_id
from sojourn.limits import Limits, check_depth
from sojourn.models import ExecutionMetrics, McpMetrics, McpSession, ToolExecution, Within
from sojourn.operations.core import Argument, Context, Operation, call, new_operation_id, raise_for
from sojourn.operations.read import LogRead, log_read
from sojourn.operations.record import decode_readable

__all__ = ["BOUNDS_MS", "metrics", "record"]

BOUNDS_MS: Final = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
"""Of the durations' buckets, and one more for all that took longer: Prometheus's default ones.

https://github.com/prometheus/client_golang/blob/v1.20.5/prometheus/histogram.go#L268-L270
"""
_BOUNDS_US: Final = tuple(bound * 1_000 for bound in BOUNDS_MS)
_BUCKETS: Final = len(BOUNDS_MS) + 1
_NOTHING: Final = (0,) * (3 + _BUCKETS)
_LOG: Final = McpSession.tool_executions
_TOOL: Final = "_tool:"
"""Hash fields that begin so hold a tool's figures: total, failed, microseconds, and the count in each bucket."""
_TOOL_BYTES: Final = 128
_ERROR_BYTES: Final = 1_024
_US: Final = timedelta(microseconds=1)
_LONGEST: Final = timedelta(days=30)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_JSON: Final[TypeAdapter[Any]] = TypeAdapter(JsonValue)
_KNOWN: Final = frozenset({"tool", "duration", "success", "error", "arguments"})


def record(
    context: Context, model: type[McpSession], session_id: str, executions: Iterable[Mapping[str, Any]]
) -> Operation[int]:
    """Note executions; how many the session has had with these is the result."""
    session_id = check_id(session_id)
    limits, keys = context.limits, context.keys
    if isinstance(executions, (str, bytes, Mapping)) or not isinstance(executions, Iterable):
        raise InvalidInput(f"executions are a list of mappings, not {type(executions).__name__}")
    args: list[Argument] = [
        keys.partition.prefix, keys.tenant, session_id, new_operation_id(), context.expects(model),
        int(context.sliding), context.grace_ms, context.actor, context.trace, _LOG.name, _LOG.keep or "",
        limits.log_entries, limits.tools, _BUCKETS,
    ]  # fmt: skip
    count = 0
    figures: dict[str, list[int]] = {}
    entries: list[Argument] = []
    for count, each in enumerate(executions, 1):
        if count > limits.batch:
            raise InvalidInput(f"at most {limits.batch} executions can be recorded in one call")
        if not isinstance(each, Mapping) or not each.keys() <= _KNOWN or not each.keys() >= {"tool", "duration"}:
            raise InvalidInput(
                "an execution is a mapping with tool and duration, and may have success, error, arguments"
            )
        tool, counted, entry = _execution(limits, **each)
        figures[tool] = [a + b for a, b in zip(figures.get(tool, _NOTHING), counted, strict=True)]
        entries.append(entry)
    if not count:
        raise InvalidInput("there is no execution to record")
    args.append(len(figures))
    for tool, own in figures.items():
        args += (tool, ",".join(f"{number} {amount}" for number, amount in enumerate(own, 1) if amount))
    args += entries

    def parse(reply: Any) -> int:
        raise_for(reply, session_id, context.tenant)
        return int(reply)

    return call("record_executions", [keys.session(session_id)], args, parse)


def _execution(
    limits: Limits, *, tool: Any, duration: Any, success: Any = True, error: Any = None, arguments: Any = None
) -> tuple[str, list[int], str]:
    """The tool of one execution, what it adds to the tool's figures, and its entry in the log, but for when it was."""
    tool = str.__str__(tool) if isinstance(tool, str) else ""
    if not tool.isprintable() or not 1 <= len(tool.encode()) <= _TOOL_BYTES:
        raise InvalidField("tool", f"is printable text of 1 to {_TOOL_BYTES} bytes")
    duration_us = _microseconds(duration)
    if not isinstance(success, bool):
        raise InvalidField("success", "is True or False")
    if success and error is not None:
        raise InvalidField("success", "an execution with an error is no success: pass success=False")
    digest = None if arguments is None else _digest(limits, arguments)
    entry = ToolExecution(
        tool=tool, at=_EPOCH, duration=timedelta(microseconds=duration_us), success=success, error=_shortened(error),
        arguments_digest=digest,
    )  # fmt: skip
    text = entry.model_dump_json(exclude={"at"}, exclude_none=True)
    if len(text.encode()) > limits.entry_bytes:
        raise InvalidField("error", f"its entry in the log takes more than the {limits.entry_bytes} bytes allowed")
    counted = [1, int(not success), duration_us, *_NOTHING[3:]]
    counted[3 + bisect_left(_BOUNDS_US, duration_us)] = 1
    return tool, counted, text.removeprefix("{")


def _microseconds(duration: Any) -> int:
    if isinstance(duration, bool) or not isinstance(duration, (int, float, timedelta)):
        raise InvalidField("duration", f"is a timedelta, or seconds, not {type(duration).__name__}")
    if isinstance(duration, timedelta):
        duration = timedelta(duration.days, duration.seconds, duration.microseconds)  # of a subclass what it holds
        fits = timedelta(0) <= duration <= _LONGEST
    else:
        duration = float.__float__(duration) if isinstance(duration, float) else int.__int__(duration)
        fits = 0 <= duration <= _LONGEST.total_seconds()  # NaN compares false
    if not fits:
        raise InvalidField("duration", f"is between 0 and {_LONGEST.days} days")
    return duration // _US if isinstance(duration, timedelta) else round(duration * 1_000_000)


def _shortened(error: Any) -> str | None:
    """An error's text, as much as is kept of it."""
    if error is None:
        return None
    if not isinstance(error, str) or "\x00" in (error := str.__str__(error)):
        raise InvalidField("error", "is not text, or contains a NUL character")
    try:
        return error.encode()[:_ERROR_BYTES].decode(errors="ignore")
    except UnicodeEncodeError:
        raise InvalidField("error", "is not valid Unicode text") from None


def _digest(limits: Limits, arguments: Any) -> str:
    check_depth("arguments", arguments, limits.depth, limits.field_bytes)
    try:
        value = _JSON.validate_python(arguments, strict=True)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()
    except (ValidationError, ValueError, TypeError, RecursionError):
        raise InvalidField("arguments", "are no JSON value") from None


def metrics(context: Context, model: type[McpSession], session_id: str) -> Operation[McpMetrics]:
    """What came of a session's executions."""
    session_id = check_id(session_id)
    keys = context.keys

    def parse(read: LogRead) -> McpMetrics:
        stored = read.stored
        decode_readable(context, model, stored, read.at_ms, session_id)
        each = {
            name.removeprefix(_TOOL): _figures(name, text, session_id, context.tenant)
            for name, text in stored.items()
            if name.startswith(_TOOL)
        }
        together = [sum(column) for column in zip(*each.values(), strict=True)] or [0] * (3 + _BUCKETS)
        others = each.pop("", None)
        dropped = stored.get(f"_dropped:{_LOG.name}", "0")
        if not (dropped.isascii() and dropped.isdecimal() and len(dropped) < 17):
            raise SessionCorrupt(session_id, context.tenant, f"_dropped:{_LOG.name}")
        return McpMetrics(
            **_metrics(together),
            session_id=session_id,
            tools={tool: ExecutionMetrics(**_metrics(own)) for tool, own in sorted(each.items())},
            others=ExecutionMetrics(**_metrics(others)) if others else None,
            log_length=read.length, log_first=read.first, log_dropped=int(dropped),
        )  # fmt: skip

    own = keys.session(session_id), keys.log(session_id, _LOG.name)
    return log_read(keys.tenant, session_id, *own, _LOG.name, parse, count=0, whole=True, prefix=keys.partition.prefix)


def _figures(field: str, text: str, session_id: str, tenant: str) -> list[int]:
    numbers = text.split(" ")
    if len(numbers) != 3 + _BUCKETS or not all(one.isascii() and one.isdecimal() and len(one) < 17 for one in numbers):
        raise SessionCorrupt(session_id, tenant, field if field.isprintable() else _TOOL)
    return [int(one) for one in numbers]


def _metrics(figures: list[int]) -> dict[str, Any]:
    total, failed, duration_us, *counts = figures
    within = zip((*BOUNDS_MS, None), accumulate(counts), strict=True)
    return {
        "total": total, "failed": failed, "duration": timedelta(microseconds=duration_us),
        "buckets": tuple(Within(bound_ms=bound, count=count) for bound, count in within),
    }  # fmt: skip
