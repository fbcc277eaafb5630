"""What the pages on how to do something show is run, and every command line in any page exists."""

from __future__ import annotations

import json
import os
import re  # noqa: TID251 - constant patterns
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import click
import psycopg
import pytest
from standardwebhooks import Webhook

from examples.receiver import Receiver as ExampleReceiver
from pipeline.cli import main
from tests.support.pages import SECONDS, Block, Desk, blocks, commands, files, named, reader_environment
from tests.support.paths import DOCS, EXAMPLES, ROOT
from tests.support.receiver import SECRET, Receiver
from tests.support.receivers.owed import wait_until
from tests.support.servers.fixtures import LEFT_OUT
from tests.support.servers.postgres import Postgres
from tests.support.servers.redis import Redis
from tests.support.servers.warm_process import start_python
from tests.support.terminal import Terminal

OLD_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
RECEIVERS = "docs/how-to/receive-webhooks.md"
#: What runs the file of each language.
RUNTIMES = {"py": sys.executable, "mjs": "node", "go": "go"}
PAGES = ["README.md", *(str(page.relative_to(ROOT)) for page in sorted(DOCS.rglob("*.md")))]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    return Desk(tmp_path, reader_environment())


# --- receivers -------------------------------------------------------------------------------------------------------


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
        headers = _signed(body, "msg_1", OLD_SECRET)
        post = partial(_posted, receiver.server_port)
        answers = [post(body.encode(), headers) for _ in range(3)]
        assert (answers, post(b"{}", headers)) == ([500, 204, 204], 400)
        receiver.shutdown()
    lines = ["items.completed  T-1       billing", "items.completed  T-2       sales"]
    assert [line for line in shown if line.startswith("items")] == [*lines, *lines]
    assert list(receiver.events) == ["msg_1"]


@pytest.mark.slow
@pytest.mark.parametrize("block", files(RECEIVERS), ids=lambda block: block.file)
def test_each_receiver_shown_verifies_and_acts_once(block: Block, tmp_path: Path) -> None:
    with _receiving(block, tmp_path, SECRET) as (port, program):
        post = partial(_posted, port)
        item = '{"type":"item.completed","timestamp":"2026-11-21T10:15:02Z","data":{"key":"T-1","label":"billing"}}'
        headers = _signed(item, "msg_1")
        assert post(item.encode(), headers) == 204
        assert post(item.encode(), headers) == 204
        assert post(item.encode() + b" ", headers) == 400
        assert post(item.encode(), headers | {"Webhook-Signature": "v1,a,b v2,c"}) == 400
        assert post(b"\xff", headers) == 400
        assert post(item.encode(), {name: headers[name] for name in ("Webhook-Id", "Webhook-Timestamp")}) == 400
        assert post(item.encode(), _signed(item, "msg_2", OLD_SECRET)) == 400
        assert post(item.encode(), _signed(item, "msg_2", at=datetime.now(UTC) - timedelta(minutes=6))) == 400
        bundle = (
            '{"type":"items.completed","timestamp":"2026-11-21T10:15:02Z","data":'
            '[{"key":"T-2","label":"Zürich"},{"key":"T-3","label":"sales"}]}'
        )
        rotating = _signed(bundle, "msg_3")
        rotating["Webhook-Signature"] = (
            f"{_signed(bundle, 'msg_3', OLD_SECRET)['Webhook-Signature']} " + (rotating["Webhook-Signature"])
        )
        assert post(bundle.encode(), rotating) == 204
        batch = '{"type":"batch.completed","timestamp":"2026-11-21T10:15:02Z","data":{"batch_id":"b","total":3}}'
        assert post(batch.encode(), _signed(batch, "msg_4")) == 204
    out, _ = program.communicate(timeout=SECONDS)
    *items, of_batch = out.decode().splitlines()
    assert items == ["item.completed T-1 billing", "items.completed T-2 Zürich", "items.completed T-3 sales"]
    assert of_batch.lower().replace("none", "null") == "batch.completed null null"


