"""`pipeline submit` again: an interrupted submission goes on."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.support.receivers.owed import wait_until
from tests.support.terminal import Terminal

ITEMS = 30_000


@pytest.fixture
def tickets(terminal: Terminal) -> list[str]:
    """The words of a submission of a file with some rows that are refused."""
    terminal.write_definition()
    lines = [json.dumps({"id": f"m-{number}", "text": f"invoice {number}"}) for number in range(1, ITEMS + 1)]
    for number in (10, 7_777, 20_002):
        lines[number - 1] = "not JSON"
    terminal.write("tickets.jsonl", "\n".join(lines) + "\n")
    given = ["submit", "tickets.jsonl", "-p", "mail.toml", "--idempotency-key", "k", "--quiet"]
    return [*given, "--on-error", "skip", "--rejects", "rejects.jsonl"]


def stored() -> int:
    if not Path("pipeline.db").exists():
        return 0
    with closing(sqlite3.connect("pipeline.db", timeout=30)) as file:
        try:
            return int(file.execute("SELECT count(*) FROM items").fetchone()[0])
        except sqlite3.OperationalError:
            # The tables are being created.
            return 0


def kill_when_stored(
    terminal: Terminal, words: list[str], items: int, *, later: float = 0, number: int = signal.SIGKILL
) -> str:
    """Start a command, send it a signal once it has stored items unless it has ended, and return what it said.

    Args:
        later: seconds between the two.
    """
    process = terminal.start(*words)
    wait_until(lambda: process.poll() is not None or stored() >= items)
    with suppress(subprocess.TimeoutExpired):
        process.wait(later)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return str(said.decode())


def assert_complete(terminal: Terminal) -> None:
    status = terminal.data("status", "last")
    assert (status["state"], status["total"], status["submission"]) == ("running", ITEMS - 3, None)
    with closing(sqlite3.connect("pipeline.db")) as file:
        keys = [key for (key,) in file.execute("SELECT key FROM items ORDER BY id")]
        assert file.execute("SELECT count(*) FROM batches").fetchone() == (1,)
    assert keys == [f"m-{number}" for number in range(1, ITEMS + 1) if number not in (10, 7_777, 20_002)]
    lines = [json.loads(line)["line"] for line in Path("rejects.jsonl").read_text().splitlines()]
    assert lines == [10, 7_777, 20_002]


@pytest.mark.slow
def test_a_submission_that_is_killed_by_lot_goes_on_to_its_end(terminal: Terminal, tickets: list[str]) -> None:
    lot = random.Random(7)
    for _ in range(3):
        kill_when_stored(terminal, tickets, stored() + lot.choice([1, 5_001]), later=lot.uniform(0, 0.15))
    assert terminal.run(*tickets).exit_code == 0
    assert_complete(terminal)


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_stored_and_says_so(terminal: Terminal, tickets: list[str]) -> None:
    words = [word for word in tickets if word != "--quiet"]
    said = kill_when_stored(terminal, words, 1, number=signal.SIGINT)
    assert "items stored; run the same command again to go on" in said
    again = terminal.run(*words)
    assert again.exit_code == 0, again.stderr
    assert "items are stored already; going on after them" in again.stderr
    assert_complete(terminal)


@pytest.mark.slow
def test_a_file_that_has_changed_is_refused_until_it_is_discarded(terminal: Terminal, tickets: list[str]) -> None:
    kill_when_stored(terminal, tickets, 1)
    with Path("tickets.jsonl").open("a") as file:
        file.write(json.dumps({"id": "new", "text": "invoice"}) + "\n")
    refused = terminal.run(*tickets)
    assert refused.exit_code == 2
    assert "tickets.jsonl has changed since " in refused.stderr
    assert "of its items were stored; use another idempotency key, or --discard" in refused.stderr
    begun = terminal.run(*tickets, "--discard", "--json")
    assert (begun.exit_code, json.loads(begun.stdout)["total"]) == (0, ITEMS - 2)


def test_discarding_needs_a_key(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write_items(["an invoice"])
    refused = terminal.run("submit", "items.jsonl", "-p", "mail.toml", "--discard")
    assert (refused.exit_code, refused.stderr.splitlines()[-1]) == (
        2,
        "error: --discard has no effect without --idempotency-key",
    )


def test_rows_of_a_database_are_processed(terminal: Terminal) -> None:
    terminal.write_definition()
    with closing(sqlite3.connect(terminal.folder / "shop.db")) as file, file:
        file.execute("CREATE TABLE mails (id INTEGER PRIMARY KEY, text TEXT)")
        file.executemany("INSERT INTO mails (text) VALUES (?)", [("an invoice",), ("a quote",), ("an invoice",)])
    terminal.write("mails.sql", "SELECT id, text FROM mails WHERE id <> 2;\n")
    given = ["-p", "mail.toml", "-o", "results.jsonl", "--idempotency-key", "k", "--order-by", "id"]
    done = terminal.run("run", "sqlite:///shop.db", "--query", "@mails.sql", *given)
    assert done.exit_code == 0, done.stderr
    results = [json.loads(line) for line in Path("results.jsonl").read_text().splitlines()]
    assert sorted((each["key"], each["label"]) for each in results) == [("1", "billing"), ("3", "billing")]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["sqlite:///shop.db"], "sqlite:// is a database: say what to read from it with --query"),
        (["items.jsonl", "--query", "SELECT 1"], "--query reads from one database"),
        (["items.jsonl", "--order-by", "id"], "--order-by names a column of a query"),
        (["sqlite:///shop.db", "--query", "@no.sql"], "cannot read the query in no.sql"),
        (["sqlite:///shop.db", "--query", "DROP TABLE t"], "there is no SQLite database shop.db"),
        (["postgresql://me:secret@host/db", "--query", "SELECT 1"], "has a user name"),
        (["postgresql://host/db?password=secret", "--query", "SELECT 1"], "the parameter 'password'"),
        (["ftp://host/x"], "unknown scheme 'ftp'"),
    ],
)
def test_a_source_that_cannot_be_used_is_refused(terminal: Terminal, words: list[str], reason: str) -> None:
    terminal.write_definition()
    terminal.write_items(["an invoice"])
    refused = terminal.run("submit", *words, "-p", "mail.toml")
    assert refused.exit_code == 2
    assert reason in refused.stderr
    assert "secret" not in refused.stderr
