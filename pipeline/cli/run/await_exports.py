"""Wait for the exports of a batch at the end of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pipeline.cli.run.stop_signals import StopSignals
from pipeline.cli.show.output import pluralize
from pipeline.context import Context
from pipeline.exports import exports
from pipeline.exports.rules.export_state import ExportState

_POLL_SECONDS = 0.2


def await_exports(
    context: Context, batch: str, patience: float, on_wait: Callable[[str], None], stop: StopSignals
) -> list[dict[str, Any]]:
    """Wait until every export of a batch is complete, or nothing is written any more. Return all of them.

    Args:
        patience: seconds without a new part or row after which to give up waiting.
        on_wait: called with what is waited for.
    """
    last: object = None
    end = 0.0
    while True:
        found = exports.of_batch(context, batch)
        left = [row for row in found if row["state"] != ExportState.COMPLETE]
        reached = [(row["id"], row["state"], row["next_seq"], row["parts"], row["lease_until"]) for row in left]
        if reached != last:
            last, end = reached, time.monotonic() + patience
        is_over = all(row["state"] == ExportState.FAILED for row in left) or time.monotonic() >= end
        # An attempt that failed comes again after the pauses of its schedule, which soon exceed anybody's patience.
        if is_over or all(_is_due_late(context, row, end) for row in left):
            return [exports.view(row) for row in found]
        on_wait(f"waiting for {pluralize(len(left), 'export')}")
        stop.wait(_POLL_SECONDS)


def _is_due_late(context: Context, row: dict[str, Any], end: float) -> bool:
    seconds: float = (row["due_at"] - context.now()).total_seconds()
    return bool(row["attempts"]) and seconds > end - time.monotonic()
