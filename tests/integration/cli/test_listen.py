"""`pipeline listen`: a receiver to try things out with, and the sender against it."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPConnection

import pytest

from pipeline.crypto.ed25519_key import derive_public_key, new_signing_secret
from pipeline.crypto.secrets import new_secret
from pipeline.crypto.signer import Signer
from pipeline.database.engine import Database
from tests.support.receivers.owed import SECRET, Sending, attempts, owe, states, to, wait_until
from tests.support.servers.fixtures import on_sqlite
from tests.support.terminal import Terminal


class Listening:
    """A listener in a process of its own, and its port."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self.process = process
        self.port = int(process.stderr.readline().decode().strip().rstrip("/").rpartition(":")[2])

    def end(self) -> tuple[list[str], str]:
        """Wait for the end; return the lines of standard output, and what was said."""
        out, err = self.process.communicate(timeout=60)
        return out.decode().splitlines(), err.decode().strip()


@pytest.fixture
def listening(terminal: Terminal) -> Callable[..., AbstractContextManager[Listening]]:
    @contextmanager
    def start(*words: str) -> Iterator[Listening]:
        process = terminal.start("listen", "0", "--secret", SECRET, *words)
        try:
            yield Listening(process)
        finally:
            process.kill()
            process.communicate()

    return start


@on_sqlite
def test_what_the_sender_sends_is_verified_printed_and_answered(
    database: Database, listening: Callable[..., AbstractContextManager[Listening]]
) -> None:
    with listening("--fail-first", "2", "--count", "3", "--json") as listener:
        owe(database, to(listener.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
        lines, said = listener.end()
        assert listener.process.returncode == 0
    seen = [json.loads(line) for line in lines]
    assert [(each["status"], each["attempt"], each["verified"]) for each in seen] == [
        (503, "1", True),
        (503, "2", True),
        (204, "3", True),
    ]
    assert seen[0]["event"]["data"]["text"] == "café ☕ 日本"
    assert [row["status"] for row in attempts(database)] == [503, 503, 204]
    assert said == "3 webhooks verified, 0 requests refused"


@on_sqlite
def test_several_secrets_are_given_as_the_setting_has_them(
    database: Database, listening: Callable[..., AbstractContextManager[Listening]]
) -> None:
    with listening("--count", "1", "--secret", f"{new_secret()} {SECRET}") as listener:
        owe(database, to(listener.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
        _, said = listener.end()
    assert said == "1 webhook verified, 0 requests refused"


@on_sqlite
def test_a_status_is_answered_for_good_and_its_lines_are_for_people(
    database: Database, listening: Callable[..., AbstractContextManager[Listening]]
) -> None:
    with listening("--status", "410", "--count", "1") as listener:
        owe(database, to(listener.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["dead"])
        (line,), _ = listener.end()
    assert "  410  msg_" in line
    assert "  attempt 1  item.completed  verified  {" in line
    assert attempts(database)[0]["error_type"] == "http_410"


def post(port: int, body: bytes, headers: dict[str, str], said: str = "") -> int:
    """Post, and return the status of an answer whose body says so."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/", body, headers)
        answer = connection.getresponse()
        assert said in answer.read().decode()
        return answer.status
    finally:
        connection.close()


def test_what_is_not_signed_as_it_should_be_is_refused_with_the_reason(
    listening: Callable[..., AbstractContextManager[Listening]],
) -> None:
    with listening("--count", "3") as listener:
        headers = {"webhook-id": "msg_\x1b[2J", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        assert post(listener.port, b"{}", headers, "webhook-timestamp is") == 400
        assert post(listener.port, b"{}", {}, "the header webhook-id is missing") == 400
        assert post(listener.port, b"", {"content-length": str(10**12)}, "1000000000000 bytes") == 413
        (old, bare, large), said = listener.end()
    assert "refused: webhook-timestamp is" in old
    assert "\x1b" not in old
    assert "the header webhook-id is missing" in bare
    assert "413" in large
    assert said == "0 webhooks verified, 3 requests refused"


def test_ctrl_c_ends_with_the_counts(listening: Callable[..., AbstractContextManager[Listening]]) -> None:
    with listening() as listener:
        listener.process.send_signal(signal.SIGINT)
        lines, said = listener.end()
        assert (listener.process.returncode, lines) == (0, [])
    assert said == "0 webhooks verified, 0 requests refused"


def test_a_public_key_verifies_and_the_settings_secret_is_the_default(terminal: Terminal) -> None:
    signing, shared = new_signing_secret(), new_secret()
    for words, environment, secret in (
        (["--secret", derive_public_key(signing)], {}, signing),
        ([], {"PIPELINE_WEBHOOK_SECRET": shared}, shared),
    ):
        process = terminal.start("listen", "--count", "1", *words, environment=environment)
        listener, now = Listening(process), int(time.time())
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(now)}
        body = b'{"type":"items.completed","data":[1,2]}'
        headers["webhook-signature"] = Signer([secret]).sign("msg_1", now, body)
        assert post(listener.port, body, headers) == 204
        (line,), _ = listener.end()
        assert line.endswith("items.completed  verified  2 items")


def test_without_a_secret_or_a_free_port_it_says_what_to_do(terminal: Terminal) -> None:
    result = terminal.run("listen")
    assert (result.exit_code, "PIPELINE_WEBHOOK_SECRET" in result.stderr) == (2, True)
    result = terminal.run("listen", "--secret", "whsec_short")
    assert (result.exit_code, "pipeline secret" in result.stderr) == (2, True)
    process = terminal.start("listen", "--secret", SECRET)
    try:
        port = Listening(process).port
        result = terminal.run("listen", str(port), "--secret", SECRET)
        assert result.exit_code == 2
        assert f"port {port} cannot be listened on" in result.stderr
    finally:
        process.kill()
        process.communicate()
