"""From what was typed to what a session's own model calls for; and entries of logs, ``-`` for stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sojourn.cli.parameters import Assigned
from sojourn.errors import InvalidField

if TYPE_CHECKING:
    from sojourn.codec import Codec
    from sojourn.models import Log, Session

__all__ = [
    "amounts",
    "check_settable",
    "defaults",
    "entries_from",
    "given",
    "json_or_text",
    "log_named",
    "parsed",
]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in options.items() if value not in (None, ())}


def json_or_text(text: str) -> Any:
    """The value that a text is the JSON of; the text itself if it is not JSON.

    Example:
        >>> json_or_text("[1, 2]"), json_or_text("ada")
        ([1, 2], 'ada')
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def parsed(codec: Codec[Any], assigned: Iterable[Assigned]) -> dict[str, Any]:
    """The values of assignments to a model's fields; the last one to a field counts.

    ``@PATH`` stands for what a file holds, ``-`` for what stdin does, without the end of the last line. A text field
    takes ``42`` as text: whoever sets one cannot have meant a number.

    Raises:
        InvalidField: a secret stands on the command line, where others can read it; or a file cannot be read.
    """
    found = {}
    for each in assigned:
        field = codec.fields.get(each.name)
        text = _from_elsewhere(each)
        if text is None and field is not None and field.secret is not None:
            raise InvalidField(
                each.name, f"is a secret, which others could read on the command line: {each.name}=@FILE, or "
                f"{each.name}=- for stdin"
            )  # fmt: skip
        text = each.text if text is None else text
        value = json_or_text(text)
        if field is not None and field.is_text and not isinstance(value, str | None):
            value = text
        found[each.name] = value
    return found


def _from_elsewhere(assigned: Assigned) -> str | None:
    """What a file or stdin holds; None where the value stands on the line itself."""
    if assigned.text == "-":
        return _stdin().removesuffix("\n").removesuffix("\r")
    if not assigned.text.startswith("@"):
        return None
    try:
        return Path(assigned.text[1:]).read_text(encoding="utf-8-sig").removesuffix("\n").removesuffix("\r")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InvalidField(
            assigned.name, f"the file {assigned.text[1:]} cannot be read: {reason} (a text that begins with @ is "
            f"""written '"@..."')"""
        ) from None  # fmt: skip


def check_settable(codec: Codec[Any], names: Iterable[str]) -> None:
    """Refuse what is no field to be set, before it could pass for a parameter of the library's methods.

    Raises:
        InvalidField: the model has no such field, or it is not the user's to set.
    """
    from sojourn.codec import CORE_READ_ONLY

    for name in names:
        if name not in codec.fields:
            raise InvalidField(name, f"{codec.model.__name__} has no such field")
        if name in CORE_READ_ONLY:
            raise InvalidField(name, "is kept by Sojourn and cannot be set")


def amounts(assigned: Iterable[Assigned]) -> Mapping[str, Any]:
    """Counters and what to add to each.

    Raises:
        InvalidField: a counter is named twice.
    """
    found: dict[str, Any] = {}
    for each in assigned:
        if each.name in found:
            raise InvalidField(each.name, "is given twice")
        found[each.name] = json_or_text(each.text)
    return found


def defaults(codec: Codec[Any], names: Iterable[str]) -> dict[str, Any]:
    """The defaults of a model's fields.

    Raises:
        InvalidField: a field has none.
    """
    found = {}
    for name in names:
        info = codec.model.model_fields[name]
        if info.is_required():
            raise InvalidField(name, "is required and cannot be unset")
        found[name] = info.get_default(call_default_factory=True)
    return found


def log_named(session: Session, name: str) -> Log[Any]:
    """A log of the session's model. Where that is not known, any log may be there, of entries in JSON.

    Raises:
        InvalidField: the model has no such log.
    """
    from sojourn.codec import codec_for
    from sojourn.models import Log, UnknownSession

    logs = codec_for(type(session)).logs
    if name in logs:
        return logs[name]
    if isinstance(session, UnknownSession):
        return Log(Any, name)
    raise InvalidField(name, f"is not a log of {type(session).__name__}, which has {', '.join(logs) or 'none'}")


def entries_from(arguments: Iterable[str]) -> list[Any]:
    """The entries that were given, and for ``-`` the lines of stdin."""
    found: list[Any] = []
    for each in arguments:
        lines = _stdin().splitlines() if each == "-" else [each]
        found += [json_or_text(line) for line in lines]
    return found


def _stdin() -> str:
    return sys.stdin.read()
