"""Ctrl-C and SIGTERM: a run stops cleanly and prints how to continue."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.receivers.owed import wait_until
from tests.support.terminal import Terminal, results_in

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_finished_by_the_command_that_it_prints(terminal: Terminal, number: signal.Signals) -> None:
    terminal.write_obedient_definition()
    items = terminal.write_items(["go on", *["wait"] * 20])
    # They never end by themselves: a stop waits for them as long as it may.
    run = terminal.start("run", str(items), "-o", "-", environment={"PIPELINE_STOP_SECONDS": "0.5"})
    assert run.stdout is not None
    # After the first result the run is in progress; the other items wait.
    run.stdout.readline()
    run.send_signal(number)
    _, stderr = run.communicate(timeout=60)

    batch = terminal.data("status", "last")
    assert run.returncode == 130
    assert f"pipeline run --batch {batch['batch_id']}" in stderr.decode()
    assert b"Traceback" not in stderr
    assert (batch["succeeded"], batch["waiting"], batch["in_flight"]) == (1, 20, 0)

    terminal.write("go", "")
    assert terminal.run("run", "--batch", batch["batch_id"], "-o", "out.jsonl").exit_code == 0
    results = results_in(terminal.folder / "out.jsonl")
    assert len({result["item_id"] for result in results}) == len(results) == 21


def test_following_results_continues_after_the_last_seq(terminal: Terminal) -> None:
    terminal.write_obedient_definition()
    run = terminal.start("run", str(terminal.write_items(["go on", "wait"])), "-q")
    wait_until(lambda: (terminal.folder / "pipeline.db").exists() and terminal.run("status", "last").exit_code == 0)
    follow = terminal.start("results", "last", "--follow")
    assert follow.stdout is not None
    first = json.loads(follow.stdout.readline())
    follow.send_signal(signal.SIGINT)
    rest, stderr = follow.communicate(timeout=60)
    assert (follow.returncode, rest) == (130, b"")
    command = f"pipeline results {first['batch_id']} --follow --after {first['seq']}"
    assert stderr.decode().strip() == f"stopped after seq 1. To continue, run: {command}"

    terminal.write("go", "")
    run.communicate(timeout=60)
    lines = terminal.run(*command.split()[1:]).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == [2]


def test_a_second_signal_exits_at_once_without_losing_anything(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
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


def test_a_stopped_submission_stores_nothing(terminal: Terminal) -> None:
    terminal.write_definition()
    source = terminal.start_python("-c", "import os, sys; os.mkfifo('pipe'); print('ready', flush=True)")
    assert source.stdout is not None
    source.stdout.readline()
    source.communicate(timeout=60)
    submit = terminal.start("submit", "pipe", "--format", "jsonl")
    # Opening the pipe waits until the command reads from it.
    with Path("pipe").open("w") as writer:
        writer.write('{"id": "a", "text": "x"}\n')
        writer.flush()
        submit.send_signal(signal.SIGINT)
        _, stderr = submit.communicate(timeout=60)
    assert submit.returncode == 130
    assert b"Traceback" not in stderr
    assert terminal.data("status") == []


def test_a_closed_standard_output_stops_the_run_cleanly(terminal: Terminal) -> None:
    terminal.write_obedient_definition()
    items = terminal.write_items(["go on"] * 2000)
    run = terminal.start("run", str(items), "-o", "-")
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.readline()
    run.stdout.close()
    stderr = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) == 1
    assert b"pipeline run --batch" in stderr
    assert b"Traceback" not in stderr
