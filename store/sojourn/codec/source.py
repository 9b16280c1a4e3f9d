"""What the sources of generated decoders and encoders have in common.

There is nothing in a source but names of fields, which were checked to be such: no data, no values, no annotations.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, Final

from pydantic import BaseModel

from sojourn.codec.shapes import Shape
from sojourn.models import Session

__all__ = ["bounds", "compiled", "default", "instance"]


def _setter(name: str) -> Callable[[Any, Any], None]:
    """What writes one of an instance's own slots, past the refusals of frozen models."""
    setter: Callable[[Any, Any], None] = vars(BaseModel)[name].__set__
    return setter


_SET: Final = {
    "set_dict": _setter("__dict__"), "set_fields": _setter("__pydantic_fields_set__"),
    "set_extra": _setter("__pydantic_extra__"), "set_private": _setter("__pydantic_private__"),
}  # fmt: skip


def instance(model: type[Session], values: dict[str, str], given: str, extra: str, known: dict[str, Any]) -> list[str]:
    """The lines that make the variable `session` an instance of the model.

    Args:
        model: the model.
        values: what the fields are, in order, as expressions.
        given: the set of those that are no defaults, as an expression.
        extra: the extra fields, as an expression.
        known: what the lines refer to is added here.
    """
    known |= {"new": model.__new__, "model": model, **_SET}
    return [
        "session = new(model)",
        f"set_dict(session, {{{', '.join(f'{name!r}: {value}' for name, value in values.items())}}})",
        f"set_fields(session, {given})",
        f"set_extra(session, {extra})",
        "set_private(session, None)",
    ]


def default(shape: Shape, number: int, known: dict[str, Any]) -> str:
    """A field's default, as an expression."""
    known[f"d{number}"] = shape.default if shape.factory is None else shape.factory
    if shape.factory is not None:
        return f"d{number}()"
    if shape.copied:
        known["deepcopy"] = copy.deepcopy
        return f"deepcopy(d{number})"
    return f"d{number}"


def bounds(shape: Shape, measured: str, number: int, known: dict[str, Any], refuse: str) -> list[str]:
    """The lines that do `refuse` where what is measured lies outside of a field's bounds."""
    lines = []
    for position, (refused, bound) in enumerate(shape.bounds):
        known[f"b{number}_{position}"] = bound
        lines += [f"if {measured} {refused} b{number}_{position}:", refuse]
    return lines


def compiled(head: str, lines: Iterable[str], name: str, known: dict[str, Any]) -> Any:
    """The function with that head and those lines; `name` is what tracebacks call its file."""
    source = f"def made({head}):\n" + "\n".join("    " + line for line in lines) + "\n"
    exec(compile(source, f"<{name}>", "exec"), known)  # noqa: S102 - see the module's docstring
    return known.pop("made")
