"""The header of each script is a contract: it is parsed here, and held against the body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from sojourn.assembly import assembled, with_constants, without_unused
from sojourn.errors import BY_CODE
from sojourn.scripts import lua_folder, script

LUA = lua_folder()
SCRIPTS = sorted(path.stem for path in LUA.glob("*.lua"))
INCLUDES = sorted(path.stem for path in (LUA / "include").glob("*.lua"))
TYPES = {
    "KEYS": {"hash", "string", "zset", "set", "list", "stream"},
    "ARGV": {"string", "ms", "count", "ratio", "0|1", "JSON"},
}
_LUA = {"and", "error", "function", "ipairs", "next", "not", "or", "pairs", "pcall", "rawget", "return"} | {
    "setmetatable", "tonumber", "tostring", "type", "unpack", "if", "in", "while", "elseif",
}  # fmt: skip
"""What may stand before a parenthesis besides functions of our own."""
_ARGUMENT = re.compile(r"-- (KEYS|ARGV)\[(\d+|)(\.\.\.|)\]\s+(\S.*)")


@dataclass(frozen=True)
class Header:
    """What a script's header says."""

    purpose: str
    arguments: list[tuple[str, str, bool, str]]
    returns: str
    errors: tuple[str, ...]
    includes: list[str]


def body_of(name: str) -> tuple[list[str], str]:
    """Return a script's header lines and the rest."""
    lines = (LUA / f"{name}.lua").read_text().splitlines()
    count = next(number for number, line in enumerate(lines) if not line.startswith("--"))
    return lines[:count], "\n".join(lines[count:])


def header_of(name: str) -> Header:
    """Parse a script's header."""
    lines, _ = body_of(name)
    sections = [line for line in lines if not line.startswith("-- @include ")]
    first = next(number for number, line in enumerate(sections) if _ARGUMENT.match(line))
    arguments = []
    for line in sections[first:]:
        match = _ARGUMENT.match(line)
        if match:
            arguments.append((match[1], match[2], bool(match[3]), match[4]))
    told = {label: next(line for line in sections if line.startswith(f"-- {label}")) for label in ("Returns", "Errors")}
    errors = told["Errors"].removeprefix("-- Errors").strip()
    return Header(
        purpose=" ".join(line.removeprefix("--").strip() for line in sections[:first]),
        arguments=arguments,
        returns=told["Returns"].removeprefix("-- Returns").strip(),
        errors=() if errors == "none" else tuple(errors.split(", ")),
        includes=[line.split()[-1] for line in lines if line.startswith("-- @include ")],
    )


@pytest.mark.parametrize("name", SCRIPTS)
def test_header_is_complete(name: str) -> None:
    """Purpose, keys and arguments in order with a known type each, what is returned, and which errors."""
    header = header_of(name)
    assert header.purpose.endswith(".")
    assert header.returns
    for kind in ("KEYS", "ARGV"):
        own = [each for each in header.arguments if each[0] == kind]
        assert own, kind
        numbers = [int(each[1]) for each in own if each[1]]
        assert numbers == list(range(1, len(numbers) + 1)), own
        for _, _, repeats, told in own:
            rest = told.split()
            if repeats:
                assert rest, told
            else:
                assert rest[1] in TYPES[kind], told
    assert [each[0] for each in header.arguments] == sorted((each[0] for each in header.arguments), reverse=True)


@pytest.mark.parametrize("name", SCRIPTS)
def test_arguments_are_bound_before_use(name: str) -> None:
    """Each KEYS[n] and ARGV[n] is read once, into a local of the first block."""
    header = header_of(name)
    _, body = body_of(name)
    block, _, rest = body.partition("\n\n")
    for line in block.splitlines():
        if re.search(r"(KEYS|ARGV)\[\d+\]", line):
            assert line.startswith("local "), line
    assert not re.search(r"(KEYS|ARGV)\[\d+\]", rest), "read after the first block"
    for kind, number, repeats, told in header.arguments:
        if number and not repeats:
            assert len(re.findall(rf"\b{kind}\[{number}\]", block)) == 1, told
    numbers = {(kind, int(number)) for kind, number in re.findall(r"\b(KEYS|ARGV)\[(\d+)\]", block)}
    assert numbers <= {(each[0], int(each[1])) for each in header.arguments if each[1]}


@pytest.mark.parametrize("name", SCRIPTS)
def test_errors_are_those_of_the_tree(name: str) -> None:
    """What a script says that it may answer is what it and its includes do answer, and Python knows each."""
    header = header_of(name)
    assert set(header.errors) <= set(BY_CODE)
    answered = set(re.findall(r"redis\.error_reply\((?:string\.format\()?'([A-Z]+)", body_of(name)[1]))
    assert answered <= set(header.errors)


