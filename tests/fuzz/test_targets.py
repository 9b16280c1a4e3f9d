"""The codec and the parsers of cursors, tokens, keys and events, with bytes of every kind; see scripts/fuzz too."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.hostile import TEXTS, made
from tests.fuzz.profile import examples
from tests.fuzz.targets import SEEDS, TARGETS

_ROOT: Final = Path(__file__).resolve().parents[2]
_ODD: Final = [bytes(str(made(each, {})).encode("utf-8", "surrogatepass")) for each in TEXTS if isinstance(each, str)]


@pytest.mark.parametrize("target", TARGETS)
def test_seeds_and_their_neighbours(target: str) -> None:
    """Good inputs, each prefix of them, and odd text at each place of some."""
    for seed in SEEDS[target]:
        TARGETS[target](seed)
        for end in range(len(seed)):
            TARGETS[target](seed[:end])
    for seed in SEEDS[target][:3]:
        for odd in _ODD:
            for at in (0, 2, len(seed) // 2, len(seed)):
                TARGETS[target](seed[:at] + odd + seed[at:])
                TARGETS[target](seed[:at] + odd)


@pytest.mark.parametrize("target", TARGETS)
@given(data=st.data())
@examples(100)
def test_random_bytes(target: str, data: st.DataObject) -> None:
    """Whatever comes."""
    seed = data.draw(st.sampled_from(SEEDS[target]))
    at = data.draw(st.integers(0, len(seed)))
    TARGETS[target](seed[:at] + data.draw(st.binary(max_size=64) | st.sampled_from(_ODD)) + seed[at:])


@pytest.mark.skipif(
    find_spec("atheris") is None, reason="atheris has no wheel for this Python or machine (see the group fuzz)"
)
def test_guided_by_coverage() -> None:
    """`scripts/fuzz` runs each target, and tells how many executions that were."""
    command = [sys.executable, str(_ROOT / "scripts" / "_fuzz.py"), "--seconds", "1", "token", "cursor"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count(" executions in ") == 2
