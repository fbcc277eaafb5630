"""NDJSON that goes on until the batch is complete: each result is a line, flushed as soon as it is there."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from pipeline.errors import NotFound
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.streaming.batch_feed import LogSlice
from pipeline.http_api.streaming.feed_reader import FeedReader
from pipeline.http_api.streaming.formats import results_as_lines
from pipeline.http_api.streaming.live_response import CutOff
from pipeline.http_api.streaming.log_reading import EventFilter, end_line
from pipeline.http_api.streaming.sse import Clock


async def follow_lines(
    gateway: Gateway, reader: FeedReader, chosen: EventFilter, *, has_end: bool
) -> AsyncGenerator[bytes]:
    """Yield results as NDJSON from a reader's position to the end of the batch; an empty line during silence.

    Args:
        has_end: add a last line that says what the others cover.

    Raises:
        CutOff: the stream has to end before the batch does.
    """
    lines = 0
    try:
        with reader.joined():
            async for text, number in _texts(reader, Clock(gateway), chosen):
                lines += number
                yield text
    except NotFound:
        raise CutOff from None
    if not reader.is_at_end or reader.version is None:
        raise CutOff
    if has_end:
        yield end_line(reader.version, lines)


async def _texts(reader: FeedReader, clock: Clock, chosen: EventFilter) -> AsyncGenerator[tuple[bytes, int]]:
    """Yield what is to be sent, with its number of results, until the end or a reason to stop."""
    while not reader.is_stopped:
        found = await reader.read()
        text, number = _lines(found, chosen)
        if text or clock.is_silent:
            clock.note_write()
            yield text or b"\n", number
        elif found is None:
            if reader.is_at_end:
                return
            await reader.wait(clock.seconds_to_heartbeat)


def _lines(found: LogSlice | None, chosen: EventFilter) -> tuple[bytes, int]:
    if found is None:
        return b"", 0
    if chosen.label is None:
        # The same bytes for everybody who reads these types.
        return found.rendered(results_as_lines, chosen.types), len(found.chosen(chosen.types))
    passed = chosen.chosen(found.events)
    return results_as_lines(passed), len(passed)
