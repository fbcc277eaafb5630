"""Charts as SVG with the numbers that they show. Their sizes are shares, so that they fit any width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from pipeline.batches.rules.history import LATENCY_CLASSES, Moment
from pipeline.http_api.page.text import duration

#: The drawing of a timeline; the page stretches it.
_WIDTH, _HEIGHT, _BASE = 600, 100, 74
#: Share of its place that a bar of a timeline takes.
_BAR = 0.86
#: Parts of a timeline, at least: fewer say nothing about a rate.
_LEAST_PARTS = 3
#: Bars that are shown at once.
_SHOWN_BARS = 12
#: Bars that are shown on demand.
_MOST_BARS = 200


@dataclass(frozen=True, slots=True)
class Bar:
    """One number among others.

    Args:
        share: of the largest, in percent.
        href: what it counts; empty: nowhere to be seen.
    """

    name: str
    number: int
    share: float
    href: str


@dataclass(frozen=True, slots=True)
class BarChart:
    """Numbers with their bars: a table in itself.

    Args:
        headings: of name and number.
        rest: bars that are shown on demand.
        left_out: how many are not shown.
    """

    title: str
    headings: tuple[str, str]
    bars: Sequence[Bar]
    rest: Sequence[Bar]
    left_out: int


@dataclass(frozen=True, slots=True)
class RateChart:
    """Items per second over time, with failures below.

    Args:
        svg: decoration: hidden from screen readers, which have the rows.
        top: the highest rate.
        most_failed: the most failures in one part of the time.
        part: how long a part is.
        rows: begin of each part, items per second, failures.
    """

    svg: Markup
    begins_at: datetime
    ends_at: datetime
    top: float
    most_failed: int
    part: str
    rows: Sequence[tuple[datetime, float, int]]


def rate_chart(moments: Sequence[Moment]) -> RateChart | None:
    """Return items per second over time; None if everything finished within a moment."""
    if len(moments) < _LEAST_PARTS:
        return None
    top = max(moment.per_second for moment in moments)
    most_failed = max(moment.failed for moment in moments)
    place = _WIDTH / len(moments)
    parts = []
    for index, moment in enumerate(moments):
        x, width = index * place, place * _BAR
        height = moment.per_second / top * _BASE if top else 0
        below = moment.failed / most_failed * (_HEIGHT - _BASE - 2) if most_failed else 0
        said = f"{moment.starts_at:%H:%M:%S} UTC: {moment.per_second:,.1f} items per second, {moment.failed:,} failed"
        parts.append(
            Markup("<g><title>{}</title>{}{}</g>").format(
                said,
                _rectangle("rate", x, _BASE - height, width, height),
                _rectangle("failed", x, _BASE + 2, width, below),
            )
        )
    seconds = moments[0].seconds
    return RateChart(
        svg=_svg(parts),
        begins_at=moments[0].starts_at,
        ends_at=moments[-1].starts_at + timedelta(seconds=seconds),
        top=top,
        most_failed=most_failed,
        part=duration(seconds),
        rows=[(each.starts_at, each.per_second, each.failed) for each in moments if each.succeeded or each.failed],
    )


def latency_chart(latencies: Sequence[tuple[float | None, int]]) -> BarChart | None:
    """Return how many items took how long from submission to the end; None if nothing finished."""
    named = {
        f"over {duration(LATENCY_CLASSES[-1])}" if end is None else f"up to {duration(end)}": number
        for end, number in latencies
    }
    return _bar_chart("Time from submission to result", named, ("time", "items"))


def label_chart(labels: Mapping[str, int], link: Callable[[str], str]) -> BarChart | None:
    """Return how many items have each label; None if there are none."""
    return _bar_chart("Labels", labels, ("label", "items"), link)


def delivery_chart(deliveries: Mapping[str, int], link: Callable[[str], str]) -> BarChart | None:
    """Return how many callbacks are in each state; None if there are none."""
    return _bar_chart("Callbacks", deliveries, ("state", "callbacks"), link)


def _bar_chart(
    title: str, numbers: Mapping[str, int], headings: tuple[str, str], link: Callable[[str], str] | None = None
) -> BarChart | None:
    if not numbers:
        return None
    most = max(*numbers.values(), 1)
    bars = [
        Bar(name, number, number / most * 100, "" if link is None else link(name)) for name, number in numbers.items()
    ]
    return BarChart(title, headings, bars[:_SHOWN_BARS], bars[_SHOWN_BARS:_MOST_BARS], max(0, len(bars) - _MOST_BARS))


def _rectangle(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, x, y, width, height
    )


def _svg(parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg class="timeline" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        "{}</svg>"
    ).format(_WIDTH, _HEIGHT, Markup("").join(parts))
