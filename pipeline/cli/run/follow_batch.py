"""Follow a batch to its end, and read as much of its results as somebody needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.batches import guards, results
from pipeline.batches import progress as batch_progress
from pipeline.cli.run.stop_signals import StopSignals
from pipeline.cli.show.progress_view import REFRESH_SECONDS
from pipeline.cli.show.result_totals import ResultTotals
from pipeline.client.batch import Batch
from pipeline.context import Context
from pipeline.domain.batch import BatchState, Progress
from pipeline.errors import Conflict
from pipeline.files import ResultWriter

#: Seconds between two polls for results, or for the end of the batch.
_POLL_SECONDS = 0.03


@dataclass(frozen=True, slots=True)
class NeededResults:
    """What the results of a batch are needed for.

    Args:
        out: the writer of the results; None: they are not written.
        totals: counts the results; None: they are not counted.
        with_payload: read the payload of each item as well.
    """

    out: ResultWriter | None
    totals: ResultTotals | None
    with_payload: bool

    def take(self, page: results.Page) -> None:
        """Count and write the results of a page."""
        if self.totals is not None:
            for result in page.results:
                self.totals.add(result)
        if self.out is not None:
            for result in page.results:
                self.out.write(result)
            self.out.flush()

    def are_due(self, *, is_refresh: bool) -> bool:
        """Return whether to read results now: written at once, counted when progress is shown, or not needed."""
        return self.out is not None or (self.totals is not None and is_refresh)


class BatchFollower:
    """Follows a batch until it is complete.

    Args:
        needed: what its results are needed for; those that are not needed are not read.
        give_up_seconds: how long to go on without progress while the database cannot be written.
    """

    def __init__(self, context: Context, batch: Batch, needed: NeededResults, *, give_up_seconds: float) -> None:
        self._context = context
        self._batch = batch
        self._needed = needed
        self._patience = _Patience(context, give_up_seconds)
        self._after = 0
        self._has_more = False

    def follow(self, on_progress: Callable[[Progress], None], stop: StopSignals) -> Progress:
        """Read the results from the first on, until the batch is complete. Return its progress then.

        Raises:
            Unreachable: the database could not be read, or could not be written for `give_up_seconds`.
            Stopped: a stop was requested.
            PausedByGuard: a guard has paused the batch.
        """
        next_refresh, is_end = 0.0, False
        while True:
            is_refresh = is_end or time.monotonic() >= next_refresh
            if is_refresh:
                progress = self._batch.progress()
                on_progress(progress)
                next_refresh = time.monotonic() + REFRESH_SECONDS
            is_end = self._read(is_refresh=is_refresh)
            stop.check()
            if progress.state is BatchState.PAUSED and (progress.paused_by or "").startswith("guard:"):
                raise PausedByGuard(self._guard_text(progress))
            # The batch was complete before the last page was read: there are no more results.
            if progress.is_complete and not self._has_more:
                return progress
            if not self._has_more and not is_end:
                self._patience.check((progress.final, self._after))
                stop.wait(_POLL_SECONDS)

    def _guard_text(self, progress: Progress) -> str:
        name = (progress.paused_by or "").removeprefix("guard:")
        found = {each.guard.name: each for each in guards.list_guards(self._context, progress.batch_id)}
        said = f": {found[name].summary}" if name in found else ""
        return (
            f"batch {progress.batch_id} was paused by its guard {name}{said}; mend the cause, then run "
            f"`pipeline resume {progress.batch_id}` and `pipeline run --batch {progress.batch_id}`"
        )

    def _read(self, *, is_refresh: bool) -> bool:
        """Read a page of results, if any are needed now. Return whether the batch may have come to its end."""
        row_id = self._batch._row_id
        if not self._has_more and not self._needed.are_due(is_refresh=is_refresh):
            return batch_progress.is_complete(self._context, row_id)
        page = results.page(self._context, row_id, self._after, with_payload=self._needed.with_payload)
        self._needed.take(page)
        self._after, self._has_more = page.last_seq, page.has_more
        return page.is_end


class PausedByGuard(Conflict):
    """A guard of the batch has fired; what it was meant for is not reached."""

    exit_code = 1


class _Patience:
    """Ends a run that makes no progress for some time because the database cannot be written."""

    def __init__(self, context: Context, seconds: float) -> None:
        self._database = context.database
        self._seconds = seconds
        self._last: object = None
        self._end = 0.0

    def check(self, progress: object) -> None:
        """Raise the last error of the database if `progress` has been the same for too long."""
        if progress != self._last:
            self._last, self._end = progress, time.monotonic() + self._seconds
        elif time.monotonic() >= self._end:
            # The threads that work on the batch try again every few seconds, or wait for a lock.
            error = self._database.recent_write_failure(self._seconds)
            if error is not None:
                raise error
