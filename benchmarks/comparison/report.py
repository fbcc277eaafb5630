"""What came out of a comparison: text for the screen, pages and a chart for the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.comparison.chart import draw
from benchmarks.comparison.entrant import Entrant
from benchmarks.comparison.machine import Machine
from benchmarks.comparison.page import inserted
from benchmarks.comparison.spread import Spread, ratio
from benchmarks.comparison.trial import Trial

DOCS = Path(__file__).parents[2] / "docs" / "explanation"
SUMMARY = DOCS / "performance.md"
RECORD = DOCS / "performance" / "compare.md"
CHART = DOCS / "performance" / "compare.svg"

_HEAD = ("contestant", "setup", "items", "items/s", "range", "pipeline is")


@dataclass(frozen=True)
class Line:
    """One contestant over all rounds that count."""

    title: str
    way: str
    items: int
    rate: Spread
    #: How many times as fast ours is; None for ours.
    ratio: Spread | None
    rival: str | None


@dataclass(frozen=True)
class Comparison:
    """All runs of a comparison."""

    entrants: Sequence[Entrant]
    trials: Sequence[Trial]
    machine: Machine
    processes: int

    def lines(self) -> list[Line]:
        """Return a line for each contestant with a run that counts."""
        found = []
        for entrant in self.entrants:
            rates = self._rates(entrant.title)
            if rates:
                first = next(trial for trial in self.trials if trial.title == entrant.title)
                times = ratio(self._rates(entrant.rival), rates) if entrant.rival else None
                rate = Spread.of(rates.values())
                found.append(Line(entrant.title, first.way, first.items, rate, times, entrant.rival))
        return found

    def to_text(self) -> str:
        """Return the table for the screen."""
        rows = [_HEAD, *(_cells(line) for line in self.lines())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)

    def write(self) -> None:
        """Write the table and the chart into the documents."""
        lines = self.lines()
        RECORD.parent.mkdir(exist_ok=True)
        draw(lines, CHART)
        RECORD.write_text(self._record(lines), encoding="utf-8")
        chart = "![Items per second by contestant](performance/compare.svg)"
        told = f"{_markdown(lines)}\n\n{chart}\n\n{self._conditions()}"
        SUMMARY.write_text(inserted(SUMMARY.read_text(encoding="utf-8"), told), encoding="utf-8")

    def _rates(self, title: str) -> dict[int, float]:
        return {trial.round: trial.rate for trial in self.trials if trial.title == title and not trial.complaints}

    def _conditions(self) -> str:
        machine = self.machine
        rounds = max(trial.round for trial in self.trials)
        return (
            f"{machine.cores} cores ({machine.processor}), {machine.memory_gib:.0f} GiB of memory, load "
            f"{machine.load:.1f} before the start; {self.processes} worker processes each; medians of {rounds} rounds, "
            f"with the lowest and the highest."
        )

    def _record(self, lines: Sequence[Line]) -> str:
        versions = "\n".join(f"| {name} | {number} |" for name, number in self.machine.versions.items())
        runs = "\n".join(
            f"| {trial.round} | {trial.title} | {trial.items:,} | {trial.seconds:.2f} | {trial.submit_seconds:.2f} "
            f"| {trial.rate:,.0f} |"
            for trial in self.trials
        )
        return "\n".join(
            (
                "# Latest comparison",
                "",
                "Written by `make bench`. [Performance](../performance.md) explains what is compared and how.",
                "",
                _markdown(lines),
                "",
                f"{self._conditions()} {self.machine.system}; PostgreSQL with {self.machine.postgresql}.",
                "",
                "## Runs, in order",
                "",
                "| round | contestant | items | seconds | seconds submitting | items/s |",
                "| --- | --- | --- | --- | --- | --- |",
                runs,
                "",
                "## Versions",
                "",
                "| component | version |",
                "| --- | --- |",
                versions,
                "",
            )
        )


def _cells(line: Line) -> tuple[str, ...]:
    times = line.ratio
    compared = f"{times.middle:.1f}× as fast ({times.least:.1f} – {times.most:.1f})" if times else "–"
    spread = f"{line.rate.least:,.0f} – {line.rate.most:,.0f}"
    return line.title, line.way, f"{line.items:,}", f"{line.rate.middle:,.0f}", spread, compared


def _markdown(lines: Sequence[Line]) -> str:
    rows = [_HEAD, ("---",) * len(_HEAD), *(_cells(line) for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
