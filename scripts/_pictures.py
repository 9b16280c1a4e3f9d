"""Draw the pictures in ``docs/images`` of what the commands show of a real deployment: servers, workers, and load.

The commands run as anybody would run them; their coloured output is drawn as it is. Only what differs from machine to
machine, or names it, is put in other words: ids, hashes, ports, folders.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Final

import yaml
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from _run_deployment import worker
from sojourn import Counter, Indexed, Log, Session, SessionStore, archive
from sojourn.embedded import PostgresServer, RedisServer
from sojourn.settings import load_settings

IMAGES: Final = Path(__file__).resolve().parent.parent / "docs" / "images"
TENANTS: Final = {"acme": 6, "globex": 3, "initech": 2, "umbrella": 1}
"""Who makes sessions, and how many to one another's."""
WIDTHS: Final = {"top": 118, "inspect": 138, "doctor": 118}
"""Columns of the terminals."""
LOAD_S: Final = 8.0
_HEAD, _TAIL = 38, 14
"""Lines of a long output that are drawn."""
_FONT_FACE: Final = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
"""Which would have whoever looks at the picture load a font from somewhere else."""
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_HASH: Final = re.compile(r"\b[0-9a-f]{40,64}\b")
_PORT: Final = re.compile(r"127\.0\.0\.1:\d+")


class Chat(Session):
    """The model of the sessions in the pictures."""

    room: Annotated[str, Indexed()]
    messages: Annotated[int, Counter()] = 0
    lines: ClassVar[Log[str]] = Log(str)


def main() -> int:
    """Draw all of them, or those that are named."""
    parser = argparse.ArgumentParser(prog="scripts/pictures", description=__doc__)
    parser.add_argument("names", nargs="*", choices=["top", "inspect", "doctor", []], metavar="NAME")
    parser.add_argument("--to", type=Path, default=IMAGES, metavar="DIR", help="default: docs/images")
    options = parser.parse_args()
    wanted = options.names or ["top", "inspect", "doctor"]
    options.to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sojourn-pictures-") as folder, deployment(Path(folder)) as store:
        session_id = showpiece(store)
        with under_load(store):
            time.sleep(LOAD_S)
            lines = {
                "top": ["top", "--once"],
                "inspect": ["inspect", session_id, "--tenant", "acme"],
                "doctor": ["doctor"],
            }
            for name in wanted:
                draw(name, shown(lines[name], WIDTHS[name], Path(folder)), options.to / f"{name}.svg")
                print(f"drew {name}.svg")
    return 0


@contextlib.contextmanager
def deployment(home: Path) -> Iterator[SessionStore[Chat]]:
    """Servers, settings and workers of their own."""
    for name in [each for each in os.environ if each.upper().startswith("SOJOURN_") and each != "SOJOURN_VENV"]:
        del os.environ[name]
    with RedisServer.start(home / "redis", options={"appendonly": "yes"}) as redis, \
            PostgresServer.start(home / "postgres", durable=False) as postgres:  # fmt: skip
        archive.init(postgres.url)
        hook = {"events": ["ended", "expired"], "function": "run_hooks:note_end"}
        settings = {
            "redis_url": redis.url, "archive_url": postgres.url, "tenant": "acme", "archive_interval": 2.0,
            "retention": 20.0, "hooks": {"note-end": hook, "tell-owner": {**hook, "events": ["created"], "batch": 5}},
        }  # fmt: skip
        config = home / "sojourn.yaml"
        config.write_text(yaml.safe_dump(settings))
        config.chmod(0o600)
        os.environ["SOJOURN_CONFIG"] = str(config)
        with SessionStore(model=Chat, settings=load_settings(), actor="ada") as store, worker(home):
            yield store


def showpiece(store: SessionStore[Chat]) -> str:
    """The session that is inspected: a little of everything."""
    made = store.create(owner="ada lovelace", room="engine room", tags=["beta"], ttl=1800)
    store.append(made.id, Chat.lines, "hello", "anybody there?")
    store.tokens.issue(made.id)
    store.update(made.id, status="in_progress")
    return made.id


@contextlib.contextmanager
def under_load(store: SessionStore[Chat]) -> Iterator[None]:
    """Sessions come, change, and end or expire, for as long as the block takes."""
    stop = threading.Event()
    thread = threading.Thread(target=load, args=(store, stop.is_set), daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def load(store: SessionStore[Chat], is_over: Callable[[], bool]) -> None:
    """Some forty sessions a second; a third of them are abandoned, and expire."""
    chance = random.Random(7)  # noqa: S311 - the same each time
    views = {name: store.for_tenant(name) for name in TENANTS}
    while not is_over():
        for name in chance.choices(list(TENANTS), weights=list(TENANTS.values()), k=8):
            view = views[name]
            made = view.create(owner=f"user {chance.randrange(50)}", room="lobby", ttl=chance.uniform(2, 300))
            if chance.random() < 0.6:
                view.update(made.id, status="in_progress")
            if chance.random() < 0.5:
                end = chance.choice((view.complete, view.complete, view.complete, view.fail, view.terminate))
                end(made.id)
        time.sleep(0.2)


def shown(arguments: list[str], width: int, home: Path) -> str:
    """What a command prints to a terminal that has colours, and so many columns."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(width), "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    command = [str(Path(sys.executable).parent / "sojourn"), *arguments, "--actor", "ada"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if not ran.stdout:
        raise SystemExit(f"sojourn {' '.join(arguments)} printed nothing: {ran.stderr}")
    return anywhere(ran.stdout, home)


def anywhere(text: str, home: Path) -> str:
    """The same text on any machine: ids and hashes by their order, no port and no folder."""
    known: dict[str, str] = {}

    def id_(found: re.Match[str]) -> str:
        made = uuid.UUID(bytes=hashlib.sha256(f"id {len(known)}".encode()).digest()[:16], version=4)
        return known.setdefault(found[0], str(made))

    def digest(found: re.Match[str]) -> str:
        return known.setdefault(found[0], hashlib.sha256(f"hash {len(known)}".encode()).hexdigest()[: len(found[0])])

    text = _HASH.sub(digest, _UUID.sub(id_, text))
    return _PORT.sub("localhost", text).replace(str(home), "~").replace(os.uname().nodename, "host")


def cut(lines: list[str]) -> list[str]:
    """The lines, without the midst of them where they are many."""
    return lines if len(lines) <= _HEAD + _TAIL else [*lines[:_HEAD], "  ...", *lines[-_TAIL:]]


def draw(name: str, text: str, to: Path) -> None:
    """A picture of a terminal that shows it."""
    # What is recorded is all that matters; it is printed nowhere.
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTHS[name], file=nowhere, force_terminal=True, color_system="truecolor",
                          highlight=False)  # fmt: skip
        console.print(Text.from_ansi("\n".join(cut(text.rstrip("\n").split("\n")))))
        drawn = console.export_svg(
            title=f"sojourn {name}", unique_id=f"sojourn-{name}", code_format=_FONT_FACE.sub("", CONSOLE_SVG_FORMAT)
        )
    to.write_text(drawn)


if __name__ == "__main__":
    raise SystemExit(main())
