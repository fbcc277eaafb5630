"""The types of the public names, as users' type checkers see them: those of the wheel, not of this tree."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import pipeline
import pipeline.testing
from tests.support.pages import blocks
from tests.support.paths import DOCS, ROOT
from tests.support.public_types import program_that_names, public_values, untyped_bases

PROGRAM = ROOT / "tests" / "typing" / "user_program.py"
PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(DOCS.rglob("*.md")))]
#: The file that names everything that is public.
EVERYTHING = "everything_public.py"
#: Packages without types that public names speak of: what is theirs may be anything.
UNTYPED = ("pyarrow",)
#: mypy's settings. An example of a page leaves annotations to its reader, and packages that these tests do not need;
#: where the user's program did not find ours, its `type: ignore` comments would be unused.
MYPY = """
[mypy]
strict = True
ignore_missing_imports = True
[mypy-{examples}]
allow_untyped_defs = True
allow_incomplete_defs = True
allow_untyped_calls = True
allow_untyped_decorators = True
disallow_any_generics = False
"""
PYRIGHT = {
    "typeCheckingMode": "standard",
    "strict": [PROGRAM.name, EVERYTHING],
    "reportMissingImports": False,
    "reportMissingModuleSource": False,
    "reportUnnecessaryTypeIgnoreComment": True,
}

# One process builds the wheel.
pytestmark = [pytest.mark.xdist_group("wheel"), pytest.mark.slow]


@dataclass(frozen=True)
class Site:
    """A Python that has the wheel installed, beside what it needs."""

    python: Path
    folder: Path

    def run(self, *words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
        return subprocess.run(
            [str(word) for word in words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )

    def mypy(self, folder: Path) -> subprocess.CompletedProcess[str]:
        words = (sys.executable, "-m", "mypy", "--python-executable", self.python, "--config-file", "mypy.ini")
        return self.run(*words, "--cache-dir", ROOT / ".mypy_cache" / "wheel", *sorted(folder.glob("*.py")), cwd=folder)

    def pyright(self, folder: Path) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "pyright", "--pythonpath", self.python, "--project", folder, cwd=folder)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Build the wheel, and lay it into an environment that finds everything else where this one does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=True)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True)
    python = folder / "env" / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "env")}))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(packages)
    # Last, so that nothing here takes the place of the wheel.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Site(python, folder)


@pytest.fixture(scope="module")
def checked_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the user's program and the Python of every page, and how strictly each is checked."""
    folder = tmp_path_factory.mktemp("checked")
    for page in PAGES:
        for number, block in enumerate(blocks(page), 1):
            # A block without the name of a file may show a part of one.
            if block.language == "python" and (block.file or page == "README.md"):
                file = folder / (block.file or "readme.py")
                free = file.with_stem(f"{file.stem}_of_{Path(page).stem.lower().replace('-', '_')}_{number}")
                (free if file.exists() else file).write_text(block.text, encoding="utf-8")
    examples = sorted(path.stem for path in folder.glob("*.py"))
    assert len(examples) > 15
    (folder / PROGRAM.name).write_text(PROGRAM.read_text(encoding="utf-8"), encoding="utf-8")
    for package in UNTYPED:
        stub = folder / "typings" / package / "__init__.pyi"
        stub.parent.mkdir(parents=True)
        stub.write_text("from typing import Any\ndef __getattr__(name: str) -> Any: ...\n")
    (folder / EVERYTHING).write_text(program_that_names([pipeline, pipeline.testing]), encoding="utf-8")
    (folder / "mypy.ini").write_text(MYPY.format(examples=",".join(examples)))
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    return folder


def test_the_users_program_names_everything_that_is_public() -> None:
    tree = ast.parse(PROGRAM.read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    named = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert set(pipeline.__all__) - used == set()
    assert set(pipeline.testing.__all__) - named == set()


def test_the_users_program_runs_with_the_wheel(site: Site, tmp_path: Path) -> None:
    (tmp_path / PROGRAM.name).write_text(PROGRAM.read_text(encoding="utf-8"), encoding="utf-8")
    ours = "import pipeline, workers; print(pipeline.__file__, workers.__file__)"
    found = site.run(site.python, "-c", ours, cwd=tmp_path).stdout.split()
    assert all(Path(path).is_relative_to(site.folder) for path in found), found
    done = site.run(site.python, PROGRAM.name, tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_mypy_accepts_the_users_program_and_every_page_and_finds_the_mistakes(site: Site, checked_folder: Path) -> None:
    checked = site.mypy(checked_folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.conformance
def test_pyright_accepts_the_users_program_and_every_page_and_knows_every_public_type(
    site: Site, checked_folder: Path
) -> None:
    checked = site.pyright(checked_folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_public_class_has_a_base_without_types() -> None:
    values = public_values(pipeline) | public_values(pipeline.testing)
    classes = {name: each for name, each in values.items() if isinstance(each, type)}
    assert {name: bases for name, each in classes.items() if (bases := untyped_bases(each))} == {}
