"""A command imports what it needs: starting takes most of the time of a short one."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.paths import ROOT
from tests.support.terminal import Terminal

#: Runs a command, then prints the modules that were imported, on standard error.
PROGRAM = """
import sys
from pipeline.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*sys.modules, file=sys.stderr)
"""


def imported_by(terminal: Terminal, *words: str) -> set[str]:
    """Return the modules that a command imports in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=terminal.folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


@pytest.fixture
def terminal(terminal: Terminal) -> Terminal:
    terminal.write_definition()
    terminal.write_items(["an invoice"])
    return terminal


def test_what_shows_no_metrics_imports_nothing_for_them(terminal: Terminal) -> None:
    imported = imported_by(terminal, "run", "items.jsonl", "-q")
    needed = {"prometheus_client", "http.server", "pipeline.telemetry.exposition", "pipeline.telemetry.reports"}
    assert not needed & imported
    assert not any(name.startswith("pipeline.monitoring") for name in imported)


def test_help_imports_neither_database_nor_celery(terminal: Terminal) -> None:
    heavy = {"sqlalchemy", "celery", "pydantic", "rich", "httptools", "sklearn", "pyarrow"}
    assert not heavy & imported_by(terminal, "--help")


def test_a_quiet_run_into_a_new_database_imports_what_it_uses(terminal: Terminal) -> None:
    imported = imported_by(terminal, "run", "items.jsonl", "-q")
    assert {"sqlalchemy", "celery"} <= imported
    assert not {"alembic", "mako", "pygments", "psycopg", "rich.console"} & imported


@pytest.mark.parametrize(
    "words", [("submit", "items.jsonl", "-q"), ("status",), ("results", "last", "-o", "out.jsonl")]
)
def test_a_command_that_processes_nothing_imports_no_celery(terminal: Terminal, words: tuple[str, ...]) -> None:
    if words[0] != "submit":
        terminal.run("submit", "items.jsonl")
    imported = imported_by(terminal, *words)
    assert "sqlalchemy" in imported
    assert not {"celery", "kombu", "alembic", "psycopg"} & imported
