"""`pipeline status` against a server."""

from __future__ import annotations

from typing import Any

from pipeline.cli.remote.session import open_server
from pipeline.cli.show.batch import print_batch, print_batches, progress_json
from pipeline.cli.show.output import Messages, print_json
from pipeline.domain.batch import Progress

#: Number of items up to which labels are counted without --full.
_FULL_ITEMS = 50_000
#: What only somebody beside the database can tell.
_UNKNOWN = {"items_per_second": None, "seconds_left": None, "stands_still_since": None}


def status(batch: str | None, limit: int, full: bool, as_json: bool) -> None:
    """List recent batches, or show one."""
    with open_server() as (_, client):
        if batch is None:
            found = [_shown(each) for each in client.batches(limit=limit)]
            print_json(found) if as_json else print_batches(found)
            return
        one = client.batch(batch)
        progress = one.progress()
        details = _shown(progress)
        if full or progress.total <= _FULL_ITEMS:
            details["labels"] = one.labels()
    print_json(details) if as_json else print_batch(details)
    if progress.dead and not as_json:
        Messages().warn(f"{progress.dead:,} dead; `pipeline results {one.id} --state dead` says why")


def _shown(progress: Progress) -> dict[str, Any]:
    return progress_json(progress) | _UNKNOWN
