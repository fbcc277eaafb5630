"""Why an enricher failed: `dead list`, `dead show` and `show` name it, its answer and the attempts at each stage."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.support.terminal import Terminal

TOKEN = "s3cr3t-t0k3n"
ANSWER = f'{{"error": "the token {TOKEN} has expired"}}'

DEFINITION = """
name = "companies"
[input]
key = "id"
text = "text"
[classify]
use = "keywords"
default = "other"
rules = [{ label = "billing", any = ["invoice"] }]
[[enrich]]
use = "http"
name = "company"
url = "http://127.0.0.1:%d/companies/{text}"
headers = { Authorization = "Bearer ${CRM_TOKEN}" }
not_found = "dead"
"""


class _Service(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"{}" if self.path.endswith("/known") else ANSWER.encode()
        self.send_response(200 if body == b"{}" else 401)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def enriched(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A batch of one item that its service knows and one that it answers 401."""
    monkeypatch.setenv("CRM_TOKEN", TOKEN)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Service) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        terminal.write("companies.toml", DEFINITION % service.server_port)
        assert terminal.run("run", str(terminal.write_items(["known", "unknown"]))).exit_code == 1
        service.shutdown()
    return terminal


def test_the_enricher_and_its_answer_are_shown_and_the_secret_is_stored_nowhere(enriched: Terminal) -> None:
    (dead,) = enriched.data("dead", "list")
    answer = ANSWER.replace(TOKEN, "[redacted]")
    assert dead["message"].startswith("company: 127.0.0.1:")
    assert (dead["answer"], dead["attempt"], dead["attempts"]) == (answer, 1, 2)
    for words in (("show", "m-2"), ("dead", "show", "m-2")):
        (attempt,) = enriched.data(*words)["failed_attempts"]
        assert attempt["answer"] == answer
        assert "has expired" in enriched.run(*words).stdout
    assert "has expired" in enriched.run("dead", "list").stdout
    for file in enriched.folder.iterdir():
        assert TOKEN.encode() not in file.read_bytes(), file


def test_the_error_is_named_by_the_status_of_the_batch_with_what_to_do(enriched: Terminal) -> None:
    (error,) = enriched.data("status", "last")["errors"]
    assert error == {"state": "dead", "message": error["message"], "items": 1}
    shown = enriched.run("status", "last").stderr
    assert "1 item dead: company: 127.0.0.1:" in shown
    assert "answered 401; `pipeline dead list" in shown
    assert "run `pipeline dead replay" in shown


def test_the_answer_is_not_part_of_the_result(enriched: Terminal) -> None:
    assert "has expired" not in enriched.run("results", "last").stdout


def test_attempts_are_counted_by_stage(enriched: Terminal) -> None:
    shown = enriched.data("show", "m-1")
    assert (shown["attempts_by_stage"], shown["attempts"]) == ({"classify": 1, "enrich": 1}, 2)
    assert enriched.data("show", "m-2")["attempts_by_stage"] == {"classify": 1, "enrich": 1}
    assert "attempts        1 classify, 1 enrich" in enriched.run("show", "m-1").stdout
    results = [json.loads(line) for line in enriched.run("results", "last").stdout.splitlines()]
    assert [result["attempts"] for result in results] == [2, 2]
