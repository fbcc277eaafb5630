"""What a worker process does with its metrics: nothing, show them, or report them to its parent, which shows them.

Everything that metrics need is imported here or below, and this module only where they are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pipeline.errors import InvalidInput
from pipeline.settings import Settings
from pipeline.telemetry.address import REPORT_TO, parse_address
from pipeline.telemetry.http_server import MetricsListener, PageAnswer
from pipeline.telemetry.meter import ProcessMeter, set_process_meter
from pipeline.telemetry.process_usage import ProcessUsage
from pipeline.telemetry.reports import Reporter, ReportReceiver
from pipeline.telemetry.textfile import TextFile

try:
    from pipeline.telemetry.exposition import FamilyReading, readings_of, write, write_file
except ImportError as error:
    raise InvalidInput(f"metrics need {error.name}: pip install 'pipeline[metrics]'") from None

Problem = Callable[[], str | None]


class WorkerMetrics(Protocol):
    """The metrics of a worker process."""

    #: The socket to which children of this process report.
    path: Path

    def begin(self, role: str, problem: Problem) -> None:
        """Show or report what is counted.

        Args:
            role: what this process does.
            problem: returns why its work does not progress; None if it does.
        """

    def stop(self) -> None:
        """Stop that; report the rest."""

    def leave_to_parent(self) -> None:
        """Forget, in a child of a fork, what is the parent's."""


class MetricsServer:
    """Shows what this process and its children count.

    Args:
        with_users_metrics: whether users' code runs here, and may define metrics.

    Raises:
        InvalidInput: the address cannot be listened on.
    """

    def __init__(self, settings: Settings, *, with_users_metrics: bool = True) -> None:
        self.meter = ProcessMeter()
        #: Seconds without a sign of life after which a child is in trouble.
        self.patience = settings.lease_seconds
        self._with_users_metrics = with_users_metrics
        self._problem: Problem = lambda: None
        self._usage: ProcessUsage | None = None
        self._listener: MetricsListener | None = None
        if settings.metrics_listen is not None:
            answers = {"metrics": self._answer_metrics, "live": self._answer_live}
            self._listener = MetricsListener(parse_address(settings.metrics_listen), answers)
        self._file = None if settings.metrics_textfile is None else TextFile(settings.metrics_textfile, self.text)
        self.reports = ReportReceiver(self.meter)
        self.path = self.reports.path

    @property
    def port(self) -> int | None:
        """Where it listens; None: it only writes a file."""
        return None if self._listener is None else self._listener.port

    def begin(self, role: str, problem: Problem) -> None:
        self._usage, self._problem = ProcessUsage(self.meter, role), problem
        self.reports.start()
        if self._listener is not None:
            self._listener.start()
        if self._file is not None:
            self._file.start()

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.stop()
        if self._file is not None:
            self._file.stop()
        self.reports.stop()

    def leave_to_parent(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self.reports.close()

    def readings(self) -> list[FamilyReading]:
        """Return what was counted until now."""
        if self._usage is not None:
            self._usage.measure()
        counts = self.meter.read()
        for key, value in self.reports.gauges().items():
            counts.gauges[key] = max(value, counts.gauges.get(key, value))
        return readings_of(counts)

    def page(self, accept: str = "") -> tuple[str, bytes]:
        """Return the media type and the page for an `Accept` header."""
        return write(self.readings(), accept, with_users_metrics=self._with_users_metrics)

    def text(self) -> bytes:
        """Return the content of the file."""
        return write_file(self.readings())

    def _answer_metrics(self, rest: str, accept: str) -> PageAnswer | None:
        if rest:
            return None
        media_type, body = self.page(accept)
        return PageAnswer(body, media_type)

    def _answer_live(self, rest: str, accept: str) -> PageAnswer | None:
        if rest:
            return None
        problem = self._problem()
        return PageAnswer(b"ok\n") if problem is None else PageAnswer(f"{problem}\n".encode(), status=503)


class MetricsReports:
    """Reports what this process counts to the one that shows it.

    Args:
        path: the socket of that process.
    """

    def __init__(self, path: Path) -> None:
        self.meter = ProcessMeter()
        self.path = path
        self._reporter: Reporter | None = None

    def begin(self, role: str, problem: Problem) -> None:
        usage = ProcessUsage(self.meter, role)
        self._reporter = Reporter(self.path, self.meter, problem=problem, before=usage.measure)
        self._reporter.start()

    def stop(self) -> None:
        if self._reporter is not None:
            self._reporter.stop()

    def leave_to_parent(self) -> None:
        """Do nothing: each report opens a new socket."""


class _Prepared:
    """The metrics of this process."""

    metrics: WorkerMetrics | None = None


def serve_metrics(settings: Settings, *, with_users_metrics: bool = True) -> MetricsServer:
    """Count in this process from now on, and listen. Call it before the context is made.

    Raises:
        InvalidInput: the address cannot be listened on.
    """
    metrics = MetricsServer(settings, with_users_metrics=with_users_metrics)
    # Children of a pool are spawned, and share nothing but the environment.
    os.environ[REPORT_TO] = str(metrics.path)
    set_process_meter(metrics.meter)
    _Prepared.metrics = metrics
    return metrics


def report_metrics(path: Path) -> MetricsReports:
    """Count in this process from now on, for the one that listens at `path`. Call it before the context is made."""
    metrics = MetricsReports(path)
    set_process_meter(metrics.meter)
    _Prepared.metrics = metrics
    return metrics


def prepared_metrics() -> WorkerMetrics | None:
    """Return the metrics of this process, if it has any."""
    return _Prepared.metrics


def report_from_child() -> MetricsReports | None:
    """In a child of a pool, report to its parent. None if that shows nothing."""
    path = os.environ.get(REPORT_TO)
    if path is None:
        return None
    if _Prepared.metrics is not None:
        # Of a pool that forks.
        _Prepared.metrics.leave_to_parent()
    return report_metrics(Path(path))