@pytest.mark.slow
@pytest.mark.parametrize("block", files(RECEIVERS), ids=lambda block: block.file)
def test_no_receiver_shown_runs_without_a_secret(block: Block, tmp_path: Path) -> None:
    done = subprocess.run(
        [*_run(block, tmp_path), "0"],
        env=_environment(""),
        cwd=tmp_path,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode != 0
    assert b"set PIPELINE_WEBHOOK_SECRET" in done.stderr


def test_a_receiver_of_python_that_cannot_store_says_so_and_takes_the_event_again(tmp_path: Path) -> None:
    (block,) = (block for block in files(RECEIVERS) if block.language == "python")
    item = '{"type":"item.completed","timestamp":"2026-11-21T10:15:02Z","data":{"key":"T-1","label":"billing"}}'
    (tmp_path / "received.db").mkdir()
    with _receiving(block, tmp_path, SECRET) as (port, program):
        headers = _signed(item, "msg_1")
        assert _posted(port, item.encode(), headers) == 500
        (tmp_path / "received.db").rmdir()
        assert _posted(port, item.encode(), headers) == 204
    assert program.communicate(timeout=SECONDS)[0] == b"item.completed T-1 billing\n"


@contextmanager
def _receiving(block: Block, folder: Path, secret: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    program = subprocess.Popen(
        [*_run(block, folder), str(port)],
        env=_environment(secret),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: program.poll() is not None or _is_listening(port))
        assert program.poll() is None, program.communicate()[1].decode()
        yield port, program
    finally:
        if program.poll() is None:
            program.kill()


def _run(block: Block, folder: Path) -> list[str]:
    """Save a receiver; return the command that runs it."""
    path = folder / str(block.file)
    path.write_text(block.text, encoding="utf-8")
    runtime = RUNTIMES[path.suffix[1:]]
    if shutil.which(runtime) is None:
        pytest.skip(f"{LEFT_OUT}no `{runtime}` on PATH")
    if runtime != "go":
        return [runtime, str(path)]
    # What `go run` does, but for its own process in between.
    subprocess.run([runtime, "build", "-o", "receiver", path.name], cwd=folder, check=True)
    return [str(folder / "receiver")]


def _environment(secret: str) -> dict[str, str]:
    return os.environ | {"PIPELINE_WEBHOOK_SECRET": secret}


def _signed(body: str, webhook_id: str, secret: str = SECRET, at: datetime | None = None) -> dict[str, str]:
    made_at = at or datetime.now(UTC)
    return {
        "Webhook-Id": webhook_id,
        "Webhook-Timestamp": str(int(made_at.timestamp())),
        "Webhook-Signature": Webhook(secret).sign(webhook_id, made_at, body),
    }


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


# --- other pages -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_hook_shown_writes_with_the_results(desk: Desk) -> None:
    desk.save("README.md")
    use = (
        "with client: client.submit([{'id': 'T-1', 'body': 'refund'}], 'tickets.toml').wait(30)\n"
        "import sqlite3; print(sqlite3.connect('pipeline.db').execute('SELECT * FROM labels').fetchall())"
    )
    shown = desk.python("-c", named("docs/how-to/completion-hooks.md", "hooks.py") + use).stdout.strip()
    assert shown == "[('T-1', 'billing')]"


@pytest.mark.slow
def test_the_program_that_looks_after_endpoints_runs(desk: Desk) -> None:
    page = "docs/how-to/manage-endpoints.md"
    url = "https://example.com"
    desk.python("-c", f"import pipeline; pipeline.connect().endpoint('{url}').disable()")
    shown = desk.python("-c", named(page, "endpoints.py")).stdout.splitlines()
    assert shown == ["20.0", f"{url}:443 disabled manual {{}}", "0"]


@pytest.mark.slow
# In the process that has imported scikit-learn, which takes two seconds.
@pytest.mark.xdist_group("sklearn")
def test_a_model_is_trained_used_and_checked_as_shown(desk: Desk, terminal: Terminal) -> None:
    page = "docs/how-to/train-a-model.md"
    desk.save(page)
    lines = [line for typed in commands(page) for line in typed]
    for line in lines:
        program, *words = shlex.split(line)
        assert program == "pipeline"
        done = terminal.run(*words)
        assert done.exit_code == 0, done.output
    assert len(lines) == 3
    assert (desk.folder / "models" / "tickets.card.md").exists()
    results = [json.loads(line) for line in desk.read("results.jsonl").splitlines()]
    assert {len(result["classification"]["scores"]) for result in results} == {5}
    assert re.search(r"accuracy\s+1\.000", done.stdout)


@pytest.mark.slow
def test_the_tests_of_a_classifier_shown_pass(desk: Desk) -> None:
    page = "docs/how-to/test-a-classifier.md"
    desk.write(
        "my_classifier.py", next(block.text for block in files("docs/tutorial.md") if block.language == "python")
    )
    desk.write("leads.toml", named("docs/tutorial.md", "leads.toml"))
    desk.save(page)
    desk.write("receiver.py", named("README.md", "receiver.py"))
    done = desk.python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(desk.folder))
    assert re.search(r"^8 passed", done.stdout, re.MULTILINE), done.stdout
    labelled = [{"message": "Please call me.", "expected": "hot"}, {"message": "A list, please.", "expected": "warm"}]
    desk.write("labelled.jsonl", "".join(f"{json.dumps(each)}\n" for each in labelled))
    ((line,),) = commands(page)
    desk.type(line)


@pytest.mark.slow
def test_the_rights_that_the_page_about_security_gives_are_enough_and_no_more(
    desk: Desk, postgres: Postgres, redis: Redis
) -> None:
    page = "docs/how-to/security.md"
    of_server, of_database = (block.text for block in blocks(page) if block.language == "sql")
    (acl,) = (block.text for block in blocks(page) if block.language == "text")
    name = "test_security"
    for statement in of_server.replace("tickets", name).split(";\n"):
        postgres.run(statement)
    owner, app = (
        postgres.url_of(name).replace("//pipeline@", f"//{role}@") for role in ("pipeline_owner", "pipeline_app")
    )
    try:
        with psycopg.connect(owner, autocommit=True) as connection:
            for statement in of_database.split(";\n"):
                connection.execute(statement)
        with redis.client() as client:
            assert client.execute_command(*shlex.split(acl)) == b"OK"
        _work_with(desk, owner, app, redis.url.replace("redis://", "redis://pipeline:choose-one@"))
        with psycopg.connect(app) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE mine (id int)")
    finally:
        with redis.client() as client:
            client.execute_command("ACL", "DELUSER", "pipeline")
        postgres.drop(postgres.url_of(name))
        postgres.run("DROP ROLE pipeline_owner")
        postgres.run("DROP ROLE pipeline_app")


def _work_with(desk: Desk, owner: str, app: str, broker: str) -> None:
    """Upgrade as the owner; do everything else, in every way there is, as the other."""
    desk.type("pipeline db upgrade", PIPELINE_DATABASE_URL=owner)
    desk.environment |= {
        "PIPELINE_DATABASE_URL": app,
        "PIPELINE_BROKER_URL": broker,
        "PIPELINE_WEBHOOK_SECRET": SECRET,
        "PIPELINE_ALLOW_PRIVATE_CALLBACKS": "127.0.0.0/8",
    }
    tickets = "examples/support-tickets"
    words = ["-m", "pipeline", "worker"]
    with (
        Receiver() as receiver,
        (desk.folder / "worker.log").open("wb") as log,
        start_python(words, cwd=desk.folder, env=desk.environment, stderr=log) as worker,
    ):
        try:
            desk.type(
                f"pipeline run {tickets}/tickets.jsonl -p {tickets}/definition.toml --callback-url {receiver.url}"
            )
            assert len(receiver.of_type("item.completed")) == 250
            for line in ("status last", "dead list", f"endpoints set {receiver.url} --rate 50", "doctor --live"):
                desk.type(f"pipeline {line}")
            desk.type("pipeline db prune --older-than 0s --yes")
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(SECONDS)
    assert worker.returncode == 0, desk.read("worker.log")
    assert " ERROR " not in desk.read("worker.log")


# --- command lines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/reference/cli.md"])
def test_every_command_line_that_a_page_shows_exists(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    typed = [line for block in blocks(page) if block.language in ("console", "sh") for line in block.text.splitlines()]
    inline = re.findall(r"`([^`\n]*)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    for line in (*typed, *inline):
        found = re.search(r"(?:^|[ (=])pipeline ((?:--)?[a-z][^<>|#]*)", line)
        if found is not None and "…" not in line and " exec " not in line:
            _parse(line, found[1])


def _parse(line: str, rest: str) -> None:
    """Parse what follows `pipeline`, as the program does."""
    rest = rest.rstrip(") ").replace(" N", " 2").replace(" X", " 0.5").replace(" SECONDS", " 5")
    words = shlex.split(rest)
    command: click.Command = main
    context = click.Context(main, info_name="pipeline")
    while isinstance(command, click.Group):
        if not words:
            return
        found = command.get_command(context, words[0])
        assert found is not None, f"{line}: there is no command {words[0]}"
        command, words = found, words[1:]
        context = click.Context(command, parent=context)
    _, too_many, _ = command.make_parser(context).parse_args(words)
    assert not too_many, line
