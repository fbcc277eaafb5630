"""`pipeline db prune`: dry run, confirmation, and the reason for which old batches are kept."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from pipeline.database.engine import Database
from tests.support.receivers.configured import NOW
from tests.support.receivers.old import DAY, ORIGIN, change, end_batch, ids
from tests.support.servers.warm_process import run_python
from tests.support.terminal import ROOT, Terminal

#: Days between NOW, from which the test data counts back, and today.
OFFSET = (datetime.now(UTC) - NOW) / DAY
THIRTY = ("db", "prune", "--older-than", "30d")


@pytest.fixture
def terminal(terminal: Terminal, database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database_url)
    for batch_id, days in [(1, 50), (2, 40), (3, 20)]:
        end_batch(database, batch_id, days=days - OFFSET)
    change(database, 1, state="paused")
    return terminal


def test_a_dry_run_reports_what_would_be_deleted_and_what_is_kept(terminal: Terminal, database: Database) -> None:
    result = terminal.run(*THIRTY, "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "would delete 1 batch with 3 items and 3 callbacks\n" in result.stderr
    assert f"kept 1 batch of that age: callbacks still have to be sent to {ORIGIN} (1 batch); " in result.stderr
    assert ids(database) == [1, 2, 3]


def test_old_batches_are_deleted_and_counted(terminal: Terminal, database: Database) -> None:
    found = terminal.data(*THIRTY)
    assert found == {
        "batches": 1,
        "items": 3,
        "deliveries": 3,
        "definitions": 0,
        "messages": 0,
        "notices": 0,
        "credentials": 0,
        "kept": 1,
        "waits_for": {ORIGIN: 1},
        "dry_run": False,
    }
    assert ids(database) == [1, 3]
    assert "deleted 0 batches with 0 items" in terminal.run(*THIRTY, "--yes").stderr


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", [1, 2, 3]), (b"y\n", [1, 3])])
def test_the_user_is_asked_for_confirmation(
    terminal: Terminal, database: Database, answer: bytes, left: list[int]
) -> None:
    user, keyboard = os.openpty()
    try:
        os.write(user, answer)
        done = run_python(["-m", "pipeline", *THIRTY], cwd=ROOT, stdin=keyboard, text=True)
    finally:
        os.close(user)
        os.close(keyboard)
    assert "Delete 1 batch with 3 items and 3 callbacks?" in done.stderr
    assert ids(database) == left


@pytest.mark.parametrize(
    ("when", "message"),
    [("3x", "is not a time"), ("d", "is not a time"), ("-3d", "is not a time"), ("9999-01-01", "in the future")],
)
def test_an_invalid_or_future_time_is_rejected(terminal: Terminal, database: Database, when: str, message: str) -> None:
    result = terminal.run("db", "prune", f"--older-than={when}", "--yes")
    assert (result.exit_code, message in result.stderr) == (2, True)
    assert ids(database) == [1, 2, 3]
