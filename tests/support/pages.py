"""What the documents show: blocks of code and commands, as a reader would copy them."""

from __future__ import annotations

import os
import re  # noqa: TID251 - constant patterns
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT
from tests.support.servers.warm_process import run_python

SECONDS = 60
#: Where pages have `pipeline serve` listen.
SERVER = "http://127.0.0.1:8787"


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file to save it as, which its first line gives."""
        name = re.match(r"(?:#|//) (\w+\.\w+)\n", self.text)
        return name[1] if name else None

    @property
    def commands(self) -> list[str]:
        """The lines that a reader types."""
        return [line.removeprefix("$ ") for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def files(page: str) -> list[Block]:
    """Return the blocks of a page that a reader saves."""
    return [block for block in blocks(page) if block.file]


def named(page: str, file: str) -> str:
    """Return the text of the block that is saved as `file`."""
    return next(block.text for block in files(page) if block.file == file)


def commands(page: str, language: str = "console") -> list[list[str]]:
    """Return the lines that a reader types, by block."""
    return [block.commands for block in blocks(page) if block.language == language]


def reader_environment() -> dict[str, str]:
    """Return the environment of somebody who has installed this checkout and set nothing."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return inherited | {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


class Desk:
    """A folder in which a reader follows a page; each program of Python is run to its end, and must succeed."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)

    def save(self, page: str) -> None:
        """Save all files that a page shows."""
        for block in files(page):
            self.write(str(block.file), block.text)

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> str:
        return (self.folder / name).read_text(encoding="utf-8")

    def python(self, *words: str, expected: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run Python with arguments; `settings` are added to its environment."""
        environment = self.environment | settings
        done = run_python(words, cwd=self.folder, env=environment, text=True, timeout=SECONDS)
        assert done.returncode == expected, f"{shlex.join(done.args)}\n{done.stdout}\n{done.stderr}"
        return done

    def type(self, line: str, expected: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command line `pipeline …` or `python …` as a page shows it."""
        program, *words = shlex.split(line)
        if program == "pipeline":
            words = ["-m", program, *words]
        else:
            assert program == "python", line
        return self.python(*words, expected=expected, **settings)


def run_curl(folder: Path, line: str, url: str, *words: str) -> str:
    """Run a command line `curl …` as a page shows it, against the server at a URL. Return what it prints.

    Args:
        words: further options.
    """
    program, *shown = shlex.split(line.replace(SERVER, url))
    assert program == "curl", line
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", "--noproxy", "*", *words, *shown],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout
