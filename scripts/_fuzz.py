"""Fuzz the codec and the parsers with bytes that are guided by coverage (atheris, which is libFuzzer).

    scripts/fuzz                       every target, 30 seconds each
    scripts/fuzz --seconds 300 token   one of them, for longer
    scripts/fuzz --corpus DIR          keep what led to new code, and go on from there

The targets and the inputs they begin with are in tests/fuzz/targets.py. What makes one fail is printed as a bytes
literal, for a test; then the status is 1. Each target is a process of its own, since the fuzzer ends its process.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_SECONDS: Final = 30
_LONGEST_INPUT: Final = 4_096
_GRACE_S: Final = 60
_TOLD: Final = 4_000
_RUNS: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_PER_SECOND: Final = re.compile(r"stat::average_exec_per_sec:\s*(\d+)")
_COVERED: Final = re.compile(r"\bcov: (\d+)")


def main(arguments: list[str]) -> int:
    """Fuzz the chosen targets one after the other; return 1 if one failed, 2 if there is no such target."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Fuzzing guided by coverage.")
    parser.add_argument("targets", nargs="*", metavar="target", help="which; all, if none is named")
    parser.add_argument("--seconds", type=int, default=_SECONDS, help="for each of them (default %(default)s)")
    parser.add_argument("--corpus", type=Path, help="a folder to keep what led to new code")
    chosen = parser.parse_args(arguments)
    if find_spec("atheris") is None:
        print("[fuzz] atheris is not installed: it has no wheel for this Python or machine", file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT))
    from tests.fuzz.targets import TARGETS

    unknown = [each for each in chosen.targets if each not in TARGETS]
    if unknown or chosen.seconds < 1:
        print(f"[fuzz] the targets are {', '.join(TARGETS)}; --seconds is 1 or more", file=sys.stderr)
        return 2
    failed = [each for each in chosen.targets or TARGETS if not _fuzz(each, chosen.seconds, chosen.corpus)]
    print(f"[fuzz] {'failed: ' + ', '.join(failed) if failed else 'passed'}", flush=True)
    return 1 if failed else 0


def _fuzz(target: str, seconds: int, corpus: Path | None) -> bool:
    """Run one target; whether it stood."""
    from tests.fuzz.targets import SEEDS

    with tempfile.TemporaryDirectory(prefix="sojourn-fuzz-") as name:
        folder = Path(name)
        kept = folder / "corpus" if corpus is None else corpus / target
        found, seeds = folder / "found", folder / "seeds"
        for each in (kept, found, seeds):
            each.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(SEEDS[target]):
            (seeds / str(number)).write_bytes(seed)
        command = [sys.executable, str(ROOT / "scripts" / "_fuzz_target.py"), target, f"-max_total_time={seconds}",
                   f"-max_len={_LONGEST_INPUT}", f"-artifact_prefix={found}/", "-timeout=10", "-rss_limit_mb=2048",
                   "-print_final_stats=1", str(kept), str(seeds)]  # fmt: skip
        started = time.monotonic()
        ran = subprocess.run(  # noqa: S603 - our own command
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False, timeout=seconds + _GRACE_S
        )
        runs, rate, covered = (each.findall(ran.stderr) for each in (_RUNS, _PER_SECOND, _COVERED))
        print(
            f"[fuzz] {target}: {_last(runs)} executions in {time.monotonic() - started:.0f} s, {_last(rate)}/s, "
            f"{_last(covered)} edges covered",
            flush=True,
        )
        if not ran.returncode and runs:
            return True
        print(ran.stdout[-_TOLD:], ran.stderr.rpartition("ERROR: ")[2][-_TOLD:], sep="\n", flush=True)
        for each in sorted(found.iterdir()):
            print(f"[fuzz] {target} fails on {each.read_bytes()!r}", flush=True)
        return False


def _last(found: list[str]) -> str:
    return found[-1] if found else "?"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
