"""The state of all batches of a tenant, as it changes. A state, not a log: whoever connects anew gets all of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.batches.batch_view import BatchView, overview
from pipeline.http_api.streaming.open_streams import OpenStream
from pipeline.http_api.streaming.sse import FIRST_BYTES, Clock, last_words
from pipeline.log import get_logger

if TYPE_CHECKING:
    from pipeline.http_api.gateway import Gateway

log = get_logger(__name__)

#: Batches that are shown although they are complete: the newest.
NEWEST = 50
#: Open batches that are shown; the newest of them.
MOST_OPEN = 1_000


class TenantView:
    """The batches of a tenant as they were at the last look, shared by everybody who watches them.

    Args:
        tenant: None: all tenants.
    """

    def __init__(self, gateway: Gateway, tenant: str | None) -> None:
        self._gateway, self._tenant = gateway, tenant
        self._known: dict[int, BatchView] = {}
        self._watchers: set[OverviewWatcher] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def watched(self, stream: OpenStream, batch_id: int | None = None) -> Iterator[OverviewWatcher]:
        """Look at the batches until the block ends.

        Args:
            batch_id: watch only the batch with this row id; None: all.
        """
        watcher = OverviewWatcher(self._known, batch_id)
        self._watchers.add(watcher)
        stream.wakes.add(watcher.wake)
        if self._task is None:
            self._task = asyncio.create_task(self._look())
        try:
            yield watcher
        finally:
            stream.wakes.discard(watcher.wake)
            self._watchers.discard(watcher)
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task, self._known = None, {}

    async def _look(self) -> None:
        while True:
            try:
                found = await self._gateway.quick.run(
                    overview,
                    self._gateway.context,
                    self._tenant,
                    newest=NEWEST,
                    most_open=MOST_OPEN,
                    also=list(self._also()),
                )
            except Exception as error:
                # Whatever it is: the next look finds what this one would have.
                log.warning("overview_failed", error=str(error))
                found = self._known
            changed = {row: each for row, each in found.items() if self._known.get(row) != each}
            self._known = found
            if changed:
                for watcher in self._watchers:
                    watcher.tell(changed)
            await asyncio.sleep(self._gateway.options.streams.overview_seconds)

    def _also(self) -> set[int]:
        """Return the row ids of batches to look at although they may be neither open nor new."""
        still_open = {row for row, each in self._known.items() if not each.progress.is_complete}
        return still_open | {each.batch_id for each in self._watchers if each.batch_id is not None}


class OverviewWatcher:
    """What one reader has yet to be told: of each batch the newest state, so that a slow reader costs little."""

    def __init__(self, known: dict[int, BatchView], batch_id: int | None = None) -> None:
        self.batch_id = batch_id
        self._pending: dict[int, BatchView] = {}
        self.wake = asyncio.Event()
        self.tell(known)

    def tell(self, changed: dict[int, BatchView]) -> None:
        """Note what changed."""
        if self.batch_id is not None:
            changed = {row: each for row, each in changed.items() if row == self.batch_id}
        if changed:
            self._pending.update(changed)
            self.wake.set()

    def take(self) -> list[BatchView]:
        """Return what changed since the last call, the oldest batch first."""
        self.wake.clear()
        found, self._pending = self._pending, {}
        return [found[row] for row in sorted(found)]

    async def wait(self, seconds: float) -> None:
        """Wait until something changes or there is a reason to stop, this long at most."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self.wake.wait()
        except TimeoutError:
            return


class TenantViews:
    """The views that are watched."""

    def __init__(self) -> None:
        self._views: dict[str | None, TenantView] = {}

    def of(self, gateway: Gateway, tenant: str | None) -> TenantView:
        """Return the view of a tenant."""
        return self._views.setdefault(tenant, TenantView(gateway, tenant))


async def stream_overview(
    gateway: Gateway,
    stream: OpenStream,
    view: TenantView,
    encode: Callable[[BatchView], bytes],
    *,
    batch_id: int | None = None,
) -> AsyncGenerator[bytes]:
    """Yield the state of each batch of a tenant, first of all that are shown, then of those that change.

    Args:
        batch_id: only the batch with this row id; None: all.
    """
    yield FIRST_BYTES
    clock = Clock(gateway)
    with view.watched(stream, batch_id) as watcher:
        while not (stream.is_left or stream.problem or gateway.is_draining or clock.is_over):
            text = b"".join(b"event: batch\ndata: %b\n\n" % encode(each) for each in watcher.take())
            if not text and clock.is_silent:
                text = b": alive\n\n"
            if text:
                clock.note_write()
                yield text
            else:
                await watcher.wait(clock.seconds_left)
    yield last_words(gateway, stream)
