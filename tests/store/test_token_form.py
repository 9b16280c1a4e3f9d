"""What a token looks like, and what only looks like one."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sojourn import TOKEN_PATTERN, TokenInvalid, TokenPair, is_token
from sojourn.keys import check_id
from sojourn.tokens.form import make_token, mark_of, masked_tokens, parse_marked, parse_token

ID = "6f0f5be2-94a5-4c2f-8d5e-0e6f3a9c1b77"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"


@pytest.mark.parametrize(
    "session_id", [ID, "00000000-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff"]
)
@pytest.mark.parametrize("partition", [0, 7, 63, 99, 100, 4711, 999_999])
def test_what_is_made_can_be_parsed(partition: int, session_id: str) -> None:
    """Partition, session and hash are told, and the text is found by the pattern for scanners."""
    made = make_token(partition, session_id)
    parsed = parse_token(made)
    assert parsed == (partition, session_id, hashlib.sha256(made[:-8].encode()).hexdigest())
    assert re.findall(TOKEN_PATTERN, f"Authorization: Bearer {made}\n") == [made]
    assert is_token(made)


def test_tokens_differ() -> None:
    """256 random bits each: the digits of the random part take all values, and none comes twice."""
    made = [make_token(1, ID) for _ in range(3_000)]
    assert len(set(made)) == 3_000
    assert len({each[7:39] for each in made}) == 1
    assert len({each[40] for each in made}) == 62
    assert len({each[81] for each in made}) == 62


@given(st.text() | st.binary() | st.from_regex(TOKEN_PATTERN) | st.text(ALPHABET).map("sjt_".__add__))
@example("sjt_7_" + "a" * 75 + "_" + "a" * 8)
@example("\ud800" * 91)
@example("sjt_" * 1_000_000)
def test_parsing_is_total(text: Any) -> None:
    """Whatever it is given: a token, or `TokenInvalid` that says nothing of it."""
    if is_token(text):
        assert re.fullmatch(TOKEN_PATTERN, text)
        return
    with pytest.raises(TokenInvalid) as caught:
        parse_token(text, "acme")
    assert (caught.value.tenant, caught.value.reason) == ("acme", "malformed")
    assert str(caught.value) == "the token is not valid for tenant 'acme' (malformed): a new one must be issued"


@pytest.mark.parametrize("value", [None, 1, 1.5, [], {}, object(), b"sjt_", bytearray(60), type("S", (str,), {})("x")])
def test_other_things_are_no_tokens(value: Any) -> None:
    """Neither is any object, nor bytes, nor a subclass of str."""
    with pytest.raises(TokenInvalid):
        parse_token(value)


@given(st.data())
def test_a_changed_character_is_noticed(data: st.DataObject) -> None:
    """The checksum tells every single wrong, missing and additional character."""
    made = make_token(data.draw(st.integers(0, 99)), ID)
    at = data.draw(st.integers(0, len(made) - 1))
    other = data.draw(st.sampled_from(ALPHABET).filter(lambda each: each != made[at]))
    assert not is_token(made[:at] + other + made[at + 1 :])
    assert not is_token(made[:at] + made[at + 1 :])
    assert not is_token(made[:at] + other + made[at:])
    swapped = made[:at] + made[at : at + 2][::-1] + made[at + 2 :]
    assert swapped == made or not is_token(swapped)


@given(st.integers(0, 999_999), st.uuids(version=4), st.data())
def test_the_quick_way_tells_the_same(partition: int, session_id: uuid.UUID, data: st.DataObject) -> None:
    """Of each token with that mark; what it passes over is for the other way to judge."""
    made = make_token(partition, str(session_id))
    parsed = parse_token(made)
    assert parse_marked(made, mark_of(partition)) == (parsed.session_id, parsed.hash)
    assert parse_marked(made, mark_of(partition + 1)) is None
    at = data.draw(st.integers(0, len(made) - 1))
    other = data.draw(st.characters().filter(lambda each: each != made[at]))
    for text in (made[:at] + other + made[at + 1 :], made[:at] + made[at + 1 :], made + other, other + made):
        assert parse_marked(text, mark_of(partition)) is None


@given(st.text(st.characters(codec="ascii"), min_size=75, max_size=75) | st.text(min_size=75, max_size=75))
@example("g" * 75)
@example("A" * 32 + "a" * 43)
@example("a" * 31 + "_" + "a" * 43)
@example("a" * 32 + ":" * 43)
def test_a_checksum_alone_is_no_proof(middle: str) -> None:
    """Of a text that was made to have the right one, no more is believed than an id, in the form of one."""
    begun = f"sjt_07_{middle}_"
    text = begun + hashlib.sha256(begun.encode(errors="surrogatepass")).hexdigest()[:8]
    found = parse_marked(text, "sjt_07_")
    assert found is None or (check_form(found[0]) and re.fullmatch("[0-9a-f]{64}", found[1]))
    if is_token(text):
        assert found is not None


def check_form(session_id: str) -> bool:
    """Return whether a text can be a part of a key and reach no other."""
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", session_id) is not None


@pytest.mark.parametrize("value", [None, 1, b"sjt_07_", [], object(), type("S", (str,), {})("sjt_07_" + "x" * 84)])
def test_the_quick_way_passes_over_other_things(value: Any) -> None:
    """Whatever they are."""
    assert parse_marked(value, "sjt_07_") is None


@pytest.mark.parametrize("missing", ["", "_sha2", "_sha256", "_sha2 _sha256"])
def test_whichever_sha256_there_is(missing: str) -> None:
    """A Python that was built without its own takes OpenSSL's, and finds the same tokens."""
    made = make_token(7, ID)
    lines = (
        f"import sys; sys.modules.update(dict.fromkeys({missing.split()}))",
        "from sojourn.tokens.form import make_token, parse_token",
        f"print(parse_token({made!r}).hash, make_token(7, {ID!r}))",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    found, other = done.stdout.split()
    assert found == parse_token(made).hash == hashlib.sha256(made[:-8].encode()).hexdigest()
    assert is_token(other)


@pytest.mark.parametrize("end", ["\n", " ", "\x00", "٣"])
def test_nothing_may_follow(end: str) -> None:
    """A newline or a digit of another script makes it none."""
    made = make_token(7, ID)
    assert not is_token(made + end)
    assert not is_token(made.replace("0", end, 1))


def test_shown_it_hides_itself() -> None:
    """Neither a pair, nor an error about an id, shows a token or a part of one."""
    made = make_token(7, ID)
    pair = TokenPair(made, made, None, None)  # type: ignore[arg-type]
    for text in (made, made[:57], f"x{made}x"):
        with pytest.raises(ValueError, match="session id") as caught:
            check_id(text)
        for shown in (repr(pair), str(pair), f"{pair}", str(caught.value), masked_tokens(f"see {text}")):
            assert made[39:57] not in shown
    assert masked_tokens("nothing here") == "nothing here"
