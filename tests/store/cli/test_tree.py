"""The whole tree of commands is of one manner."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from tests.store.cli.shell import parse, stages

from sojourn.cli import cli
from sojourn.cli.reference import reference
from sojourn.cli.root import SECTIONS
from sojourn.cli.schemas import SCHEMAS
from sojourn.cli.shapes import Text
from sojourn.cli.shared import SHARED
from sojourn.cli.tree import Node, walk

NODES = list(walk())
BY_NAME = {node.name.removeprefix("sojourn "): node for node in NODES}
DRY_RUN = (
    "end", "delete", "dead drop", "token revoke", "tenant delete", "archive retention", "archive import",
    "archive migrate", "rehydrate", "events", "restore", "secrets reseal", "cleanup", "mcp terminate",
)  # fmt: skip
"""What deletes or ends, or brings back what was."""
YES = ("dead drop", "token revoke", "tenant delete", "archive migrate", "events", "cleanup")
"""What asks first: it cannot be undone, and does not name each thing that goes."""
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def own_settings() -> None:
    """Do without a Redis: nothing here is run."""


def help_of(node: Node, columns: int = 80) -> str:
    """Return a help page as a terminal of so many columns shows it."""
    ran = CliRunner().invoke(cli, [*node.path, "--help"], prog_name="sojourn", terminal_width=columns)
    assert ran.exit_code == 0
    return ran.stdout


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_manner(node: Node) -> None:
    """Each has a sentence that fits in a list, examples, what it prints as JSON, and help for all of its options."""
    assert re.fullmatch(r"[A-Z][^.]+\.", node.summary), node.summary
    assert len(node.summary) <= 66 or node.name == "sojourn", node.summary
    assert node.examples
    assert any("sojourn" in each for each in node.examples)
    assert node.outputs or node.is_group
    for shape in node.outputs:
        assert isinstance(shape, Text) or shape.schema in SCHEMAS
    for option in node.options:
        assert option.help[:1].isupper(), option
        assert option.help.endswith((".", "]")), option
        assert "-o" not in option.names or "--output" in option.names
    for paragraph in node.help.split("\n\n"):
        assert not paragraph.startswith((" ", "-", "#", ">")), "plain paragraphs are good Markdown, too"


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_help_pages(node: Node) -> None:
    """At 80 columns nothing is cut off, and but for examples no line is wider; all options are there."""
    page = help_of(node)
    text, _, _ = page.partition("\nExamples:\n")
    assert not [line for line in text.splitlines() if len(line) > 80]
    assert "...\n" not in text.replace("[ARGS]...\n", "").replace("ID...\n", "").replace("[ID]...\n", "").replace(
        "ENTRY...\n", ""
    )
    assert "\nExamples:\n" in page
    assert "\nGlobal options:\n" in page
    for each in SHARED:
        name = each().opts[0]
        assert name in page or name == "--actor", name


def test_every_command_is_under_a_title() -> None:
    """The root's help lists each once, in groups; what it names and is not there yet does no harm."""
    page = help_of(NODES[0])
    for name in cli.commands:
        assert page.count(f"\n  {name} ") == 1, name
        assert any(name in names for names in SECTIONS.values()), name
    assert "\nMore:\n" not in page


@pytest.mark.parametrize("node", NODES, ids=lambda node: node.name)
def test_examples_are_taken(node: Node) -> None:
    """Each example is a line that the commands take as it stands."""
    for example in node.examples:
        ours = [each.arguments for each in stages(example) if each.arguments is not None]
        assert ours, example
        for arguments in ours:
            parse(arguments)
    own = [each.arguments for example in node.examples for each in stages(example) if each.arguments is not None]
    assert any(tuple(each[: len(node.path)]) == node.path for each in own)


def test_parsing_examples_can_fail() -> None:
    """What no command takes is found."""
    for wrong in (["lst"], ["list", "--limt", "3"], ["get"], ["list", "--status", "asleep"], ["archive", "nope"]):
        with pytest.raises(click.UsageError):
            parse(wrong)


def test_what_can_be_looked_at_first() -> None:
    """What deletes or ends many has a dry run; what asks has a yes; nothing else has either."""
    for name, node in BY_NAME.items():
        names = {each for option in node.options for each in option.names}
        if name not in ("cleanup", "doctor"):
            assert ("--dry-run" in names) == (name in DRY_RUN), name
            assert ("--yes" in names) == (name in YES), name
    assert set(DRY_RUN) <= set(BY_NAME)


def test_options_of_one_name_are_one() -> None:
    """An option has the same help wherever it means the same."""
    for name in ("--dry-run", "--yes", "--cursor", "--reason", "--ids", "--start"):
        told = {
            option.help
            for node in NODES
            for option in node.options
            if name in option.names and node.path != ("doctor",)
        }
        assert len(told) == 1 or name == "--start", (name, told)


@pytest.mark.parametrize("words", [[], ["archive"], ["tenant"]])
def test_a_group_alone_tells_what_there_is(words: list[str]) -> None:
    """Whoever types a name alone sees its commands; on stderr and with the code of wrong usage, for scripts."""
    ran = CliRunner().invoke(cli, words, prog_name="sojourn")
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert ran.stderr == CliRunner().invoke(cli, [*words, "--help"], prog_name="sojourn").stdout


def test_did_you_mean() -> None:
    """Mistyped commands and options are answered with what is near."""
    for words, told in ((["lsit"], "'list'"), (["tenant", "lst"], "'list'"), (["list", "--ownr", "a"], "'--owner'")):
        ran = CliRunner().invoke(cli, words, prog_name="sojourn")
        assert ran.exit_code == 2
        assert "Did you mean" in ran.stderr
        assert told in ran.stderr


def test_the_reference_is_current() -> None:
    """What the docs say of JSON is what the commands declare."""
    path = ROOT / "docs" / "reference" / "json.md"
    assert path.read_text() == reference(), "write it anew: python -m sojourn.cli.reference > docs/reference/json.md"
