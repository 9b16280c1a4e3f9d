"""Every odd value in every field of every type: refused by name, or read back as it was stored."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.hostile import VALUES, Planted, made, values
from tests.fuzz.models import KEY, EverySession
from tests.fuzz.oracle import check_error
from tests.fuzz.profile import chosen, examples

from sojourn import DocumentationSession, InvalidField, Limits, McpSession, Session, SojournError
from sojourn.codec import codec_for
from sojourn.codec.fidelity import same
from sojourn.sealing import Keyring, Sealer, parse_keys

_ID: Final = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
_LIMITS: Final = Limits()
_KEYRING: Final = Keyring(parse_keys([(KEY, "the key")]))
_TIMES: Final = dict.fromkeys(("created_at_ms", "updated_at_ms", "accessed_at_ms"), "1750000000000")
_MODELS: Final = {model.kind_name: model for model in (EverySession, Session, DocumentationSession, McpSession)}
_LOADED: Final = ("text", "metadata", "labels")
"""Fields that large values are tried in as well."""
_FIELDS: Final = [(kind, name) for kind, model in _MODELS.items() for name in model.model_fields]


def check_value(model: type[Session], name: str, value: Any) -> None:
    """Create and update with the value."""
    codec = codec_for(model)
    needed = {"workspace_id": "w", "module_name": "m"} if model is DocumentationSession else {}
    core = {"id": _ID, "tenant": "acme", "kind": codec.kind, "version": "1", **_TIMES}
    try:
        session, stored = codec.encode_new({**needed, name: made(value, {})}, _ID, "acme", _LIMITS, _KEYRING)
    except InvalidField as error:
        check_error(error)
    except Planted:
        return  # what an object of the caller's raises in a validator is the caller's
    else:
        read = codec.decode(core | stored, _ID, "acme", _KEYRING)
        assert same(getattr(read, name), getattr(session, name))
    try:
        codec.encode_changes({name: made(value, {})}, _LIMITS, Sealer(_KEYRING, "acme", _ID))
    except SojournError as error:
        check_error(error)


@pytest.mark.parametrize(("kind", "name"), _FIELDS)
def test_each_odd_value(kind: str, name: str) -> None:
    """Whichever it is."""
    for value in chosen(VALUES, kind == "every" and name in _LOADED, every=1 if kind == "every" else 3):
        check_value(_MODELS[kind], name, value)


@given(field=st.sampled_from(_FIELDS), value=values())
@examples(300)
def test_random_values(field: tuple[str, str], value: Any) -> None:
    """And what is not."""
    check_value(_MODELS[field[0]], field[1], value)
