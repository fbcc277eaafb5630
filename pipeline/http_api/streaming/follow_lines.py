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
    clock, lines = Clock(gateway), 0
    with reader.joined():
        while not reader.is_stopped:
            try:
                found = await reader.read()
            except NotFound:
                raise CutOff from None
            text, number = _lines(found, chosen)
            lines += number
            if not text and clock.is_silent:
                text = b"\n"
            if text:
                clock.note_write()
                yield text
            elif reader.is_at_end:
                break
            elif found is None:
                await reader.wait(clock.seconds_to_heartbeat)
        if not reader.is_at_end:
            raise CutOff
    if has_end and reader.version is not None:
        yield end_line(reader.version, lines)


def _lines(found: LogSlice | None, chosen: EventFilter) -> tuple[bytes, int]:
    if found is None:
        return b"", 0
    if chosen.label is None:
        # The same bytes for everybody who reads these types.
        return found.rendered(results_as_lines, chosen.types), len(found.chosen(chosen.types))
    passed = chosen.chosen(found.events)
    return results_as_lines(passed), len(passed)
