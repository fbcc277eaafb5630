"""What docs/how-to/http-api.md shows is run against a server, in the order in which it shows it."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.api_process import ApiProcess, api_process
from tests.support.pages import SECONDS, SERVER, Desk, blocks, commands, named, reader_environment, run_curl
from tests.support.servers.fixtures import LEFT_OUT

PAGE = "docs/how-to/http-api.md"
#: What answers that go on are read with: the stream of a batch ends with it.
LABELS = {"T-1": "billing", "T-2": "other"}


class Reader(NamedTuple):
    """A reader of the page, with a server."""

    desk: Desk
    served: ApiProcess

    def curl(self, line: str, **names: str) -> str:
        for name, value in names.items():
            line = line.replace(name, value)
        return run_curl(self.desk.folder, line, self.served.ready)

    def run(self, program: str, file: str, *words: str) -> str:
        """Run a program of the page with the server's address in it."""
        if shutil.which(program) is None:
            pytest.skip(f"{LEFT_OUT}no `{program}` on PATH")
        self.desk.write(file, named(PAGE, file).replace(SERVER, self.served.ready))
        done = subprocess.run(
            [program, file, *words], cwd=self.desk.folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    folder: Path = tmp_path_factory.mktemp("reader")
    (folder / "definitions").mkdir()
    (folder / "definitions" / "tickets.toml").write_text(named(PAGE, "tickets.toml"), encoding="utf-8")
    (items,) = (block.text for block in blocks(PAGE) if block.language == "jsonl")
    for name in ("tickets.jsonl", "part-1.jsonl"):
        (folder / name).write_text(items, encoding="utf-8")
    with api_process(folder, definitions="definitions") as served:
        yield Reader(Desk(folder, reader_environment()), served)


@pytest.fixture(scope="module")
def batch(reader: Reader) -> str:
    """The batch that the page submits first."""
    submit = next(line for lines in commands(PAGE) for line in lines if "-T tickets.jsonl" in line)
    answers = [json.loads(reader.curl(submit)) for _ in range(2)]
    assert len({answer["batch_id"] for answer in answers}) == 1, "the same request finds the same batch"
    return str(answers[0]["batch_id"])


@pytest.mark.slow
def test_every_line_with_curl_works(reader: Reader, batch: str) -> None:
    lines = [line for typed in commands(PAGE) for line in typed if line.startswith("curl ")]
    assert len(lines) == 9
    names = {"BATCH": batch, "CAUSE": "0123456789ab"}
    answers = {}
    for line in lines:
        if "/parts/" in line or "/seal" in line:
            line = line.replace("BATCH", json.loads(answers["parts"])["batch_id"])
        answer = reader.curl(line, **names)
        answers["parts" if '"parts": true' in line else line] = answer
    (events,) = (answer for line, answer in answers.items() if "event-stream" in line)
    assert events.count("event: item.completed") == 2
    assert "event: end" in events
    (followed,) = (answer for line, answer in answers.items() if "follow=true" in line)
    assert {each["key"]: each["label"] for each in map(json.loads, followed.splitlines())} == LABELS
    (sealed,) = (answer for line, answer in answers.items() if "/seal" in line)
    assert json.loads(sealed)["total"] == 2
    (classified,) = (answer for line, answer in answers.items() if "/classify" in line)
    assert json.loads(classified)["label"] == "billing"
    (counted,) = (answer for line, answer in answers.items() if "dry_run" in line)
    assert json.loads(counted) == {"matched": 0, "replayed": 0}


@pytest.mark.slow
def test_the_program_in_python_follows(reader: Reader, batch: str) -> None:
    shown = reader.run(sys.executable, "follow.py", batch)
    assert dict(map(str.split, shown.splitlines())) == LABELS


@pytest.mark.slow
def test_the_program_in_node_submits_and_follows(reader: Reader) -> None:
    assert [reader.run("node", "follow.mjs") for _ in range(2)] == ["T-1 billing\n"] * 2


@pytest.mark.slow
def test_the_loop_in_a_shell_prints_each_result_once(reader: Reader, batch: str) -> None:
    shown = reader.run("sh", "follow.sh", batch)
    assert {each["key"]: each["label"] for each in map(json.loads, shown.splitlines())} == LABELS
    # Started again, it has nothing to add.
    assert reader.run("sh", "follow.sh", batch) == ""


@pytest.mark.slow
def test_the_client_of_python_uses_the_server(reader: Reader) -> None:
    program = named(PAGE, "with_a_server.py").replace(SERVER, reader.served.ready)
    assert reader.desk.python("-c", program).stdout == "T-1 billing\n"


def test_curl_is_never_shown_with_what_drops_line_breaks() -> None:
    for page in ("README.md", PAGE, "docs/how-to/serve-behind-a-proxy.md"):
        for line in (line for typed in commands(page) for line in typed if line.startswith("curl ")):
            words = shlex.split(line)
            assert not any(word.startswith("@") and words[index - 1] == "-d" for index, word in enumerate(words)), line
