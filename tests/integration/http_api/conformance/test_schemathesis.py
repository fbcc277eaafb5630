"""Every operation that is no stream, called by Schemathesis with what the document allows and what it forbids."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.crypto.encryption import new_encryption_key
from pipeline.http_api.operations import OPERATIONS
from tests.support.factories import connect
from tests.support.gateway import ServedApi, serving
from tests.support.receiver import SECRET

pytestmark = [pytest.mark.slow, pytest.mark.conformance, pytest.mark.timeout(600)]

DEFINITION = """
name = "tickets"
input = { text = "text" }
classify = { use = "keywords", default = "other", rules = [{ label = "billing", any = ["invoice"] }] }
"""
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
use_after_free.enabled = false
ensure_resource_availability.enabled = false
object_level_authorization.enabled = false
negative_data_rejection.expected-statuses = ["4xx"]
"""
#: The probe of a server that is not ready answers 503, which is what it is for.
LEFT_OUT = [operation.id for operation in OPERATIONS if operation.is_stream and operation.id != "events.list"]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ServedApi]:
    """A server with something of every kind, on which nothing works: no callback leaves this machine."""
    (tmp_path / "tickets.toml").write_text(DEFINITION)
    settings = {
        "definitions": tmp_path,
        "encryption_key": new_encryption_key(),
        "webhook_secret": SECRET,
        "allow_private_callbacks": "127.0.0.0/8",
    }
    with connect(tmp_path, **settings) as client:
        client.submit([{"text": "an invoice"}] * 3, "tickets", callback_url="http://127.0.0.1:60001/hook").wait(60)
    with connect(tmp_path, **settings) as client, serving(client, works=False) as served:
        yield served


def test_operations_do_what_the_document_says(api: ServedApi, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    key = api.key(rate=100_000.0)["Authorization"]
    left_out = [word for each in LEFT_OUT for word in ("--exclude-operation-id", each)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{api.url}/openapi.json"),
            *("--header", f"Authorization: {key}", "--phases", "examples,coverage", "--seed", "1", "--no-color"),
            *("--continue-on-failure", "--request-timeout", "60", *left_out),
        ],
        cwd=tmp_path,
        env={**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": str(tmp_path / "hypothesis")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
