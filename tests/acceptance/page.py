"""A page of the documents, done from top to bottom as a reader would."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import sys
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import yaml
from tests.acceptance.documents import Block, blocks
from tests.acceptance.shell import Shell
from tests.waiting import eventually

from docs_site.drawings import draw
from sojourn import Settings

__all__ = ["Reader", "read"]

_DONE_ELSEWHERE = {
    "scripts/": "test_readme.py runs them; here they would run within themselves",
    "pip install": "the tests' own environment has it",
    "git clone": "this is the clone",
    "export SOJOURN_": "the servers are those of the tests",
}
"""How commands begin that are not typed, and why."""
_PATIENCE_S = 30.0


def read(page: Path, folder: Path, environment: dict[str, str]) -> str:
    """Do what a page says, in a folder; return all that its Python printed.

    Raises:
        AssertionError: something is not as the page says.
    """
    with Shell(folder, environment) as shell, _module(page, folder) as module:
        reader = Reader(folder, shell, module)
        for block in blocks(page):
            reader.do(block)
        return reader.printed


@contextlib.contextmanager
def _module(page: Path, folder: Path) -> Iterator[types.ModuleType]:
    """A module for the page's code; what that imports from the folder is forgotten afterwards."""
    module = types.ModuleType(f"page_{re.sub(r'[^a-z]', '_', page.stem)}")
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(folder))
    try:
        yield module
    finally:
        sys.path.remove(str(folder))
        for name, each in list(sys.modules.items()):
            if each is module or str(getattr(each, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]


class Reader:
    """Does one block after the other."""

    def __init__(self, folder: Path, shell: Shell, module: types.ModuleType) -> None:
        self.printed = ""
        self._folder = folder
        self._shell = shell
        self._module = module
        self._output: str | None = None
        """What the block before printed; None if nothing was run."""

    def do(self, block: Block) -> None:
        """Do what a block says, as its language tells how.

        Raises:
            AssertionError: it does not do what the page says, or its language tells nothing.
        """
        before, self._output = self._output, None
        if block.mark == "not run":
            assert len(block.detail) > 10, f"{block.where}: say why it is not run"
            return
        if block.title is not None:
            self._write(block)
        match block.language:
            case "python" if block.title is None:
                self._python(block)
            case "console" | "sh":
                self._type(block)
            case "yaml":
                self._settings(block)
            case "mermaid":
                draw(block.text)
            case "text" | "" if block.follows and before is not None:
                self._compare(block, block.text, before)
            case "text" | "":
                pass  # no code
            case _:
                assert block.title is not None, f"{block.where}: '{block.language}' is not run here: mark it, with why"

    def _write(self, block: Block) -> None:
        path = self._folder / (block.title or "")
        assert path.resolve().is_relative_to(self._folder.resolve()), block.where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, "utf-8")
        if block.language == "python":
            compile(block.text, block.where, "exec")

    def _python(self, block: Block) -> None:
        code = compile("\n" * block.line + block.text, str(block.page), "exec", dont_inherit=True)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(code, self._module.__dict__)  # noqa: S102 (the page's own code)
        self._output = out.getvalue()
        self.printed += self._output

    def _type(self, block: Block) -> None:
        output = ""
        for command, wanted in _typed(block):
            if command.startswith(tuple(_DONE_ELSEWHERE)):
                continue
            if block.mark == "eventually":
                output = eventually(partial(self._try, command, wanted), deadline_s=_PATIENCE_S, what=command)
                continue
            status, output = self._shell.run(command)
            allowed = {0, *(map(int, block.detail.split()) if block.mark == "exit" else ())}
            assert status in allowed, f"{block.where}: {command}\nended with {status}:\n{output}"
            if wanted:
                self._compare(block, wanted, output)
        self._output = output

    def _try(self, command: str, wanted: str) -> str:
        """What a command prints once that is what it should; "" until then."""
        status, output = self._shell.run(command)
        assert wanted, f"{command}: say what it shall print"
        return output if status == 0 and _alike(wanted, output) else ""

    def _settings(self, block: Block) -> None:
        data = yaml.safe_load(block.text)
        assert isinstance(data, dict), block.where
        unknown = set(data) - set(Settings.model_fields)
        assert not unknown, f"{block.where}: no settings: {unknown}"
        Settings(**data)

    def _compare(self, block: Block, wanted: str, got: str) -> None:
        assert _alike(wanted, got), f"{block.where}: it says\n{wanted}\nand what comes is\n{got}"


def _alike(wanted: str, got: str) -> bool:
    """Whether they are the same but for white space, and for what `...` stands for."""
    pieces = (re.escape(" ".join(each.split())) for each in wanted.split("..."))
    return re.fullmatch(".*".join(pieces), " ".join(got.split())) is not None


def _typed(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a block, each with what it is to print; a line that ends with a backslash goes on."""
    lines = block.text.replace("\\\n", "").splitlines()
    if block.language == "sh":
        yield from ((line, "") for line in lines if shlex.split(line, comments=True))
        return
    command, wanted = "", ""
    for line in lines:
        if line.startswith("$ "):
            if command:
                yield command, wanted
            command, wanted = line[2:], ""
        else:
            wanted += line + "\n"
    if command:
        yield command, wanted
