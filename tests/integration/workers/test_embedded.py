"""The embedded worker: a stop is woken by messages, not by the end of a wait."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.factories import connect
from workers.transports.memory import MemoryTransport


def test_a_stop_waits_for_no_timeout_of_the_broker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patiently = MemoryTransport.drain_events

    def drain_events(self: MemoryTransport, connection: Any, timeout: float | None = None) -> None:
        patiently(self, connection)

    # Celery's loop looks at its flag after each message, or after two seconds without one: here, without end.
    monkeypatch.setattr(MemoryTransport, "drain_events", drain_events)
    with connect(tmp_path, stop_seconds=10) as client:
        client.work()
    assert "pipeline-worker" not in {thread.name for thread in threading.enumerate()}
