"""Server-sent events: the log of one batch, from a position on, as it grows."""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from pipeline.errors import NotFound, PipelineError
from pipeline.http_api.problems import Problem, problem_of
from pipeline.http_api.streaming.formats import end_data, server_sent, server_sent_event
from pipeline.http_api.streaming.open_streams import OpenStream

if TYPE_CHECKING:
    from pipeline.http_api.gateway import Gateway
    from pipeline.http_api.streaming.feed_reader import FeedReader

#: For proxies: the media type alone does not keep them from holding events back.
HEADERS = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
#: How long a client waits before it connects anew: in general, after the age limit, and when the server stops.
FIRST_BYTES = b"retry: 3000\n: pipeline\n\n"
RETRY_SOON = b"retry: 100\n\n"
RETRY_AFTER_RESTART = b"retry: 1000\n\n"
#: The age limit varies by this share, so that clients do not all come back at once.
_AGE_SPREAD = 0.2


class Clock:
    """When a stream is to send a heartbeat, and when it is to end."""

    def __init__(self, gateway: Gateway) -> None:
        options = gateway.options.streams
        self._heartbeat = options.heartbeat_seconds
        self._end = time.monotonic() + options.age_seconds * random.uniform(1 - _AGE_SPREAD, 1 + _AGE_SPREAD)
        self._written = time.monotonic()

    def note_write(self) -> None:
        """Begin the silence anew."""
        self._written = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether the stream has reached its age."""
        return time.monotonic() >= self._end

    @property
    def is_silent(self) -> bool:
        """Whether a heartbeat is due."""
        return time.monotonic() >= self._written + self._heartbeat

    @property
    def seconds_left(self) -> float:
        """How long until either."""
        return min(self._end - time.monotonic(), self.seconds_to_heartbeat)

    @property
    def seconds_to_heartbeat(self) -> float:
        """How long until a heartbeat is due."""
        return self._written + self._heartbeat - time.monotonic()


async def stream_events(
    gateway: Gateway, stream: OpenStream, reader: FeedReader, types: frozenset[str] | None
) -> AsyncGenerator[bytes]:
    """Yield the events of these types that follow the reader's position, until the batch ends or the stream must."""
    yield FIRST_BYTES
    clock = Clock(gateway)
    with reader.joined():
        try:
            while not (reader.is_stopped or clock.is_over):
                found = await reader.read()
                is_idle, text = found is None, b"" if found is None else found.rendered(server_sent, types)
                # While a slow reader takes the text, nobody needs what it was made of.
                found = None
                if not text and clock.is_silent:
                    # Moves the client's position without an event: a filtered stream resumes where it looked.
                    text = b"id: %d\n\n" % reader.seq
                if text:
                    clock.note_write()
                    yield text
                elif reader.is_at_end:
                    assert reader.version is not None
                    yield server_sent_event("end", end_data(reader.version))
                    return
                elif is_idle:
                    await reader.wait(clock.seconds_left)
        except NotFound as error:
            yield server_sent_event("gone", {"code": "not_found", "detail": str(error)})
            return
    yield last_words(gateway, stream)


def last_words(gateway: Gateway, stream: OpenStream) -> bytes:
    """Return what a stream ends with that ends before its batch does."""
    if stream.problem is not None:
        return server_sent_event("error", describe_problem(stream.problem))
    return RETRY_AFTER_RESTART if gateway.is_draining else RETRY_SOON


def describe_problem(problem: Problem | PipelineError) -> dict[str, str]:
    """Return what a stream tells of a problem."""
    found = problem if isinstance(problem, Problem) else problem_of(problem)
    return {"code": found.code, "detail": found.detail}
