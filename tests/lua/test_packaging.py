"""The wheel and the source distribution carry the Lua, and an installed wheel finds it."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from sojourn.scripts import lua_folder

ROOT = lua_folder().parent
SCRIPTS = sorted(str(path.relative_to(ROOT / "lua")) for path in (ROOT / "lua").rglob("*.lua"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both distributions with the build backend itself."""
    folder = tmp_path_factory.mktemp("dist")
    for builder in (WheelBuilder, SdistBuilder):
        list(builder(str(ROOT)).build(directory=str(folder), versions=["standard"]))
    return folder


def test_wheel_carries_the_lua(built: Path) -> None:
    """Inside of the package, and nowhere else."""
    names = zipfile.ZipFile(next(built.glob("*.whl"))).namelist()
    assert sorted(name for name in names if name.endswith(".lua")) == [f"sojourn/lua/{name}" for name in SCRIPTS]
    assert "sojourn/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} <= {
        "sojourn",
        "sojourn_worker",
        "pytest_sojourn.py",
    }


def test_sdist_carries_the_lua(built: Path) -> None:
    """Where the checkout has it."""
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert sorted(name for name in names if name.endswith(".lua")) == [f"lua/{name}" for name in SCRIPTS]


def test_installed_wheel_finds_the_lua(built: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, the scripts come from the package and are the same."""
    zipfile.ZipFile(next(built.glob("*.whl"))).extractall(tmp_path)  # noqa: S202
    code = (
        "from sojourn.scripts import lua_folder, script; "
        "print(lua_folder()); print(*[script(each.stem).sha for each in sorted(lua_folder().glob('*.lua'))])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    folder, shas = run.stdout.splitlines()
    assert Path(folder) == tmp_path / "sojourn" / "lua"
    from sojourn.scripts import script

    assert shas.split() == [script(name.removesuffix(".lua")).sha for name in SCRIPTS if "/" not in name]
