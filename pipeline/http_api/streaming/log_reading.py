"""Read part of a log into one answer: pages, and finished downloads. The log is not followed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import orjson

from pipeline.batches import event_log
from pipeline.batches.event_log import BatchVersion, LogPage, StoredEvent
from pipeline.domain.event import RESULT_TYPES, cut_data
from pipeline.errors import PipelineError
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.formats import end_data
from pipeline.http_api.streaming.live_response import CutOff

#: Events that one statement reads for a download.
_DOWNLOAD_EVENTS = 5_000
_NEWLINE = b"\n"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events are read.

    Args:
        types: None: all.
        label: of results; None: any. Only these are parsed.
    """

    types: frozenset[str] | None = None
    label: str | None = None

    def chosen(self, events: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Return the events that pass."""
        found = [event for event in events if self.types is None or event.type in self.types]
        if self.label is None:
            return found
        return [event for event in found if orjson.loads(cut_data(event.body)).get("label") == self.label]


#: Results of items.
RESULTS = EventFilter(frozenset(each.value for each in RESULT_TYPES))


async def read_page(
    gateway: Gateway, batch_id: int, after: int, *, limit: int, wait_seconds: float, chosen: EventFilter
) -> tuple[LogPage, list[StoredEvent]]:
    """Return a page of a log and what passes a filter.

    Args:
        wait_seconds: if nothing passes and the batch goes on, wait this long for something that does.

    Raises:
        NotFound: the batch was pruned.
    """
    page, found = await _read(gateway, batch_id, after, limit, chosen)
    if _is_answer(page, found) or wait_seconds <= 0:
        return page, found
    end, wake = time.monotonic() + wait_seconds, asyncio.Event()
    with gateway.streams.waking(wake), gateway.hub.following(batch_id, wake, events=False):
        # Once more after joining: what came in between wakes nobody.
        while True:
            wake.clear()
            page, found = await _read(gateway, batch_id, page.last_seq, limit, chosen)
            if _is_answer(page, found) or gateway.is_draining or not await wait_until(wake, end):
                return page, found


def _is_answer(page: LogPage, found: Sequence[StoredEvent]) -> bool:
    return bool(found) or page.has_more or page.version.is_complete


async def _read(
    gateway: Gateway, batch_id: int, after: int, limit: int, chosen: EventFilter
) -> tuple[LogPage, list[StoredEvent]]:
    page = await gateway.quick.run(event_log.read, gateway.context, batch_id, after, limit=limit)
    return page, chosen.chosen(page.events)


async def wait_until(wake: asyncio.Event, end: float) -> bool:
    """Wait for an event until a time of the monotonic clock. Return False if it was not set by then."""
    try:
        async with asyncio.timeout(max(0.0, end - time.monotonic())):
            await wake.wait()
    except TimeoutError:
        return False
    return True


async def download_lines(
    gateway: Gateway, batch_id: int, after: int, until: BatchVersion, chosen: EventFilter, *, has_end: bool
) -> AsyncGenerator[bytes]:
    """Yield results as NDJSON, from a position up to the newest event of a version of the batch.

    Args:
        has_end: add a last line that says what the others cover.

    Raises:
        CutOff: something failed on the way.
    """
    lines = 0
    while after < until.last_seq:
        limit = min(_DOWNLOAD_EVENTS, until.last_seq - after)
        try:
            page, found = await _read(gateway, batch_id, after, limit, chosen)
        except (PipelineError, Problem):
            raise CutOff from None
        after = page.last_seq
        lines += len(found)
        yield b"".join(cut_data(event.body) + _NEWLINE for event in found)
    if has_end:
        yield end_line(until, lines)


def end_line(version: BatchVersion, lines: int) -> bytes:
    """Return the line that says what a download covers."""
    end = {**end_data(version), "is_complete": version.is_complete, "lines": lines}
    return orjson.dumps({"end": end}, option=orjson.OPT_APPEND_NEWLINE)