def test_every_code_is_answered_somewhere() -> None:
    """No Python error waits for a code that no script has, and no script has a code that Python does not know."""
    answered: set[str] = set()
    for path in LUA.rglob("*.lua"):
        answered |= set(re.findall(r"redis\.error_reply\((?:string\.format\()?'([A-Z]+)", path.read_text()))
    assert answered == set(BY_CODE)


def files() -> list[Path]:
    """Return every Lua file."""
    return sorted(LUA.rglob("*.lua"))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_files_are_short_and_tidy(path: Path) -> None:
    """At most 150 lines of at most 120 characters; includes exist and open the file."""
    text = path.read_text()
    lines = text.splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 120
    assert text.endswith("\n")
    assert "\t" not in text
    for wanted in re.findall(r"^ *-- @include (\S+)$", text, re.MULTILINE):
        assert (LUA / f"{wanted}.lua").is_file()


def test_no_include_is_unused() -> None:
    """Every shared file is used by some script."""
    used = {
        name
        for path in files()
        for name in re.findall(r"^ *-- @include include/(\S+)$", path.read_text(), re.MULTILINE)
    }
    assert used == set(INCLUDES)


def unseen(source: str) -> set[str]:
    """Return what is called where no definition of it can be seen: none before it, at its margin or further out."""
    lines = [line for line in re.sub(r"--.*|'[^'\n]*'", "", source).splitlines() if line.strip()]
    margins = [len(line) - len(line.lstrip()) for line in lines]
    named = [
        set(re.findall(r"\w+", " ".join(re.findall(r"\b(?:local function|local|for|function(?=[ (]))([^=]*)", line))))
        for line in lines
    ]
    missing = set()
    for at, line in enumerate(lines):
        for called in re.findall(r"(?<![\w.:])(\w+)\(", line):
            margin, found = margins[at], called in _LUA or called in named[at]
            for before in range(at - 1, -1, -1):
                margin = min(margin, margins[before])
                found = found or (margins[before] == margin and called in named[before])
            if not found:
                missing.add(called)
    return missing


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_has_what_it_calls(name: str) -> None:
    """Each function that a script calls is Lua's, or can be seen; a missing include would show only there."""
    assert unseen(script(name).source) == set()


def test_what_a_branch_includes_is_seen_there_alone() -> None:
    """A definition in one branch is none for another, nor for what follows; parameters count as well."""
    source = "if a then\n  local function b()\n  end\n  b()\nelse\n  {}\nend\n{}\n"
    assert unseen(source.format("error()", "error()")) == set()
    assert unseen(source.format("b()", "error()")) == {"b"}
    assert unseen(source.format("error()", "b()")) == {"b"}
    assert unseen("local function each(act)\n  act()\nend\neach(b)\n") == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_makes_no_function_in_vain(name: str) -> None:
    """What a script does not use of its includes is not sent, for Redis makes each function anew at each call."""
    source = script(name).source
    for match in re.finditer(r"^local function (\w+)", source, re.MULTILINE):
        assert re.search(rf"\b{match[1]}\b", source[match.end() :]), match[1]


def test_what_is_used_stays() -> None:
    """A name that only what is left out uses goes with it; comments name nothing."""
    includes = (
        "local A, B = 1, 2\n-- of a\nlocal function a()\n  return A\nend\n\n"
        "local C = {\n  1,\n}\n-- b is behind\nlocal function b()\n  return C\nend\n"
    )
    assert without_unused(includes, "return a()\n") == (
        "local A, B = 1, 2\nlocal function a()\n  return A\nend\nreturn a()\n"
    )
    assert (
        without_unused(includes, "return b()\n")
        == "local C = {\n  1,\n}\nlocal function b()\n  return C\nend\nreturn b()\n"
    )
    assert without_unused(includes, "return 1\n") == "return 1\n"


