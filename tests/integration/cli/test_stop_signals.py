"""Ctrl-C and SIGTERM: a run stops cleanly and says how to go on."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.receivers.owed import wait_until
from tests.support.terminal import Terminal, results_in


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_finished_by_the_command_it_names(terminal: Terminal, number: signal.Signals) -> None:
    terminal.write_obedient_definition()
    items = terminal.write_items(["go on", *["wait"] * 20])
    # They never end by themselves: a stop waits for them as long as it may.
    run = terminal.start("run", str(items), "-o", "-", environment={"PIPELINE_STOP_SECONDS": "0.5"})
    assert run.stdout is not None
    # The first result says that the run is under way; the others wait.
    run.stdout.readline()
    run.send_signal(number)
    _, said = run.communicate(timeout=60)

    batch = terminal.data("status", "last")
    assert run.returncode == 130
    assert f"pipeline run --batch {batch['batch_id']}" in said.decode()
    assert b"Traceback" not in said
    assert (batch["succeeded"], batch["waiting"], batch["in_flight"]) == (1, 20, 0)

    terminal.write("go", "")
    assert terminal.run("run", "--batch", batch["batch_id"], "-o", "out.jsonl").exit_code == 0
    found = results_in(terminal.folder / "out.jsonl")
    assert len({each["item_id"] for each in found}) == len(found) == 21


def test_results_that_are_followed_go_on_behind_the_last_one_seen(terminal: Terminal) -> None:
    terminal.write_obedient_definition()
    run = terminal.start("run", str(terminal.write_items(["go on", "wait"])), "-q")
    wait_until(lambda: (terminal.folder / "pipeline.db").exists() and terminal.run("status", "last").exit_code == 0)
    follow = terminal.start("results", "last", "--follow")
    assert follow.stdout is not None
    first = json.loads(follow.stdout.readline())
    follow.send_signal(signal.SIGINT)
    rest, said = follow.communicate(timeout=60)
    assert (follow.returncode, rest) == (130, b"")
    command = f"pipeline results {first['batch_id']} --follow --after {first['seq']}"
    assert said.decode().strip() == f"stopped after seq 1. Go on with: {command}"

    terminal.write("go", "")
    run.communicate(timeout=60)
    found = terminal.run(*command.split()[1:]).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in found] == [2]


def test_a_second_signal_ends_at_once_and_loses_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_STOP_SECONDS", "3600")
    module = "import threading\ndef classify(item):\n    threading.Event().wait()\n"
    terminal.write("endless.py", module)
    terminal.write("endless.toml", 'name = "endless"\n[classify]\nuse = "endless:classify"\n')
    items = terminal.write_items(["x"] * 3)
    run = terminal.start("run", str(items))
    assert run.stderr is not None
    assert b"batch" in run.stderr.readline()
    run.send_signal(signal.SIGINT)
    assert b"stopping" in run.stderr.readline()
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode in (-signal.SIGINT, 130)
    assert terminal.data("status", "last")["total"] == 3


def test_a_submission_that_is_stopped_stores_nothing(terminal: Terminal) -> None:
    terminal.write_definition()
    source = terminal.start_script("import os, sys; os.mkfifo('pipe'); print('ready', flush=True)")
    assert source.stdout is not None
    source.stdout.readline()
    source.communicate(timeout=60)
    submit = terminal.start("submit", "pipe", "--format", "jsonl")
    # Opening waits for the reader; what is written is then being read.
    with Path("pipe").open("w") as writer:
        writer.write('{"id": "a", "text": "x"}\n')
        writer.flush()
        submit.send_signal(signal.SIGINT)
        _, said = submit.communicate(timeout=60)
    assert submit.returncode == 130
    assert b"Traceback" not in said
    assert terminal.data("status") == []


def test_a_reader_that_goes_away_stops_the_run_cleanly(terminal: Terminal) -> None:
    terminal.write_obedient_definition()
    items = terminal.write_items(["go on"] * 2000)
    run = terminal.start("run", str(items), "-o", "-")
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    said = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) == 1
    assert b"pipeline run --batch" in said
    assert b"Traceback" not in said
