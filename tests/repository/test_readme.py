"""What the README shows is run, in the order in which it shows it."""

from __future__ import annotations

import json
import os
import re  # noqa: TID251 - constant patterns
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from pipeline.cli import main
from tests.support.api_process import api_process
from tests.support.pages import Desk, blocks, commands, named, reader_environment, run_curl
from tests.support.paths import DOCS, EXAMPLES, ROOT
from tests.support.receiver import SECRET, Receiver

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A folder with what the README has its reader save."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    desk = Desk(tmp_path, reader_environment())
    desk.save("README.md")
    (items,) = (block.text for block in blocks("README.md") if block.language == "jsonl")
    desk.write("tickets.jsonl", items)
    return desk


def test_two_commands_start_and_the_build_runs_the_second() -> None:
    assert commands("README.md")[0] == ["make demo", "make test"]
    script = [
        line for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines() if line[:1] not in ("#", "")
    ]
    assert script[0] == "set -euo pipefail"
    assert script[-1] == "make test"
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    help_ = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert {"make demo", "make test"} <= {" ".join(line.split()[:2]) for line in help_.stdout.splitlines()}


def test_the_first_result_is_on_the_first_screen() -> None:
    before, _, after = README.partition("$ pipeline run ")
    assert after
    assert len(before.splitlines()) <= 60


def test_the_number_of_tickets_is_true() -> None:
    tickets = (EXAMPLES / "support-tickets" / "tickets.jsonl").read_text(encoding="utf-8").splitlines()
    assert f"{len(tickets)} support tickets" in README


@pytest.mark.slow
def test_the_commands_of_the_first_example_work_as_shown(desk: Desk) -> None:
    lines = commands("README.md")[1]
    assert len(lines) == 3
    for line in lines:
        desk.type(line)
    results = {result["key"]: result for result in map(json.loads, desk.read("results.jsonl").splitlines())}
    assert {key: result["label"] for key, result in results.items()} == {"T-1": "billing", "T-2": "shipping"}
    assert results["T-2"]["enrichment"]["language"]["language"] == "de"
    assert len(desk.read("results.csv").splitlines()) == 3


@pytest.mark.slow
def test_the_python_example_prints_each_result(desk: Desk) -> None:
    program = next(block.text for block in blocks("README.md") if block.language == "python" and block.file is None)
    assert desk.python("-c", program).stdout == "T-3 billing en\n"


@pytest.mark.slow
def test_the_example_with_curl_follows_the_results(desk: Desk) -> None:
    serve, *curl = commands("README.md")[2]
    assert (serve, len(curl)) == ("pipeline serve", 2)
    with api_process(desk.folder) as served:
        submitted = run_curl(desk.folder, curl[0], served.ready)
        lines = run_curl(desk.folder, curl[1].replace("BATCH", json.loads(submitted)["batch_id"]), served.ready)
    assert {result["key"]: result["label"] for result in map(json.loads, lines.splitlines())} == {
        "T-1": "billing",
        "T-2": "shipping",
    }


def test_each_way_in_has_at_most_six_lines() -> None:
    ways = [block for block in blocks("README.md") if block.language in ("console", "python") and block.file is None]
    assert [block.language for block in ways[1:4]] == ["console", "python", "console"]
    assert [len(block.text.splitlines()) for block in ways[1:4] if len(block.text.splitlines()) > 6] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "function"), [("README.md", "classify"), ("docs/reference/definitions.md", "classify_many")]
)
def test_the_functions_shown_work_as_classifier_and_enricher(page: str, function: str, desk: Desk) -> None:
    desk.write("my_module.py", named(page, "my_module.py"))
    desk.write(
        "own.toml", f'name = "own"\n[classify]\nuse = "my_module:{function}"\n[[enrich]]\nuse = "my_module:company"\n'
    )
    desk.write("items.jsonl", json.dumps({"text": "hello", "domain": "acme.example.com"}) + "\n")
    done = desk.type("pipeline run items.jsonl -p own.toml -o -")
    (result,) = (json.loads(line) for line in done.stdout.splitlines())
    assert (result["label"], result["confidence"]) == ("short", 0.9)
    assert result["enrichment"]["company"]["name"] in ("Acme", "acme.example.com")


@pytest.mark.slow
def test_the_commands_about_callbacks_work_as_shown(desk: Desk) -> None:
    export, line = commands("README.md")[3]
    assert export == "export PIPELINE_WEBHOOK_SECRET=$(pipeline secret)"
    assert desk.type("pipeline secret").stdout.startswith("whsec_")
    with Receiver() as receiver:
        here = re.sub(r"https://\S+", receiver.url, line)
        desk.type(here, PIPELINE_WEBHOOK_SECRET=SECRET, PIPELINE_ALLOW_PRIVATE_CALLBACKS="127.0.0.0/8")
        assert {event["key"] for event in receiver.of_type("item.completed")} == {"T-1", "T-2"}


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


def test_every_definition_shown_can_be_read() -> None:
    pages = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(DOCS.rglob("*.md")))]
    shown = [block.text for page in pages for block in blocks(page) if block.language == "toml"]
    # Others are settings, which their own tests read.
    definitions = [tables for tables in map(tomllib.loads, shown) if {"name", "input", "enrich"} & set(tables)]
    assert len(definitions) >= 3
    assert [tables for tables in definitions if not {"name", "classify"} <= set(tables)] == []


def test_every_json_shown_is_json() -> None:
    for page in sorted(DOCS.rglob("*.md")):
        for block in blocks(str(page.relative_to(ROOT))):
            for text in [block.text] if block.language == "json" else block.text.splitlines():
                if block.language in ("json", "jsonl"):
                    assert json.loads(text)


def test_the_exit_codes_are_those_of_the_help() -> None:
    page = (DOCS / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| (\d+) \| (.*?) \|$", page, re.MULTILINE)
    in_help = re.findall(r"^\s+(\d+)  (.*)$", main.help or "", re.MULTILINE)
    assert [code for code, _ in stated] == [code for code, _ in in_help]
    for (_, said), (code, helped) in zip(stated, in_help, strict=True):
        assert said.startswith(helped), code


def test_what_the_examples_write_is_ignored_by_git() -> None:
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    shown = README + (EXAMPLES / "demo.py").read_text(encoding="utf-8")
    for target in set(re.findall(r"^(?:\$|  )\s*pipeline .* -o (\S+)", shown, re.MULTILINE)):
        rules = [rule.removeprefix("/") for rule in ignored]
        assert any(fnmatch(target, rule) or (rule.endswith("/") and target.startswith(rule)) for rule in rules), target
