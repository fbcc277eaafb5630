"""Packages of npm that tests use, installed once into a folder that outlives the run."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.servers.fixtures import LEFT_OUT

_SOURCES = ROOT / "tests" / "support" / "node"
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pipeline-tests"
_SECONDS = 300


def npm_folder() -> Path:
    """Return the folder of the packages and of the programs beside them; leave the test out where there is no npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"{LEFT_OUT}needs node and npm")
    wanted = (_SOURCES / "package.json").read_bytes()
    folder = _CACHE / f"npm-{hashlib.sha256(wanted).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "installed").exists():
            (folder / "package.json").write_bytes(wanted)
            command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
            if done.returncode:
                pytest.skip(f"{LEFT_OUT}npm cannot install: {done.stderr.strip().splitlines()[-1:]}")
            (folder / "installed").touch()
        for program in _SOURCES.glob("*.mjs"):
            (folder / program.name).write_bytes(program.read_bytes())
    return folder


def node(folder: Path, program: str, *words: str) -> Any:
    """Run a program of the folder and return the JSON that it prints."""
    done = subprocess.run(
        ["node", str(folder / program), *words], capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
