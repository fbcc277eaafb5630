"""A person at a terminal: runs commands in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.support.paths import ROOT
from tests.support.servers.warm_process import start_python

#: Sorts mail by words; what no rule knows is dead.
DEFINITION = """
name = "mail"
[input]
key = "id"
text = "text"
[classify]
use = "keywords"
[[classify.rules]]
label = "billing"
any = ["invoice"]
[[classify.rules]]
label = "sales"
any = ["quote"]
"""

#: Does what the items say: `fail` until there is a file `repaired`, `wait` until there is a file `go`.
OBEDIENT = """
import asyncio
from pathlib import Path
from pipeline import Permanent

FOLDER = Path(__file__).parent

async def classify(item):
    if item.text == "fail" and not (FOLDER / "repaired").exists():
        raise Permanent("told to fail")
    while item.text == "wait" and not (FOLDER / "go").exists():
        await asyncio.sleep(0.01)
    return "done"
"""


class Terminal:
    """Runs commands in `folder`, in this process or in one of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file into the folder."""
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def write_definition(self, name: str = "mail.toml") -> Path:
        return self.write(name, DEFINITION)

    def write_obedient_definition(self) -> Path:
        """Write a definition whose classifier does what the items say; its module is imported once per process."""
        module = f"obedient_{uuid.uuid4().hex}"
        self.write(f"{module}.py", OBEDIENT)
        return self.write("obedient.toml", f'name = "obedient"\n[classify]\nuse = "{module}:classify"\n')

    def write_items(self, texts: Iterable[str], name: str = "items.jsonl") -> Path:
        """Write items with ids m-1, m-2, … and these texts."""
        lines = [json.dumps({"id": f"m-{number}", "text": text}) for number, text in enumerate(texts, 1)]
        return self.write(name, "\n".join(lines) + "\n")

    def run(self, *words: str, input: str | bytes | None = None) -> Result:
        """Run a command in this process; the current directory is the folder."""
        return CliRunner().invoke(main, list(words), input=input, prog_name="pipeline")

    def data(self, *words: str) -> Any:
        """Return the JSON that a command prints on standard output; it must succeed."""
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    def start(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a command as a process of its own."""
        return self.start_python("-m", "pipeline", *words, environment=environment)

    def start_python(self, *words: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start `python` with these arguments."""
        return start_python(
            words,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return Terminal(tmp_path)


def results_in(path: Path) -> list[dict[str, Any]]:
    """Return the results in a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
