"""Which types are secrets."""

from __future__ import annotations

from typing import Any, Final, get_args, get_origin

from pydantic import Secret, SecretBytes, SecretStr

__all__ = ["holds_secret", "secret_type", "secret_value_type"]

_KINDS: Final = (SecretStr, SecretBytes, Secret)
_HOME: Final = Secret.__module__


def secret_type(annotation: Any) -> type[Any] | None:
    """The class of a secret's values; None for a type that is none.

    Example:
        >>> secret_type(Secret[int]), secret_type(int)
        (<class 'pydantic.types.Secret'>, None)
    """
    bare = get_origin(annotation) or annotation
    return bare if isinstance(bare, type) and issubclass(bare, _KINDS) else None


def secret_value_type(annotation: Any) -> Any:
    """What a `Secret` holds: ``T`` of ``Secret[T]``, or of the one that a class was made from."""
    if get_origin(annotation) is not None:
        return get_args(annotation)[0]
    for each in annotation.__mro__:
        for base in each.__dict__.get("__orig_bases__", ()):
            if get_origin(base) is Secret:
                return get_args(base)[0]
    return Any


def holds_secret(schema: Any) -> bool:
    """Whether a pydantic core schema is of a secret, or of anything with a secret somewhere inside.

    The schema is looked through, rather than annotations, since in it all that a type can be made of is resolved.
    """
    waiting, seen = [schema], set()
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict | list | tuple):
            if id(found) in seen:
                continue
            seen.add(id(found))
            waiting += found.values() if isinstance(found, dict) else found
        elif isinstance(found, type):
            if issubclass(found, _KINDS):
                return True
        elif callable(found) and getattr(found, "__module__", "") == _HOME and "ecret" in found.__qualname__:
            return True  # of Secret[T] the schema has functions only
    return False
