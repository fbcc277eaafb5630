"""The progress of a batch: a bar on a terminal, otherwise a line every few seconds."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from pipeline.cli.show.output import Messages, format_duration, format_value
from pipeline.cli.show.table import console
from pipeline.cli.show.throughput_meter import ThroughputMeter
from pipeline.domain.batch import Progress

#: Seconds between two queries of the progress.
REFRESH_SECONDS = 0.25
#: Seconds between two lines where there is no terminal.
_LINE_SECONDS = 5.0


class ProgressView(Protocol):
    """A display of progress, from enter to exit."""

    def show(self, progress: Progress, note: str) -> None:
        """Update the display. `note` holds the most frequent labels, or what the command is waiting for."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def progress_view(messages: Messages, *, prints_results: bool = False) -> ProgressView:
    """Return the view that suits the output streams.

    Args:
        messages: in quiet mode, nothing is displayed.
        prints_results: results go to standard output; a bar on the same terminal would garble them.
    """
    if messages.is_quiet:
        return SilentView()
    shares_terminal = prints_results and console(err=False).is_terminal
    if shares_terminal or not console(err=True).is_terminal:
        return LineView(messages)
    # Imported here: nothing else needs the parts of Rich that draw.
    from pipeline.cli.show.progress_bar import BarView

    return BarView()


class SilentView:
    """Displays nothing."""

    def show(self, progress: Progress, note: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class LineView(SilentView):
    """Prints a line every few seconds."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._meter = ThroughputMeter()
        self._next = time.monotonic() + _LINE_SECONDS

    def show(self, progress: Progress, note: str) -> None:
        self._meter.add(progress.final)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._messages.info("; ".join(filter(None, [progress_text(progress, self._meter), format_value(note)])))


def progress_text(progress: Progress, meter: ThroughputMeter) -> str:
    """Return how far a batch is, how fast, and for how long still, in one line."""
    parts = [f"{progress.final:,} of {progress.total:,} items", f"{meter.per_second:,.0f}/s"]
    if progress.dead:
        parts.append(f"{progress.dead:,} dead")
    if not progress.state.releases_items:
        parts.append(progress.state.value)
    left = meter.seconds_left(progress.total - progress.final)
    if left is not None and not progress.is_complete:
        parts.append(f"{format_duration(left)} left")
    return ", ".join(parts)
