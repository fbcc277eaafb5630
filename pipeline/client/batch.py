"""A batch as Python sees it: its results, its progress, what can be done with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.batches import control, replay, results
from pipeline.batches import progress as batch_progress
from pipeline.batches.find import find_batch
from pipeline.client.result import Result
from pipeline.domain.batch import Progress

if TYPE_CHECKING:
    from pipeline.client.client import Client

#: How often new results are looked for while none come.
POLL_SECONDS = 0.02


class Batch:
    """One batch."""

    def __init__(self, client: Client, batch_id: str, *, is_new: bool = True) -> None:
        self._client = client
        self._context = client.context
        self.id = batch_id
        #: False where `submit` found the idempotency key of an earlier batch.
        self.is_new = is_new
        with self._context.database.read() as connection:
            self.row_id: int = find_batch(connection, batch_id)["id"]

    def __repr__(self) -> str:
        return f"Batch({self.id!r})"

    def results(self, *, follow: bool = False, after: int = 0) -> Iterator[Result]:
        """Yield results in the order in which items finished.

        Args:
            follow: go on until the batch is complete; otherwise end with what there is.
            after: the `seq` of the last result seen; results go on behind it.
        """
        if follow:
            self._client.work()
        # Completion is looked at before the page: what finishes in between is on the next page, not missed.
        is_last = not follow
        while True:
            page = results.page(self._context, self.row_id, after)
            yield from (Result.from_data(data) for data in page.results)
            if page.last_seq != after:
                after = page.last_seq
            elif is_last:
                return
            else:
                is_last = batch_progress.is_complete(self._context, self.row_id)
                time.sleep(0 if is_last else POLL_SECONDS)

    async def aresults(self, *, follow: bool = False, after: int = 0) -> AsyncIterator[Result]:
        """The same as `results`, for a program with an event loop."""
        if follow:
            await asyncio.to_thread(self._client.work)
        is_last = not follow
        while True:
            page = await asyncio.to_thread(results.page, self._context, self.row_id, after)
            for data in page.results:
                yield Result.from_data(data)
            if page.last_seq != after:
                after = page.last_seq
            elif is_last:
                return
            else:
                is_last = await asyncio.to_thread(batch_progress.is_complete, self._context, self.row_id)
                await asyncio.sleep(0 if is_last else POLL_SECONDS)

    def progress(self) -> Progress:
        """Return how far the batch is."""
        return batch_progress.progress(self._context, self.id)

    def labels(self) -> dict[str, int]:
        """Return how many items have each label, most frequent first."""
        return batch_progress.labels(self._context, self.id)

    def wait(self, timeout: float | None = None) -> Progress:
        """Wait until every item is final.

        Args:
            timeout: seconds; None: for ever.

        Raises:
            TimeoutError: the batch is not complete by then; it goes on all the same.
        """
        self._client.work()
        end = None if timeout is None else time.monotonic() + timeout
        while not batch_progress.is_complete(self._context, self.row_id):
            if end is not None and time.monotonic() >= end:
                progress = self.progress()
                raise TimeoutError(
                    f"batch {self.id} has {progress.final:,} of {progress.total:,} items after {timeout} s"
                )
            time.sleep(POLL_SECONDS)
        return self.progress()

    def pause(self) -> None:
        """Release no more items; what is in flight is finished."""
        control.pause(self._context, self.id)

    def resume(self) -> None:
        """Release items again."""
        control.resume(self._context, self.id)
        self._client._nudge()

    def cancel(self) -> int:
        """Cancel what has not begun; return how many items that was."""
        return control.cancel(self._context, self.id)

    def replay_dead(self, positions: Sequence[int] | None = None) -> int:
        """Make dead items pending again, with fresh attempts; return how many."""
        replayed = replay.replay_dead(self._context, self.id, positions=positions)
        self._client._nudge()
        return replayed
