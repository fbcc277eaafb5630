"""The body of a request as a stream that a thread reads, while the event loop fills a bounded queue."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from starlette.requests import ClientDisconnect

from pipeline.http_api.problems import Problem

#: Bytes that wait for the thread, at most: beyond that the socket is not read.
QUEUE_BYTES = 8 * 64 * 1024


class RequestStream(io.RawIOBase):
    """The bytes of a body, in the order in which they come.

    Nothing is received before the thread reads for the first time: until then the client of a request with
    `Expect: 100-continue` is not told to send its body.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._queued = 0
        self._has_ended = False
        self._failure: Exception | None = None
        self._is_wanted, self._has_room = asyncio.Event(), asyncio.Event()
        #: Whether the thread has read.
        self.has_begun = False

    async def feed(self, chunks: AsyncIterator[bytes]) -> None:
        """Fill the queue until the body ends. Whatever ends it otherwise is raised where the thread reads."""
        failure: Exception | None = _cut()
        try:
            await self._is_wanted.wait()
            async for chunk in chunks:
                # An empty one would be read as the end.
                if chunk:
                    await self._put(chunk)
            failure = None
        except ClientDisconnect:
            pass
        except Problem as problem:
            failure = problem
        finally:
            with self._changed:
                self._has_ended, self._failure = True, failure
                self._changed.notify()

    async def _put(self, chunk: bytes) -> None:
        while True:
            self._has_room.clear()
            with self._changed:
                if self._queued < QUEUE_BYTES:
                    self._chunks.append(chunk)
                    self._queued += len(chunk)
                    self._changed.notify()
                    return
            await self._has_room.wait()

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if not self.has_begun:
            self.has_begun = True
            self._call(self._is_wanted.set)
        buffer = memoryview(target).cast("B")
        with self._changed:
            while not self._chunks and not self._has_ended:
                self._changed.wait()
            if not self._chunks:
                if self._failure is not None:
                    raise self._failure
                return 0
            chunk = self._chunks.popleft()
            size = min(len(buffer), len(chunk))
            if size < len(chunk):
                self._chunks.appendleft(chunk[size:])
            self._queued -= size
        buffer[:size] = chunk[:size]
        self._call(self._has_room.set)
        return size

    def _call(self, function: Any) -> None:
        # A loop that has ended waits for nothing.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)


def _cut() -> Problem:
    return Problem("bad_request", "the connection ended before the body did; nothing was stored")
