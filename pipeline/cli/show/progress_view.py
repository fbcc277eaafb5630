"""How a person sees a batch run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.cli.show.output import Talk, cell, duration
from pipeline.cli.show.speed import Speed
from pipeline.cli.show.table import console
from pipeline.domain.batch import BatchState, Progress

#: Seconds between two looks at the batch.
LOOK_SECONDS = 0.25
#: Seconds between two lines where there is no terminal.
_LINE_SECONDS = 5.0
_BAR_WIDTH = 30


class ProgressView(Protocol):
    """Shows how far a batch is, from enter to exit."""

    def show(self, progress: Progress, note: str) -> None:
        """Show this; the note names the most frequent labels, or what is waited for."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def view(talk: Talk, *, beside_data: bool = False) -> ProgressView:
    """Return the view that fits; `beside_data`: standard output gets results, which a bar would tear apart."""
    if talk.is_quiet:
        return SilentView()
    shown = console(err=True)
    shares_terminal = beside_data and console(err=False).is_terminal
    return BarView() if shown.is_terminal and not shares_terminal else LineView(talk)


class SilentView:
    """Shows nothing."""

    def show(self, progress: Progress, note: str) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


class LineView(SilentView):
    """Says where the batch is every few seconds."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._speed = Speed()
        self._next = time.monotonic() + _LINE_SECONDS

    def show(self, progress: Progress, note: str) -> None:
        self._speed.add(progress.final)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            self._talk.say("; ".join(filter(None, [", ".join(facts(progress, self._speed)), cell(note)])))


class BarView:
    """A bar with its numbers, and under it the labels so far; gone when it ends."""

    def __init__(self) -> None:
        self._speed = Speed()
        self._live = Live(console=console(err=True), transient=True, refresh_per_second=4, redirect_stdout=False)

    def show(self, progress: Progress, note: str) -> None:
        self._speed.add(progress.final)
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(progress.total, 1), completed=progress.final, width=_BAR_WIDTH)
        line.add_row(bar, Text(", ".join(facts(progress, self._speed)), overflow="ellipsis", no_wrap=True))
        self._live.update(Group(line, Text(cell(note), overflow="ellipsis", no_wrap=True, style="dim")))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()


def facts(progress: Progress, speed: Speed) -> list[str]:
    """Return where a batch is, in a few words each."""
    parts = [f"{progress.final:,} of {progress.total:,} items", f"{speed.per_second:,.0f}/s"]
    if progress.dead:
        parts.append(f"{progress.dead:,} dead")
    if progress.state is not BatchState.RUNNING:
        parts.append(progress.state.value)
    left = speed.left(progress.total - progress.final)
    if left is not None and not progress.is_complete:
        parts.append(f"{duration(left)} left")
    return parts
