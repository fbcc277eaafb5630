"""The chart of a comparison: a bar for each contestant, with its spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.comparison.report import Line

OURS, THEIRS = "#1f6feb", "#8b949e"


def draw(lines: Sequence[Line], path: Path) -> None:
    """Write the chart as SVG; the same figures give the same file."""
    # Here, since only a comparison that is written needs it.
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "pipeline", "svg.fonttype": "none", "font.family": "sans-serif"}
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 0.45 * len(lines) + 1.2), layout="constrained")
    middles = [line.rate.middle for line in lines]
    errors = [
        [line.rate.middle - line.rate.least for line in lines],
        [line.rate.most - line.rate.middle for line in lines],
    ]
    bars = axes.barh(
        [line.title for line in lines],
        middles,
        xerr=errors,
        color=[THEIRS if line.rival else OURS for line in lines],
        error_kw={"ecolor": "#57606a", "capsize": 3},
    )
    axes.bar_label(bars, [f"{middle:,.0f}" for middle in middles], padding=6)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("items a second, whole job: classified, enriched, stored, called back")
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
