"""The states of an export."""

from __future__ import annotations

from enum import StrEnum


class ExportState(StrEnum):
    """The state of an export: `running → complete | failed`."""

    #: It writes what has come since, or waits for its next attempt.
    RUNNING = "running"
    #: Every result of the batch is written, and the manifest. Running again if dead items are replayed.
    COMPLETE = "complete"
    #: Given up, with the reason stored. Running again if a user asks for it.
    FAILED = "failed"
