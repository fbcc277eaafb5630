"""Standard output carries data only, and closed or full streams are no fault of pipeline."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.servers.warm_process import run_python
from tests.support.terminal import Terminal

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="descriptors are those of POSIX"),
    pytest.mark.slow,
]

#: Writes to standard output in each way that user code can.
LOUD = """
import os, subprocess, sys, threading

def shout(text):
    print(text)
    os.write(1, b"raw\\n")
    sys.__stdout__.write("dunder\\n")
    subprocess.run(["echo", "child"])
    thread = threading.Thread(target=print, args=("thread",))
    thread.start()
    thread.join()

shout("import")

def classify(item):
    shout("call")
    return "done"
"""


def write_loud_definition(terminal: Terminal) -> None:
    terminal.write("loud.py", LOUD)
    terminal.write("loud.toml", 'name = "loud"\n[classify]\nuse = "loud:classify"\n')
    terminal.write_items(["a", "b"])


@pytest.mark.parametrize("words", ["run items.jsonl -o -", "run items.jsonl -o /dev/stdout", "doctor --json"])
def test_what_user_code_prints_is_no_data(terminal: Terminal, words: str) -> None:
    write_loud_definition(terminal)
    process = terminal.start(*words.split())
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode in (0, 1), stderr
    lines = [stdout] if words.endswith("--json") else stdout.splitlines()
    assert all(json.loads(line) for line in lines)
    assert lines
    assert {b"import", b"raw", b"dunder", b"child", b"thread"} <= set(stderr.splitlines())


def test_what_user_code_prints_is_no_data_where_the_program_calls_the_command_line(terminal: Terminal) -> None:
    terminal.write_items(["a", "b"])
    terminal.write("quiet.py", 'def classify(item):\n    print("call")\n    return "done"\n')
    terminal.write("quiet.toml", 'name = "quiet"\n[classify]\nuse = "quiet:classify"\n')
    result = terminal.run("run", "items.jsonl", "-o", "-")
    assert [json.loads(line)["label"] for line in result.stdout.splitlines()] == ["done", "done"]
    assert result.stderr.count("call\n") == 2


#: Runs each line of commands in a child that has closed some descriptors, and prints its exit code.
CLOSING = """
import os, signal, sys
from pipeline.cli import main
from pipeline.cli.reference import walk_commands

dict(walk_commands(main))
for line in open(sys.argv[1]):
    closed, *words = line.split()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        # One that goes on is named, instead of all that ran.
        signal.alarm(30)
        for number in map(int, closed):
            os.close(number)
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)
        try:
            main(words)
        except SystemExit as end:
            os._exit(end.code or 0)
        os._exit(99)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), line.strip())
"""

COMBINATIONS = ("0", "1", "2", "01", "02", "12", "012")


def exit_codes(terminal: Terminal, lines: list[str]) -> dict[str, int]:
    """Return the exit code of each line: digits of descriptors to close, and a command."""
    path = terminal.write("lines.txt", "".join(f"{line}\n" for line in lines))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = run_python(["-c", CLOSING, path], text=True, env=environment, timeout=100)
    assert done.returncode == 0, done.stderr
    found = [line.split(" ", 1) for line in done.stdout.splitlines() if line.removeprefix("-")[:1].isdigit()]
    return {line: int(code) for code, line in found if line in lines}


def test_closed_streams_are_like_the_null_device(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write_items(["an invoice", "a quote"])
    assert terminal.run("run", "items.jsonl").exit_code == 0
    before = Path("pipeline.db").stat().st_size
    expected = {f"{closed} results last -o out.jsonl": 0 for closed in COMBINATIONS}
    expected |= {"012 status --json": 0, "012 show m-1": 0, "12 status": 0, "1 run --batch last -o -": 0}
    # Nobody answers, and there are no items.
    expected |= {"012 cancel last": 2, "0 run -": 2}
    assert exit_codes(terminal, list(expected)) == expected
    assert len(Path("out.jsonl").read_bytes().splitlines()) == 2
    # No message went into the database.
    assert Path("pipeline.db").stat().st_size == before
    assert terminal.data("status", "last")["succeeded"] == 2


def test_no_command_fails_for_closed_streams(terminal: Terminal) -> None:
    """Without a database, a broker and files, each says so."""
    from pipeline.cli import main
    from pipeline.cli.reference import walk_commands

    lines = []
    for name, command in walk_commands(main):
        if name == "pipeline serve":
            # It needs none of them, and would serve until it is stopped.
            continue
        words = ["x" for parameter in command.params if parameter.param_type_name == "argument" and parameter.required]
        lines.append(" ".join(["012", *name.split()[1:], *words]))
    codes = exit_codes(terminal, lines)
    assert set(codes) == set(lines)
    assert {line: code for line, code in codes.items() if code not in (0, 1, 2)} == {}


def run_with(terminal: Terminal, stdout: str, stderr: str, *words: str) -> int:
    with open(stdout, "wb") as out, open(stderr, "wb") as err:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return run_python(["-m", "pipeline", *words], stdout=out, stderr=err, env=environment).returncode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_standard_output_is_an_error_and_a_full_standard_error_is_none(terminal: Terminal) -> None:
    terminal.write_definition()
    terminal.write_items(["an invoice"])
    assert terminal.run("submit", "items.jsonl").exit_code == 0
    assert run_with(terminal, "out.jsonl", "/dev/full", "run", "--batch", "last", "-o", "-") == 0
    assert json.loads(Path("out.jsonl").read_text())["label"] == "billing"
    assert run_with(terminal, "/dev/full", "err.txt", "results", "last") == 2
    assert "No space left" in Path("err.txt").read_text()
