"""Charts as SVG, and the same numbers as rows for a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from markupsafe import Markup

from pipeline.batches.rules.history import Moment

_WIDTH, _HEIGHT = 720, 160
_LABELLED_BARS = 12


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing, and the table that says the same.

    Args:
        title: what it shows, for everybody.
        svg: decoration: hidden from screen readers, which have the table.
        headings: of the table.
        rows: of the table.
    """

    title: str
    svg: Markup
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def rate_chart(moments: Sequence[Moment]) -> Chart | None:
    """Return items per second over time, with failures below the line; None if nothing finished."""
    if not moments:
        return None
    top = max(moment.per_second for moment in moments)
    most_failed = max(moment.failed for moment in moments) or 1
    width = _WIDTH / len(moments)
    base = _HEIGHT * 0.75
    bars = []
    for index, moment in enumerate(moments):
        x = index * width
        height = moment.per_second / top * base if top else 0
        bars.append(_rectangle("rate", x, base - height, width, height))
        below = moment.failed / most_failed * (_HEIGHT - base)
        bars.append(_rectangle("failed", x, base, width, below))
    last = moments[-1].starts_at + timedelta(seconds=moments[-1].seconds)
    bars.append(_text(0, _HEIGHT + 14, f"{moments[0].starts_at:%H:%M:%S} UTC", "start"))
    bars.append(_text(_WIDTH, _HEIGHT + 14, f"{last:%H:%M:%S} UTC", "end"))
    bars.append(_text(_WIDTH / 2, _HEIGHT + 14, f"highest: {top:,.0f} items per second", "middle"))
    rows = [
        (f"{moment.starts_at:%H:%M:%S}", f"{moment.per_second:,.1f}", f"{moment.failed:,}")
        for moment in moments
        if moment.succeeded or moment.failed
    ]
    return Chart(
        "Items per second, and failures below",
        _svg(bars, height=_HEIGHT + 20),
        ("from", "items per second", "failed"),
        rows,
    )


def latency_chart(latencies: Sequence[tuple[float | None, int]]) -> Chart | None:
    """Return how many items took how long from submission to the end; None if nothing finished."""
    if not latencies:
        return None
    named = {("longer" if end is None else f"up to {_duration(end)}"): number for end, number in latencies}
    return _bars("Time from submission to the end of an item", named, ("time", "items"))


def label_chart(labels: Mapping[str, int]) -> Chart | None:
    """Return how many items have each label; None if there are none."""
    return _bars("Labels", labels, ("label", "items")) if labels else None


def delivery_chart(deliveries: Mapping[str, int]) -> Chart | None:
    """Return how many callbacks are in each state; None if there are none."""
    return _bars("Callbacks by state", deliveries, ("state", "callbacks")) if deliveries else None


def _bars(title: str, numbers: Mapping[str, int], headings: Sequence[str]) -> Chart:
    shown = list(numbers.items())[:_LABELLED_BARS]
    most = max(number for _, number in shown) or 1
    height = 22
    parts = []
    for index, (name, number) in enumerate(shown):
        y = index * height
        parts.append(_rectangle("bar", 200, y + 3, number / most * (_WIDTH - 280), height - 6))
        parts.append(_text(192, y + 15, name[:28], "end"))
        parts.append(_text(208 + number / most * (_WIDTH - 280), y + 15, f"{number:,}", "start"))
    rows = [(name, f"{number:,}") for name, number in numbers.items()]
    return Chart(title, _svg(parts, height=max(1, len(shown)) * height), headings, rows)


def _rectangle(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, x, y, max(width - 1, 0.5), height
    )


def _text(x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def _svg(parts: Sequence[Markup], *, height: float = _HEIGHT) -> Markup:
    return Markup('<svg viewBox="0 0 {} {:.0f}" aria-hidden="true" focusable="false">{}</svg>').format(
        _WIDTH, height, Markup("").join(parts)
    )


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:g} ms"
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"
