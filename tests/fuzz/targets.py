"""What is fuzzed with raw bytes: each target makes something of them, and fails if that is not as it should be.

`scripts/fuzz` calls them guided by coverage, the tests with examples of their own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BytesIO
from typing import Any, Final

from tests.fuzz.models import KEY, EverySession
from tests.fuzz.oracle import check_error

from sojourn import (
    DocumentationSession,
    InvalidCursor,
    InvalidInput,
    Limits,
    McpSession,
    Session,
    SessionCorrupt,
    SojournError,
    TokenInvalid,
)
from sojourn.archive.transfer import FORMATS, TABLES, DamagedFile
from sojourn.archive.transfer.formats import Row, Source
from sojourn.codec import Codec, codec_for, decode_entry, encode_entry
from sojourn.codec.fidelity import same
from sojourn.events import Event
from sojourn.keys import parse_event_id, parse_key, parse_member
from sojourn.models import Log, UnknownSession
from sojourn.operations.dead_pages import _read_cursor as read_dead_cursor
from sojourn.operations.listing import read_cursor, write_cursor
from sojourn.sealing import Keyring, Sealer, parse_keys
from sojourn.tokens.form import is_token, make_token, mark_of, masked_tokens, parse_marked, parse_token

__all__ = ["SEEDS", "TARGETS"]

_ID: Final = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
_ID_FORM: Final = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CODECS: Final[tuple[Codec[Any], ...]] = tuple(
    codec_for(each) for each in (EverySession, Session, DocumentationSession, McpSession, UnknownSession)
)
_LOGS: Final[tuple[Log[Any], ...]] = (
    EverySession.lines,
    EverySession.items,
    EverySession.any_values,
    DocumentationSession.notes,
    McpSession.tool_executions,
)
_LIMITS: Final = Limits()
_ROW_FORMATS: Final = (FORMATS["csv"], FORMATS["jsonl"])
_KEYRING: Final = Keyring(parse_keys([(KEY, "the key")]))


def _text(data: bytes) -> str:
    """As the store reads what is no UTF-8."""
    return data.decode("utf-8", "surrogateescape")


def _valid(codec: Codec[Any]) -> dict[str, str]:
    """The hash of a session, as it is after `create`."""
    needed: dict[str, Any] = {"workspace_id": "w", "module_name": "m"} if codec.model is DocumentationSession else {}
    _, encoded = codec.encode_new(needed, _ID, "acme", _LIMITS, _KEYRING)
    times = dict.fromkeys(("created_at_ms", "updated_at_ms", "accessed_at_ms", "expires_at_ms"), "1750000000000")
    return {**encoded, "id": _ID, "tenant": "acme", "kind": codec.kind, "version": "3", "ttl_ms": "60000", **times}


_RECORDS: Final = tuple(
    (codec, _valid(codec), sorted(each.stored_as for each in codec.fields.values())) for codec in _CODECS
)


def fuzz_record(data: bytes) -> None:
    """A hash with fields that other hands wrote is a session, or damaged at a field that is named."""
    if len(data) < 2:
        return
    codec, valid, names = _RECORDS[data[0] % len(_RECORDS)]
    stored = dict(valid)
    for part in data[1:].split(b"\xff\xff"):
        if part:
            stored[names[part[0] % len(names)]] = _text(part[1:])
    try:
        session = codec.decode(stored, _ID, "acme", _KEYRING)
    except SessionCorrupt as error:
        check_error(error)
        assert error.field in stored or error.field == "record"  # noqa: PT017
        return
    assert session.id == _ID
    repr(session)
    again = codec.decode(stored, _ID, "acme", _KEYRING)
    assert type(again) is type(session)


def fuzz_encode(data: bytes) -> None:
    """A value is refused by name, or read back as it was stored."""
    if len(data) < 3:
        return
    codec, valid, _ = _RECORDS[data[0] % len(_RECORDS)]
    name = sorted(codec.fields)[data[1] % len(codec.fields)]
    text = _text(data[2:])
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text
    sealer = Sealer(_KEYRING, "acme", _ID)
    try:
        changes = codec.encode_changes({name: value}, _LIMITS, sealer)
    except SojournError as error:
        check_error(error)
        return
    json.loads(changes.told)
    read = codec.decode(valid | changes.set, _ID, "acme", _KEYRING)
    if name in codec.fields and changes.set:
        back = getattr(read, name)
        once_more = codec.encode_changes({name: back}, _LIMITS, sealer)
        assert same(getattr(codec.decode(valid | once_more.set, _ID, "acme", _KEYRING), name), back)


def fuzz_entry(data: bytes) -> None:
    """An entry of a log that other hands wrote is an entry, or damaged; and what is read can be written."""
    if not data:
        return
    log = _LOGS[data[0] % len(_LOGS)]
    try:
        entry = decode_entry(log, _text(data[1:]), _ID, "acme")
    except SessionCorrupt as error:
        check_error(error)
        return
    try:
        text = encode_entry(log, entry, _LIMITS)
    except InvalidInput as error:
        check_error(error)
        return
    assert same(decode_entry(log, text, _ID, "acme"), entry)


def fuzz_cursor(data: bytes) -> None:
    """A cursor is refused, or leads to a place that it is written from again."""
    text = _text(data)
    for read in (lambda: read_cursor(text, "0123456789ab"), lambda: read_dead_cursor(text)):
        try:
            found = read()
        except InvalidCursor as error:
            check_error(error)
        else:
            assert isinstance(found, tuple)
    place = (int.from_bytes(data[:5], "big"), _ID)
    assert read_cursor(write_cursor("0123456789ab", *place), "0123456789ab") == place


def fuzz_token(data: bytes) -> None:
    """A text is a token, or malformed; one that differs in a character is none; and none is left in what is shown."""
    text = _text(data)
    try:
        parse_token(text)
    except TokenInvalid as error:
        check_error(error)
        assert error.reason == "malformed"  # noqa: PT017
        assert not is_token(text)
    assert not any(is_token(each) for each in masked_tokens(text).split())
    partition = data[0] if data else 0
    good, mark = make_token(partition, _ID), mark_of(partition)
    assert is_token(good)
    assert parse_marked(good, mark) == parse_token(good)[1:]
    if len(data) > 1:
        at = data[1] % len(good)
        other = good[:at] + chr(data[0]) + good[at + 1 :]
        assert is_token(other) == (other == good) == (parse_marked(other, mark) is not None)
    begun = f"{mark}{text[:75].ljust(75, '0')}_"  # the right checksum alone makes nothing that could be another's key
    made = begun + hashlib.sha256(begun.encode(errors="surrogatepass")).hexdigest()[:8]
    marked = parse_marked(made, mark)
    assert marked is None or _ID_FORM.fullmatch(marked[0])
    assert marked is not None or not is_token(made)


def fuzz_keys(data: bytes) -> None:
    """What is no key, member or event id is told as such."""
    text = _text(data)
    for parse in (parse_member, parse_event_id):
        with suppress(InvalidInput):
            parse(text)
    found = parse_key(text)
    assert found is None or text == f"sojourn:{{{found[1]:02d}}}:{found[2]}:{found[0]}:{found[3]}"


def fuzz_event(data: bytes) -> None:
    """An event from JSON, or from a stream's fields, is one that can be written, or refused."""
    text = _text(data)
    made = Event.from_stream(40, "1-0", {"changes": text, "before": text, "version": text, "at_ms": text, "type": text})
    made.to_json()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    try:
        event = Event.from_json(value)
    except InvalidInput as error:
        check_error(error)
        return
    assert same(Event.from_json(event.to_json()), event)


