"""Reads the results of a batch page by page."""

from __future__ import annotations

from typing import Any

from pipeline.batches import progress as batch_progress
from pipeline.batches import results
from pipeline.client.result import Result
from pipeline.client.session import Session
from pipeline.domain import bounds

#: How often new results are looked for while none come.
POLL_SECONDS = 0.01


class ResultLog:
    """Reads the results of a batch page by page.

    Attributes:
        is_over: Whether there is nothing more to read.
        pause_seconds: How long to wait before the next page.
    """

    def __init__(self, session: Session, row_id: int, after: int, *, follow: bool) -> None:
        self._session = session
        self._row_id = row_id
        self._after = bounds.SEQ.check("after", after)
        self._is_last = not follow
        #: Whether the page before had all results there were.
        self._is_drained = False
        self.is_over = False
        self.pause_seconds = 0.0

    def read(self) -> list[Result]:
        """Return the next page."""
        return [Result.from_data(data) for data in self.read_data()]

    def read_data(self) -> list[dict[str, Any]]:
        """Return the next page, as callbacks have results under `data`."""
        context, after = self._session.context, self._after
        if self._is_drained and not self._is_last:
            # Asked before the page is read: what finishes in between is on that page, not missed.
            self._is_last = is_complete(self._session, self._row_id)
        page = results.page(context, self._row_id, after)
        self._after = page.last_seq
        self.is_over = self._is_last and not page.has_more
        # No pause before the worker of this process is started, and none for the last page.
        waits = self._is_drained and not page.has_more and not page.is_end and not self._is_last
        self.pause_seconds = POLL_SECONDS if waits else 0.0
        self._is_drained = not page.has_more
        return page.results


def is_complete(session: Session, row_id: int) -> bool:
    """Return whether a batch is complete; if it is not, make sure that this process works on it, or workers do."""
    is_complete = batch_progress.is_complete(session.context, row_id)
    if not is_complete:
        session.ensure_working(row_id)
    return is_complete
