"""`pipeline consume`: what is refused before anything is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.terminal import Terminal
from tests.support.uploads import write_definition


@pytest.mark.parametrize(
    "source", ["amqp://127.0.0.1/shop/tickets", "sqs://eu-1/123456789012/tickets", "postgresql://127.0.0.1/shop/outbox"]
)
def test_a_queue_has_no_latest_message(terminal: Terminal, source: str) -> None:
    write_definition(Path())
    result = terminal.run("consume", source, "-p", "tickets.toml", "--from", "latest")
    assert result.exit_code == 2
    assert "--from latest has no effect on" in result.stderr
    assert "leave it out, or empty it first" in result.stderr
