"""Settings, from wherever they are read: settings, or a `SettingsError` that quotes no password."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.hostile import MARK, TEXTS, VALUES, Made, Planted, made, values
from tests.fuzz.oracle import check_error
from tests.fuzz.profile import chosen, examples

from sojourn import InvalidField, Rate, Settings, SojournError, TenantLimits, load_settings
from sojourn.quotas import checked_limits

_NAMES: Final = sorted(Settings.model_fields)
_SECRET: Final = {"secret_keys", "redis_url", "queue_url", "archive_url"}
_ARGUMENTS: Final = [
    each for each in VALUES if not isinstance(each, Made) or not re.search("range|without end|lies|raise", each.name)
]
"""Who writes the program passes the arguments, and is trusted not to pass what has no end."""
_FOR_VARIABLES: Final = [each for each in TEXTS if isinstance(each, str) and "\x00" not in each]


def check_loading(arguments: dict[str, Any], *, secret: bool = False) -> None:
    """Load, and judge what comes of it. Values that are no secrets, such as names, may be quoted."""
    try:
        found = load_settings(**arguments)
        found.context(found.load_models())
    except SojournError as error:
        check_error(error, quotes=not secret)
    except Planted:
        assert arguments  # what an object of the caller's raises in a validator is the caller's
    else:
        assert not secret or MARK not in repr(found.secret_keys)


@pytest.fixture(autouse=True)
def no_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave nothing of the caller's settings."""
    for name in os.environ:
        if name.startswith("SOJOURN_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", _NAMES)
def test_arguments(name: str) -> None:
    """Each setting with each odd value."""
    for value in chosen(_ARGUMENTS, name in ("ttl", "redis_url")):
        check_loading({name: made(value, {})}, secret=name in _SECRET)


@pytest.mark.parametrize("name", _NAMES)
def test_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Each variable with each odd text, and as JSON of another kind."""
    for text in [*_FOR_VARIABLES, f'{{"{MARK}": 1}}', f'["{MARK}"]', "[[1]]", '{"a": {"b": {}}}', "1e400"]:
        monkeypatch.setenv(f"SOJOURN_{name.upper()}", text[:100_000].encode("utf-8", "replace").decode())
        check_loading({}, secret=name in _SECRET)


@given(name=st.sampled_from(_NAMES), value=values())
@examples(150)
def test_yaml(tmp_path_factory: pytest.TempPathFactory, name: str, value: Any) -> None:
    """Values from a file."""
    try:
        text = yaml.safe_dump({name: made(value, {})}, allow_unicode=True)
    except (yaml.YAMLError, RecursionError, TypeError, ValueError, AttributeError, MemoryError):
        return
    check_file(tmp_path_factory, text.encode("utf-8", "surrogatepass"))


@given(
    content=st.binary(max_size=60)
    | st.sampled_from([each for each in TEXTS if isinstance(each, str)]).map(
        lambda text: text.encode("utf-8", "surrogatepass")
    )
)
@examples(150)
def test_files_that_are_no_settings(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    """Files of any bytes."""
    check_file(tmp_path_factory, content)
    check_file(tmp_path_factory, b"redis_url: " + content)


def check_file(factory: pytest.TempPathFactory, content: bytes) -> None:
    """Load a file."""
    path = factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    os.environ["SOJOURN_CONFIG"] = str(path)
    try:
        check_loading({})
    finally:
        del os.environ["SOJOURN_CONFIG"]


@pytest.mark.parametrize("name", sorted(TenantLimits.model_fields))
def test_limits(name: str) -> None:
    """Each limit with each odd value; and what a limit's hash holds of other hands."""
    for value in chosen(VALUES, loaded=False):
        try:
            limits = checked_limits({name: made(value, {})})
        except InvalidField as error:
            check_error(error)
        except Planted:
            continue  # raised by an object of the caller's, in a validator
        else:
            assert TenantLimits.from_stored(limits.to_stored()) == limits
        if isinstance(value, str):
            TenantLimits.from_stored({name: value})
            try:
                Rate.parse(value)
            except InvalidField as error:
                check_error(error)