def test_constants_stand_where_they_are_used() -> None:
    """Numbers and strings; not in other strings, as fields or as a part of a name. One name means one thing."""
    text = (
        "local A, B = 1.5, 'x-A'\nlocal T = { 1 }\nif y then\n  local C_D = 7\n  f(A, 'A', t.A, A_B, B, T, C_D)\nend\n"
    )
    expected = "local T = { 1 }\nif y then\n  f(1.5, 'A', t.A, A_B, 'x-A', T, 7)\nend\n"
    assert with_constants(text) == expected
    assert with_constants(text + "local A = 1.5\n") == expected
    with pytest.raises(ValueError, match=r"two constants with the name A: 1\.5 and 2"):
        with_constants(text + "local A = 2\n")


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_key_that_is_asked_for_is_spelled(name: str) -> None:
    """What a script takes from a session's keys is among those that it makes."""
    source = script(name).source
    made = set(re.findall(r"^    (\w+) = .*,$", source.partition("\n  }\nend\n")[0], re.MULTILINE))
    assert set(re.findall(r"(?<![\w.])(?:k|heir)\.(\w+)", re.sub(r"--.*", "", source))) <= made


def test_a_table_has_the_fields_that_are_named() -> None:
    """Of a table that is returned with a field a line, those stay that the rest has behind a point or in quotes."""
    keys = "local function keys(a)\n  return {\n    one = a .. 'x',\n    two = a .. 'y',\n    three = a,\n  }\nend\n"
    files = {
        "a": "-- @include before\n-- @include keys\nreturn before(keys('')), keys('')['three'], two -- k.two\n",
        "before": "local function before(k)\n  return k.one\nend\n",
        "keys": keys,
    }
    source = assembled("a", files.__getitem__)
    assert keys.replace("    two = a .. 'y',\n", "") in source


def test_each_branch_has_its_own_includes() -> None:
    """What a branch includes stands in it, at its margin, each as if the others were not there."""
    files = {
        "a": "-- @include b\nif x then\n  -- @include c\n  c()\nend\nif y then\n  -- @include c\n  c(b())\nend\n",
        "b": "local function b()\n  if z then\n    -- @include d\n    d()\n  end\nend\n",
        "c": "local function c()\nend\n",
        "d": "local function d()\nend\n",
    }
    assert assembled("a", files.__getitem__) == (
        "local function b()\n  if z then\n    local function d()\n    end\n    d()\n  end\nend\n"
        "if x then\n  local function c()\n  end\n  c()\nend\n"
        "if y then\n  local function c()\n  end\n  c(b())\nend\n"
    )


@pytest.mark.parametrize("path", sorted((LUA / "include").glob("*.lua")), ids=lambda path: path.stem)
def test_includes_only_name_things(path: Path) -> None:
    """Each statement at the margin of an include is a local one, so any of them can be left out."""
    for line in path.read_text().splitlines():
        assert re.match(r"local |--|end$|\}|\s|$", line), line


def hidden(source: str) -> list[str]:
    """Return the names that a block gives to something of its own while code around it, of the same function, has them.

    The code is tidy, so a line's margin tells which blocks it is in.
    """
    found, around = [], list[tuple[int, bool, set[str]]]()
    for line in re.sub(r"--.*", "", source).splitlines():
        margin = len(line) - len(line.lstrip())
        while line.strip() and around and around[-1][0] > margin:
            around.pop()
        if line.strip() and (not around or around[-1][0] < margin):
            around.append((margin, False, set()))
        match = re.match(r" *local (?:function )?(\w+(?:, \w+)*)", line)
        for name in match[1].split(", ") if match else ():
            for _, is_function, names in reversed(around[:-1]):
                if is_function:
                    break
                if name in names:
                    found.append(name)
            around[-1][2].add(name)
        if around and line.strip():
            around[-1] = (margin, "function" in line, around[-1][2])
    return found


def test_what_hides_a_name() -> None:
    """A name of a block that the code around it has too, unless a function lies between the two."""
    assert hidden("local a, b = 1, 2\nif b then\n  local c, a = 0, 0\n  a = 3\nend\nreturn a\n") == ["a"]
    assert hidden("local a = 1\nif a then\n  local function b()\n    local a = 2\n  end\nend\n") == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_no_include_hides_a_name(name: str) -> None:
    """What an include in a branch names is not what the script around it means by that name."""
    assert hidden(script(name).source) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_includes_each_file_once(name: str) -> None:
    """Includes are resolved depth first, and none twice; no function is global."""
    source = script(name).source
    assert "@include" not in source
    functions = re.findall(r"^local function (\w+)", source, re.MULTILINE)
    assert len(functions) == len(set(functions))
    assert not re.search(r"^function ", source, re.MULTILINE)


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_does_not_use_what_redis_6_lacks(name: str) -> None:
    """No shebang line, and no option of a later version."""
    source = script(name).source
    assert not source.startswith("#!")
    for later in ("EXPIRETIME", "'GT'", "'LT'", "ZRANGESTORE", "HEXPIRE", "redis.setresp"):
        assert later not in source
