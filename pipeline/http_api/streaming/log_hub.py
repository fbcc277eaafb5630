"""One thread that asks the database about all batches that somebody follows, and hands what changed to the event loop.

Positions in a log are given under the lock of the batch's row and commit with it. Events therefore become visible in
order and without gaps, and reading those above the last one that was seen misses none.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pipeline.batches import event_log
from pipeline.batches.event_log import News
from pipeline.context import Context
from pipeline.http_api.streaming.batch_feed import BatchFeed
from pipeline.log import get_logger

log = get_logger(__name__)

#: Events, and bytes of them, that one poll reads of a batch.
POLL_EVENTS, POLL_BYTES = 1_000, 256 * 1024
#: A poll is followed by a pause of at least this many times its processor time, which is 5 % of a core, and of at least
#: its duration, most of which is the database's.
_PAUSE_FACTOR = 19
#: Pause for each reader: waking a thousand takes tens of milliseconds.
_READER_SECONDS = 0.0002
#: Pauses while the database cannot be reached.
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.25, 4.0


class _Watch:
    """What the thread knows about a batch.

    Args:
        seq: up to which its log was read; None: not yet polled.
        followers: how many readers want its events. Others are only told that something changed.
    """

    __slots__ = ("followers", "seq")

    def __init__(self) -> None:
        self.seq: int | None = None
        self.followers = 0


class LogHub:
    """Follows batches for readers on one event loop. Its thread runs only while there are readers.

    Attributes:
        readers: their number.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._feeds: dict[int, BatchFeed] = {}
        self._lock = threading.Lock()
        self._watches: dict[int, _Watch] = {}
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._is_closed = False
        self.readers = 0

    @contextmanager
    def following(self, batch_id: int, wake: asyncio.Event, *, events: bool = True) -> Iterator[BatchFeed]:
        """Set an event whenever something happens to a batch, until the block ends. Call it on the event loop.

        Args:
            events: whether the feed is to have the events; otherwise only the batch's version.
        """
        feed = self._feeds.setdefault(batch_id, BatchFeed())
        feed.join(wake)
        self.readers += 1
        with self._lock:
            self._watches.setdefault(batch_id, _Watch()).followers += events
            self._ensure_running()
        self._wake.set()
        try:
            yield feed
        finally:
            feed.leave(wake)
            self.readers -= 1
            with self._lock:
                self._watches[batch_id].followers -= events
                if not feed.readers:
                    del self._watches[batch_id], self._feeds[batch_id]
            self._wake.set()

    def hurry(self) -> None:
        """Look at once: something was committed here."""
        self._wake.set()

    def close(self) -> None:
        """End the thread."""
        self._is_closed = True
        self._wake.set()
        thread = self._thread
        if thread is not None:
            thread.join(_LAST_RETRY_SECONDS)

    def _ensure_running(self) -> None:
        if self._thread is None and not self._is_closed:
            arguments = (asyncio.get_running_loop(),)
            self._thread = threading.Thread(target=self._run, args=arguments, name="pipeline-log-hub", daemon=True)
            self._thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        poller = _Poller(self._context)
        try:
            while True:
                with self._lock:
                    if self._is_closed or not self._watches:
                        self._thread = None
                        return
                    wanted = {batch_id: (watch.seq, watch.followers > 0) for batch_id, watch in self._watches.items()}
                self._wake.clear()
                found = poller.poll(wanted)
                if found:
                    self._note(found)
                    with suppress(RuntimeError):
                        # The loop was closed: nobody reads any more.
                        loop.call_soon_threadsafe(self._publish, found)
                self._pause(poller)
        finally:
            poller.close()

    def _note(self, found: dict[int, News]) -> None:
        with self._lock:
            for batch_id, news in found.items():
                watch = self._watches.get(batch_id)
                if watch is not None and news.version is not None:
                    watch.seq = news.events[-1].seq if news.events else news.version.last_seq

    def _pause(self, poller: _Poller) -> None:
        least = max(poller.took, poller.used * _PAUSE_FACTOR, self.readers * _READER_SECONDS)
        pause = max(poller.pause_seconds(), least)
        # Only the rest can be cut short: however often readers come and go, polls take a bounded share of a core.
        time.sleep(min(least, _LAST_RETRY_SECONDS))
        if pause > least:
            self._wake.wait(pause - least)

    def _publish(self, found: dict[int, News]) -> None:
        for batch_id, news in found.items():
            feed = self._feeds.get(batch_id)
            if feed is not None:
                feed.publish(news)


class _Poller:
    """Asks the database, if it can have changed, and remembers how that went. Used by one thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._probe = context.database.change_probe()
        self._is_stale = True
        self._failures = 0
        self._changed_at = time.monotonic()
        #: How long the last poll took, and how much of that was processor time of this thread, in seconds.
        self.took = self.used = 0.0
        #: Batch → the version that was seen last: only what differs is news.
        self._seen: dict[int, event_log.BatchVersion | None] = {}

    def poll(self, wanted: dict[int, tuple[int | None, bool]]) -> dict[int, News]:
        """Return what happened to batches since the last poll.

        Args:
            wanted: batch → the `seq` up to which its log was read (None: never polled), and whether its events are
                wanted.
        """
        started, used = time.monotonic(), time.thread_time()
        try:
            is_new = any(seq is None for seq, _ in wanted.values())
            # Asked first: what is committed after that is seen by the next call.
            has_changed = self._probe.has_changed()
            if not (has_changed or is_new or self._is_stale):
                self.took = self.used = 0.0
                return {}
            self._is_stale = True
            read_up_to = {batch_id: seq if follows else None for batch_id, (seq, follows) in wanted.items()}
            found = event_log.poll(self._context, read_up_to, limit=POLL_EVENTS, size_limit=POLL_BYTES)
        except Exception as error:
            # Whatever it is: readers wait, and the next poll finds what this one would have.
            self._failed(error)
            return {}
        self._failures = 0
        self._is_stale = any(news.has_more for news in found.values())
        changed = {
            batch_id: news
            for batch_id, news in found.items()
            if wanted[batch_id][0] is None or news.events or news.version != self._seen.get(batch_id)
        }
        self._seen = {batch_id: news.version for batch_id, news in found.items()}
        self.took, self.used = time.monotonic() - started, time.thread_time() - used
        if changed:
            self._changed_at = time.monotonic()
        return changed

    def pause_seconds(self) -> float:
        """Return how long to wait before the next poll."""
        if self._failures:
            return float(min(_FIRST_RETRY_SECONDS * 2 ** (self._failures - 1), _LAST_RETRY_SECONDS))
        if self._is_stale:
            return 0.0
        return self._probe.pause_seconds(time.monotonic() - self._changed_at)

    def close(self) -> None:
        self._probe.close()

    def _failed(self, error: Exception) -> None:
        if not self._failures:
            log.warning("log_hub_failed", error=str(error))
        self._failures += 1
        self.took = self.used = 0.0
        self._probe.close()
