"""The two stores are twins."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from sojourn import AsyncSessionStore, AsyncTokens, SessionStore, Tokens


def methods(cls: type[Any]) -> dict[str, Any]:
    """Return a store's public methods."""
    return {
        name: value
        for name, value in inspect.getmembers(cls)
        if not name.startswith("_") and inspect.isfunction(value)
    }  # fmt: skip


def told(signature: inspect.Signature) -> str:
    """Return a signature with what differs by nature made equal."""
    return re.sub(r"\bAsync(Iterator)\b", r"\1", str(signature))


def test_same_names() -> None:
    """Each method of one is a method of the other."""
    assert sorted(methods(SessionStore)) == sorted(methods(AsyncSessionStore))
    assert sorted(methods(Tokens)) == sorted(methods(AsyncTokens))


@pytest.mark.parametrize("name", sorted(methods(SessionStore)))
def test_same_signatures(name: str) -> None:
    """Parameters, defaults and results agree."""
    one, other = getattr(SessionStore, name), getattr(AsyncSessionStore, name)
    assert told(inspect.signature(one)) == told(inspect.signature(other))


@pytest.mark.parametrize("name", sorted(methods(Tokens)))
def test_same_signatures_of_tokens(name: str) -> None:
    """The same goes for tokens."""
    one, other = getattr(Tokens, name), getattr(AsyncTokens, name)
    assert told(inspect.signature(one)) == told(inspect.signature(other))


@pytest.mark.parametrize("cls", [SessionStore, AsyncSessionStore, Tokens, AsyncTokens])
def test_everything_public_is_documented(cls: type[Any]) -> None:
    """Every public method has a docstring of its own, the synchronous ones with what they raise."""
    for name, method in methods(cls).items():
        assert method.__doc__, name
        assert method.__doc__[0].isupper(), name


def test_constructors_agree() -> None:
    """Both take the same arguments."""
    assert inspect.signature(SessionStore.__init__) == inspect.signature(AsyncSessionStore.__init__)
