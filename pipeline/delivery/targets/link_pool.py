"""One link per target: opened at the first use, shared by all messages, closed when nothing was sent for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress

from pipeline.delivery.targets.link import TargetLink
from pipeline.delivery.webhook.errors import ConnectTimeout

#: How long a link is kept without a message.
IDLE_SECONDS = 300.0
#: How long closing one link may take.
_CLOSE_SECONDS = 2.0


class _Entry:
    """A link, or what opens one, and how many messages use it."""

    def __init__(self, opening: asyncio.Task[TargetLink], now: float) -> None:
        self.opening = opening
        self.users = 0
        self.used_at = now

    @property
    def is_usable(self) -> bool:
        """Whether it is open, or will be."""
        if not self.opening.done():
            return True
        return not self.opening.cancelled() and self.opening.exception() is None and self.opening.result().is_open


class LinkPool:
    """Opens links and keeps them. All calls come from one event loop."""

    def __init__(self, connect_seconds: float, idle_seconds: float = IDLE_SECONDS) -> None:
        self._loop = asyncio.get_running_loop()
        self._connect_seconds = connect_seconds
        self._idle_seconds = idle_seconds
        self._entries: dict[Hashable, _Entry] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._entries)

    async def use(
        self,
        key: Hashable,
        open_link: Callable[[], Awaitable[TargetLink]],
        send: Callable[[TargetLink], Awaitable[str]],
        deadline_seconds: float,
    ) -> str:
        """Send over the link of this key, which is opened if there is none. Return what `send` returns.

        A link over which a message is too late is not used for others: its peer may have fallen silent. What is in
        flight there is not cut off.

        Raises:
            ConnectTimeout: the link was not open in time.
            TimeoutError: opening and sending took longer than the deadline.
            Exception: what opening or sending raises.
        """
        entry = self._entries.get(key)
        if entry is None or not entry.is_usable:
            entry = self._replace(key, entry, open_link)
        entry.users += 1
        try:
            async with asyncio.timeout(deadline_seconds):
                # One opening serves all that wait: none of them may cancel it.
                link = await asyncio.shield(entry.opening)
                return await send(link)
        except TimeoutError:
            if self._entries.get(key) is entry:
                del self._entries[key]
            raise
        finally:
            entry.users -= 1
            entry.used_at = self._loop.time()
            if not entry.users and self._entries.get(key) is not entry:
                self._retire(entry)

    async def close(self) -> None:
        """Close all links."""
        if self._timer is not None:
            self._timer.cancel()
        entries, self._entries = list(self._entries.values()), {}
        for entry in entries:
            self._retire(entry)
        if self._closing:
            await asyncio.gather(*self._closing, return_exceptions=True)

    def _replace(self, key: Hashable, old: _Entry | None, open_link: Callable[[], Awaitable[TargetLink]]) -> _Entry:
        if old is not None and not old.users:
            self._retire(old)
        opening = self._loop.create_task(self._open(open_link))
        # Every waiter may have given up: then nobody sees the exception.
        opening.add_done_callback(lambda done: done.cancelled() or done.exception())
        entry = self._entries[key] = _Entry(opening, self._loop.time())
        if self._timer is None:
            self._timer = self._loop.call_later(self._idle_seconds, self._close_idle)
        return entry

    async def _open(self, open_link: Callable[[], Awaitable[TargetLink]]) -> TargetLink:
        try:
            async with asyncio.timeout(self._connect_seconds) as limit:
                return await open_link()
        except TimeoutError:
            if limit.expired():
                raise ConnectTimeout from None
            raise

    def _close_idle(self) -> None:
        self._timer = None
        now = self._loop.time()
        for key, entry in list(self._entries.items()):
            if not entry.users and entry.used_at + self._idle_seconds <= now:
                del self._entries[key]
                self._retire(entry)
        if self._entries:
            first = min(entry.used_at for entry in self._entries.values()) + self._idle_seconds
            self._timer = self._loop.call_at(max(first, now + 1.0), self._close_idle)

    def _retire(self, entry: _Entry) -> None:
        task = self._loop.create_task(self._close(entry))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, entry: _Entry) -> None:
        entry.opening.cancel()
        # What a client says while its connection ends concerns nobody any more.
        with suppress(Exception, asyncio.CancelledError):
            link = await entry.opening
            async with asyncio.timeout(_CLOSE_SECONDS):
                await link.close()