def fuzz_rows(data: bytes) -> None:
    """A file of rows is refused as a whole, or is rows of JSON and damage with its place, in order."""
    for form in _ROW_FORMATS:
        number = 0
        try:
            for found in form.read(Source(BytesIO(data))):
                assert found.number > number
                number = found.number
                if isinstance(found, Row):
                    json.loads(found.json)
        except DamagedFile as error:
            check_error(error)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "record": fuzz_record,
    "encode": fuzz_encode,
    "entry": fuzz_entry,
    "cursor": fuzz_cursor,
    "token": fuzz_token,
    "keys": fuzz_keys,
    "event": fuzz_event,
    "rows": fuzz_rows,
}
"""Each by its name."""

_EVENT: Final = Event.from_stream(
    40, "1750000000000-0", {"type": "created", "tenant": "acme", "id": _ID, "version": "1"}
)
SEEDS: Final[Mapping[str, tuple[bytes, ...]]] = {
    "record": tuple(
        bytes([number, names.index(name)]) + text.encode()
        for number, (_, valid, names) in enumerate(_RECORDS)
        for name, text in valid.items()
        if name in names
    ),
    "encode": (b'\x00\x05{"a": [1, null]}', b"\x00\x09[\"x\"]", b"\x00\x10" + b"12.5"),
    "entry": (b'\x00"text"', b'\x01{"text": "x", "number": 1.5}', b'\x02{"a": [1, {"b": null}]}'),
    "cursor": (write_cursor("0123456789ab", 1_750_000_000_000, _ID).encode(), b"1750000000000-0/40/mail"),
    "token": (make_token(40, _ID).encode(), b"0" * 75),
    "keys": (
        f"acme/{_ID}".encode(), f"sojourn:{{40}}:acme:lease:{_ID}".encode(), b"40-1750000000000-0",
    ),
    "event": (json.dumps(_EVENT.to_json()).encode(), b'{"status": "pending"}', b"1750000000000"),
    "rows": tuple(
        line for each in TABLES.values() for line in (
            ",".join(each.names).encode() + b"\n" + b",".join([b'"a""b"'] * len(each.names)) + b"\n",
            json.dumps({"_table": each.name, **dict.fromkeys(each.names, 1)}).encode() + b"\n",
        )
    ),
}  # fmt: skip
"""Good inputs to begin with."""
