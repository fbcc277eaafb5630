"""A progress bar on a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.cli.show.output import format_value
from pipeline.cli.show.progress_view import progress_text
from pipeline.cli.show.table import console
from pipeline.cli.show.throughput_meter import ThroughputMeter
from pipeline.domain.batch import Progress

_BAR_WIDTH = 30


class BarView:
    """A progress bar with its numbers and, below it, the labels so far. It disappears at the end."""

    def __init__(self) -> None:
        self._meter = ThroughputMeter()
        self._live = Live(console=console(err=True), transient=True, refresh_per_second=4)

    def show(self, progress: Progress, note: str) -> None:
        self._meter.add(progress.final)
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(progress.total, 1), completed=progress.final, width=_BAR_WIDTH)
        line.add_row(bar, Text(progress_text(progress, self._meter), overflow="ellipsis", no_wrap=True))
        self._live.update(Group(line, Text(format_value(note), overflow="ellipsis", no_wrap=True, style="dim")))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()
