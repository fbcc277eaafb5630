"""`pipeline listen`, called by the real sender and by hand-made requests."""

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
    """A listener in a separate process, and its port."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self.process = process
        self.port = int(process.stderr.readline().decode().strip().rstrip("/").rpartition(":")[2])

    def end(self) -> tuple[list[str], str]:
        """Wait for the process; return the lines of standard output, and standard error."""
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
def test_webhooks_of_the_sender_are_verified_printed_and_answered(
    database: Database, listening: Callable[..., AbstractContextManager[Listening]]
) -> None:
    with listening("--fail-first", "2", "--count", "3", "--json") as listener:
        owe(database, to(listener.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
        lines, stderr = listener.end()
        assert listener.process.returncode == 0
    requests = [json.loads(line) for line in lines]
    assert [(request["status"], request["attempt"], request["verified"]) for request in requests] == [
        (503, "1", True),
        (503, "2", True),
        (204, "3", True),
    ]
    assert requests[0]["event"]["data"]["text"] == "café ☕ 日本"
    assert [row["status"] for row in attempts(database)] == [503, 503, 204]
    assert stderr == "3 webhooks verified, 0 requests rejected"


@on_sqlite
def test_several_secrets_are_separated_by_spaces(
    database: Database, listening: Callable[..., AbstractContextManager[Listening]]
) -> None:
    with listening("--count", "1", "--secret", f"{new_secret()} {SECRET}") as listener:
        owe(database, to(listener.port))
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
        _, stderr = listener.end()
    assert stderr == "1 webhook verified, 0 requests rejected"


@on_sqlite
def test_a_fixed_status_is_the_response_to_every_webhook(
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


def post(port: int, body: bytes, headers: dict[str, str], message: str = "") -> int:
    """Post a request; check that the body of the response has the message, and return the status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        assert message in response.read().decode()
        return response.status
    finally:
        connection.close()


def test_invalid_requests_are_rejected_with_the_reason(
    listening: Callable[..., AbstractContextManager[Listening]],
) -> None:
    with listening("--count", "3") as listener:
        headers = {"webhook-id": "msg_\x1b[2J", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        assert post(listener.port, b"{}", headers, "webhook-timestamp is") == 400
        assert post(listener.port, b"{}", {}, "the header webhook-id is missing") == 400
        assert post(listener.port, b"", {"content-length": str(10**12)}, "1000000000000 bytes") == 413
        (old, bare, large), stderr = listener.end()
    assert "rejected: webhook-timestamp is" in old
    assert "\x1b" not in old
    assert "the header webhook-id is missing" in bare
    assert "413" in large
    assert stderr == "0 webhooks verified, 3 requests rejected"


def test_ctrl_c_prints_the_counts(listening: Callable[..., AbstractContextManager[Listening]]) -> None:
    with listening() as listener:
        listener.process.send_signal(signal.SIGINT)
        lines, stderr = listener.end()
        assert (listener.process.returncode, lines) == (0, [])
    assert stderr == "0 webhooks verified, 0 requests rejected"


def test_a_public_key_or_the_configured_secret_verifies(terminal: Terminal) -> None:
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


def test_a_missing_secret_or_a_used_port_is_reported(terminal: Terminal) -> None:
    result = terminal.run("listen")
    assert (result.exit_code, "PIPELINE_WEBHOOK_SECRET" in result.stderr) == (2, True)
    result = terminal.run("listen", "--secret", "whsec_short")
    assert (result.exit_code, "pipeline secret" in result.stderr) == (2, True)
    process = terminal.start("listen", "--secret", SECRET)
    try:
        port = Listening(process).port
        result = terminal.run("listen", str(port), "--secret", SECRET)
        assert result.exit_code == 2
        assert f"cannot listen on port {port}: " in result.stderr
    finally:
        process.kill()
        process.communicate()
