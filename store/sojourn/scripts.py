"""The one loader of the Lua scripts: reads their files, and knows each script's SHA-1."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sojourn.assembly import assembled

__all__ = ["Script", "lua_folder", "script"]


@dataclass(frozen=True)
class Script:
    """A script as it is sent to Redis."""

    name: str
    source: str
    sha: str


def lua_folder() -> Path:
    """Where the Lua files are: inside the installed package, else in the checkout that this file belongs to.

    Raises:
        FileNotFoundError: neither is there; the installation is broken.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "lua", here.parents[1] / "lua"):
        if (folder / "include").is_dir():
            return folder
    raise FileNotFoundError(f"Sojourn's Lua scripts are neither in {here / 'lua'} nor in {here.parents[1] / 'lua'}")


@cache
def script(name: str) -> Script:
    """The script ``lua/<name>.lua`` with what it uses of its includes in front, each once, depth first.

    Example:
        >>> script("trim_events").source.startswith("local function smallest(")
        True
    """
    folder = lua_folder()
    source = assembled(name, lambda each: (folder / f"{each}.lua").read_text())
    # Redis names a script by its SHA-1; nothing depends on it being hard to forge.
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())
