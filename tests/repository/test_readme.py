"""What the README and the pages beside it show is run, in the order in which they show it."""

from __future__ import annotations

import json
import os
import re  # noqa: TID251 - constant patterns
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatch
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import pytest
from standardwebhooks import Webhook

from examples.receiver import Receiver as ExampleReceiver
from pipeline.cli import main
from tests.support.paths import ROOT
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import wait_until

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECONDS = 60
OLD_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


class Block(NamedTuple):
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file to save it as, which its first line gives."""
        name = re.match(r"# (\w+\.\w+)\n", self.text)
        return name[1] if name else None


def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


def named(page: str, file: str) -> str:
    return next(block.text for block in blocks(page) if block.file == file)


def commands(language: str = "console") -> list[list[str]]:
    """The lines that a reader types, by block."""
    found = [block.text for block in blocks("README.md") if block.language == language]
    return [[line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")] for text in found]


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a program of Python in a folder that holds the examples and what the README has its reader save."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    for block in blocks("README.md"):
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    environment |= {"PYTHONPATH": str(ROOT), "NO_COLOR": "1"}

    def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment | settings,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def test_two_commands_start_and_the_build_runs_the_second() -> None:
    assert commands()[0] == ["make demo", "make test"]
    script = [
        line for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines() if line[:1] not in ("#", "")
    ]
    assert script[0] == "set -euo pipefail"
    assert script[-1] == "make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    help_ = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"make demo", "make test"} <= {" ".join(line.split()[:2]) for line in help_.stdout.splitlines()}


def test_the_number_of_tickets_is_true() -> None:
    tickets = (ROOT / "examples" / "support-tickets" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    assert f"{len(tickets)} support tickets" in README


def test_the_commands_of_the_first_example_work_as_shown(run: Run, tmp_path: Path) -> None:
    lines = commands()[1]
    assert len(lines) == 4
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "pipeline"
        run("-m", "pipeline", *words)
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(results) == 250
    assert {result["state"] for result in results} == {"succeeded"}
    assert len((tmp_path / "results.csv").read_text(encoding="utf-8").splitlines()) > 250


def test_the_python_example_prints_what_the_readme_says_and_the_same_when_run_again(run: Run) -> None:
    program = next(block.text for block in blocks("README.md") if block.language == "python" and block.file is None)
    (expected,) = (block.text for block in blocks("README.md") if block.language == "text")
    for _ in range(2):
        assert sorted(run("-c", program).stdout.splitlines()) == sorted(expected.splitlines())
    assert len(program.splitlines()) <= 10


@pytest.mark.parametrize(
    ("page", "function"), [("README.md", "classify"), ("docs/reference/definitions.md", "classify_many")]
)
def test_the_functions_shown_work_as_classifier_and_enricher(
    page: str, function: str, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "my_module.py").write_text(named(page, "my_module.py"), encoding="utf-8")
    (tmp_path / "own.toml").write_text(
        f'name = "own"\n[classify]\nuse = "my_module:{function}"\n[[enrich]]\nuse = "my_module:company"\n'
    )
    item = {"text": "hello", "domain": "acme.example.com"}
    (tmp_path / "items.jsonl").write_text(json.dumps(item) + "\n")
    done = run("-m", "pipeline", "run", "items.jsonl", "-p", "own.toml", "-o", "-")
    (result,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (result["label"], result["confidence"]) == ("short", 0.9)
    assert result["enrichment"]["company"]["name"] in ("Acme", "acme.example.com")


def test_the_commands_about_callbacks_work_as_shown(run: Run, tmp_path: Path) -> None:
    export, line = commands()[2]
    assert export == "export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)"
    assert run("-m", "pipeline", "secret").stdout.startswith("whsec_")
    (tmp_path / "tickets.jsonl").write_text('{"id": "T-1", "body": "Please refund it."}\n')
    with Receiver() as receiver:
        words = [receiver.url if word.startswith("https://") else word for word in shlex.split(line)[1:]]
        run(
            "-m",
            "pipeline",
            *words,
            PIPELINE_WEBHOOK_SECRET=SECRET,
            PIPELINE_ALLOW_PRIVATE_CALLBACKS="127.0.0.0/8",
        )
        assert [event["key"] for event in receiver.of_type("item.completed")] == ["T-1"]


def test_the_receiver_shown_takes_each_event_once_and_refuses_what_is_not_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    receiver: dict[str, Callable[..., int]] = {}
    exec(compile(named("README.md", "receiver.py"), "receiver.py", "exec"), receiver)
    body = '{"type":"item.completed","timestamp":"2026-11-21T10:15:02Z","data":{"key":"T-1","label":"billing"}}'
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, body),
    }
    assert receiver["receive"](body.encode(), headers, SECRET) == 204
    assert receiver["receive"](body.encode(), headers, SECRET) == 204
    assert receiver["receive"](body.replace("T-1", "T-2").encode(), headers, SECRET) == 400
    body = '{"type":"batch.completed","timestamp":"2026-11-21T10:15:02Z","data":{"batch_id":"b","total":1}}'
    signed = headers | {"webhook-id": "msg_2", "webhook-signature": Webhook(SECRET).sign("msg_2", now, body)}
    assert receiver["receive"](body.encode(), {name.title(): value for name, value in signed.items()}, SECRET) == 204
    body = (
        '{"type":"items.completed","timestamp":"2026-11-21T10:15:02Z","data":'
        '[{"key":"T-2","label":"billing"},{"key":"T-3","label":null}]}'
    )
    signed = headers | {"webhook-id": "msg_3", "webhook-signature": Webhook(SECRET).sign("msg_3", now, body)}
    assert [receiver["receive"](body.encode(), signed, SECRET) for _ in range(2)] == [204, 204]
    assert capsys.readouterr().out.splitlines() == [
        "item.completed T-1 billing",
        "batch.completed None None",
        "items.completed T-2 billing",
        "items.completed T-3 None",
    ]


def test_the_receiver_among_the_examples_takes_bundles_and_does_again_what_failed() -> None:
    shown: list[str] = []

    def show(line: str) -> None:
        shown.append(line)
        if line.endswith("T-2       sales") and len(shown) == 2:
            raise OSError("no space left")

    with ExampleReceiver(0, f"{SECRET} {OLD_SECRET}", show=show) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        body = (
            '{"type":"items.completed","timestamp":"2026-11-21T10:15:02Z","data":'
            '[{"key":"T-1","label":"billing"},{"key":"T-2","label":"sales"}]}'
        )
        now = datetime.now(UTC)
        headers = {
            "Webhook-Id": "msg_1",
            "Webhook-Timestamp": str(int(now.timestamp())),
            "Webhook-Signature": Webhook(OLD_SECRET).sign("msg_1", now, body),
        }
        post = partial(_posted, receiver.server_port)
        answers = [post(body.encode(), headers) for _ in range(3)]
        assert (answers, post(b"{}", headers)) == ([500, 204, 204], 400)
        receiver.shutdown()
    lines = ["items.completed  T-1       billing", "items.completed  T-2       sales"]
    assert [line for line in shown if line.startswith("items")] == [*lines, *lines]
    assert list(receiver.events) == ["msg_1"]


def test_the_receiver_of_plain_python_takes_what_is_signed_and_refuses_the_rest(tmp_path: Path) -> None:
    text = named("docs/reference/callbacks.md", "webhooks.py")
    code = [line for line in text.splitlines() if line and not line.startswith(("#", "import", "from"))]
    assert len(code) <= 15
    (tmp_path / "webhooks.py").write_text(text, encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    words = [sys.executable, str(tmp_path / "webhooks.py"), str(port)]
    environment = {**os.environ, "PIPELINE_WEBHOOK_SECRET": f"{SECRET} {OLD_SECRET}"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    without = subprocess.run(
        words, env=os.environ | {"PIPELINE_WEBHOOK_SECRET": ""}, timeout=SECONDS, check=False, **pipes
    )
    assert (without.returncode, without.stderr) == (1, b"set PIPELINE_WEBHOOK_SECRET\n")
    with subprocess.Popen(words, env=environment, **pipes) as program:
        try:
            body = '{"type":"item.completed","timestamp":"2026-11-21T10:15:02Z","data":{"key":"T-1"}}'
            now = datetime.now(UTC)
            headers = {
                "Webhook-Id": "msg_1",
                "Webhook-Timestamp": str(int(now.timestamp())),
                "Webhook-Signature": Webhook(SECRET).sign("msg_1", now, body),
            }
            wait_until(lambda: _is_listening(port))
            assert _posted(port, body.encode(), headers) == 204
            assert _posted(port, body.encode() + b" ", headers) == 400
            assert _posted(port, b"\xff", headers | {"Webhook-Signature": "v1,a,b"}) == 400
            assert program.stdout is not None
            assert program.stdout.readline() == b"item.completed {'key': 'T-1'}\n"
        finally:
            program.kill()
        assert program.stderr is not None
        assert program.stderr.read().count(b"refused: WebhookVerificationError('No matching signature found')") == 1


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _posted(port: int, body: bytes, headers: dict[str, str]) -> int:
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_the_hook_shown_writes_with_the_results(run: Run) -> None:
    use = (
        "with client: client.submit([{'id': 'T-1', 'body': 'refund'}], 'tickets.toml').wait(30)\n"
        "import sqlite3; print(sqlite3.connect('pipeline.db').execute('SELECT * FROM labels').fetchall())"
    )
    assert run("-c", named("docs/reference/callbacks.md", "hooks.py") + use).stdout.strip() == "[('T-1', 'billing')]"


def test_every_definition_shown_can_be_read() -> None:
    shown = [
        block.text
        for page in ("README.md", "docs/reference/definitions.md")
        for block in blocks(page)
        if block.language == "toml"
    ]
    assert len(shown) >= 2
    for text in shown:
        assert {"name", "classify"} <= set(tomllib.loads(text))


def test_every_json_shown_is_json() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for block in blocks(str(page.relative_to(ROOT))):
            if block.language == "json":
                assert json.loads(block.text)


def test_the_exit_codes_are_those_of_the_help() -> None:
    page = (ROOT / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| (\d+) \| (.*?) \|$", page, re.MULTILINE)
    in_help = re.findall(r"^\s+(\d+)  (.*)$", main.help or "", re.MULTILINE)
    assert [code for code, _ in stated] == [code for code, _ in in_help]
    for (_, said), (code, helped) in zip(stated, in_help, strict=True):
        assert said.startswith(helped), code


def test_what_the_examples_write_is_ignored_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    shown = README + (ROOT / "examples" / "demo.py").read_text(encoding="utf-8")
    for target in set(re.findall(r"^(?:\$|  )\s*pipeline .* -o (\S+)", shown, re.MULTILINE)):
        rules = [rule.removeprefix("/") for rule in ignored]
        assert any(fnmatch(target, rule) or (rule.endswith("/") and target.startswith(rule)) for rule in rules), target


def test_every_option_of_the_command_line_that_a_page_names_exists() -> None:
    known = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "pipeline" / "cli").rglob("*.py"))
    for page in (
        "README.md",
        "docs/reference/callbacks.md",
        "docs/reference/settings.md",
        "docs/explanation/architecture.md",
    ):
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", (ROOT / page).read_text(encoding="utf-8")):
            assert f'"{option}"' in known, f"{option} in {page}"
