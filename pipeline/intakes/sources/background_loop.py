"""An event loop in a thread: it answers heartbeats and keeps messages while the consumer accepts or waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundLoop:
    """Runs coroutines for one thread that waits for them."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
        """Return what a coroutine returns.

        Raises:
            TimeoutError: it took too long, and was cancelled.
        """
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return running.result(seconds)
        except CancelledError:
            raise TimeoutError from None
        finally:
            running.cancel()

    def close(self) -> None:
        """Cancel what runs, and end the thread. Safe to call again."""
        if self._loop.is_closed():
            return
        with suppress(TimeoutError):
            self.call(_cancel_others(), 5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for each in others:
        each.cancel()
    await asyncio.gather(*others, return_exceptions=True)
