"""One reader of a batch's log: from a position to the newest event, and on from there.

It joins the feed first, then reads from the database what was there before, and then what the feed has. Whatever
happens in between, the next slice begins right after the last one: the feed gives only slices that do, and the database
has all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.batches import event_log
from pipeline.batches.event_log import BatchVersion
from pipeline.batches.find import pruned_meanwhile
from pipeline.errors import Unreachable
from pipeline.http_api.gateway import Gateway
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.batch_feed import BatchFeed, LogSlice
from pipeline.http_api.streaming.log_hub import POLL_BYTES, POLL_EVENTS
from pipeline.http_api.streaming.open_streams import OpenStream

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.25, 4.0


class FeedReader:
    """Reads the log of a batch from a position on.

    Args:
        batch_id: the batch's row.
        after: the `seq` of the last event that the reader has; 0: none.

    Attributes:
        seq: that of the last event that was read.
        version: the newest version of the batch that it knows; None: none yet.
    """

    def __init__(self, gateway: Gateway, stream: OpenStream, batch_id: int, after: int) -> None:
        self._gateway, self._stream, self._batch_id = gateway, stream, batch_id
        self.seq = after
        self.version: BatchVersion | None = None
        self._wake = asyncio.Event()
        self._feed = BatchFeed()
        self._is_paging = True
        self._failures = 0

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Follow the batch until the block ends."""
        self._stream.wakes.add(self._wake)
        try:
            with self._gateway.hub.following(self._batch_id, self._wake) as self._feed:
                yield
        finally:
            self._stream.wakes.discard(self._wake)

    @property
    def is_stopped(self) -> bool:
        """Whether the reader left, may read no further, or the server stops."""
        stream = self._stream
        return stream.is_left or stream.problem is not None or self._gateway.is_draining

    @property
    def is_at_end(self) -> bool:
        """Whether the batch is complete and everything was read."""
        version = self.version
        return version is not None and version.is_complete and self.seq >= version.last_seq

    async def read(self) -> LogSlice | None:
        """Return the next events; None: there are none at the moment.

        Raises:
            NotFound: the batch was pruned.
        """
        self.look()
        if not self._is_paging:
            found = self._next_of_feed()
            if found is not None or not self._is_paging:
                return found
        return await self._read_page()

    async def wait(self, seconds: float) -> bool:
        """Wait until there may be something to read or a reason to stop. Return False if the time was up before."""
        if self._failures:
            pause = min(_FIRST_RETRY_SECONDS * 2 ** (self._failures - 1), _LAST_RETRY_SECONDS, seconds)
            await self._waited(pause)
            return bool(pause < seconds)
        return await self._waited(seconds)

    def wake(self) -> None:
        """End the wait."""
        self._wake.set()

    def look(self) -> None:
        """Take note of what happened to the batch, without reading its log.

        Raises:
            NotFound: the batch was pruned.
        """
        self._wake.clear()
        if self._feed.is_gone:
            raise pruned_meanwhile()
        self.version = self._feed.version or self.version

    def go_back(self, seq: int) -> None:
        """Read what follows this `seq` again."""
        self.seq = seq

    async def _waited(self, seconds: float) -> bool:
        if seconds <= 0:
            return self._wake.is_set()
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _next_of_feed(self) -> LogSlice | None:
        if self._feed.version is None or self._feed.version.last_seq <= self.seq:
            # Nothing new, or not polled yet: the next poll that finds something will wake.
            return None
        found = self._feed.after(self.seq)
        if found is None:
            self._is_paging = True
        else:
            self.seq = found.last_seq
        return found

    async def _read_page(self) -> LogSlice | None:
        limits = {"limit": POLL_EVENTS, "size_limit": POLL_BYTES}
        try:
            page = await self._gateway.quick.run(
                event_log.read, self._gateway.context, self._batch_id, self.seq, **limits
            )
        except (Unreachable, Problem):
            # The stream stays open: what it has missed is still there afterwards.
            self._failures += 1
            return None
        self._failures = 0
        self.version, self.seq, self._is_paging = page.version, page.last_seq, page.has_more
        return LogSlice(page.events) if page.events else None
