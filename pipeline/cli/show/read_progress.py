"""Shows how far reading a source has come: on a terminal as one line, for programs as lines of JSON."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.cli.show.output import Messages, format_duration, to_json
from pipeline.cli.show.table import console
from pipeline.cli.streams import print_message
from pipeline.sources import ItemSource, ReadProgress

#: Seconds between lines of JSON.
_INTERVAL = 1.0
_UNITS = ("B", "kB", "MB", "GB", "TB")


@contextmanager
def read_progress(
    messages: Messages, source: ItemSource, rejected: Callable[[], int], *, as_json: bool
) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows the progress of reading; it is called with the number of items stored.

    Args:
        rejected: returns the number of rejected items.
        as_json: print lines of JSON to standard error, at most one a second, instead of a line on a terminal.
    """
    clock = time.monotonic
    if as_json and not messages.is_quiet:
        yield _json_lines(source, rejected, clock)
        return
    out = None if messages.is_quiet else console(err=True)
    if out is None or not out.is_terminal:
        yield lambda count: None
        return
    pace = ReadPace(clock)
    with out.status("reading", spinner="line") as status:
        yield lambda count: status.update(pace.describe(count, source.progress()))


class ReadPace:
    """How fast items are stored, and when the last one will be.

    Args:
        clock: returns seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first: tuple[float, int, int] | None = None

    def describe(self, count: int, progress: ReadProgress) -> str:
        """Return such as `412,000 items · 61 % of 1.2 GB · 11,300/s · 40 s left`; what is not known is left out."""
        now, read, total = self._clock(), progress.bytes_read, progress.bytes_total
        if self._first is None:
            # Items and bytes of an earlier attempt say nothing about the pace.
            self._first = (now, count, read)
        seconds, items, size = now - self._first[0], count - self._first[1], read - self._first[2]
        parts = [f"{count:,} items"]
        if total:
            parts.append(f"{min(read / total, 1):.0%} of {format_bytes(total)}".replace("%", " %"))
        if seconds > 0 and items > 0:
            parts.append(f"{items / seconds:,.0f}/s")
        if seconds > 0 and size > 0 and total is not None and read < total:
            parts.append(f"{format_duration((total - read) / size * seconds)} left")
        return " · ".join(parts)


def format_bytes(size: float) -> str:
    """Return a number of bytes such as `512 B`, `1.2 GB`."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or size >= 100 else f"{size:.1f} {_UNITS[unit]}"


def _json_lines(source: ItemSource, rejected: Callable[[], int], clock: Callable[[], float]) -> Callable[[int], None]:
    printed = clock()

    def show(count: int) -> None:
        nonlocal printed
        if clock() - printed < _INTERVAL:
            return
        printed = clock()
        progress = source.progress()
        line = {
            "items": count,
            "bytes": progress.bytes_read,
            "bytes_total": progress.bytes_total,
            "rejected": rejected(),
        }
        print_message(to_json(line).decode())

    return show
