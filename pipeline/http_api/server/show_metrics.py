"""The listener for Prometheus beside a server: what is read from SQL, and what its processes count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipeline.bootstrap import make_context
from pipeline.settings import Settings
from pipeline.telemetry.address import parse_address
from pipeline.telemetry.meter import ProcessMeter, set_process_meter
from pipeline.telemetry.process_usage import ProcessUsage
from pipeline.telemetry.reports import Reporter, ReportReceiver


@contextmanager
def shown_metrics(settings: Settings) -> Iterator[Path | None]:
    """Show metrics inside the block, where `PIPELINE_METRICS_LISTEN` says. Yield where other processes report theirs.

    Raises:
        InvalidInput: the address cannot be listened on, or `prometheus_client` is not installed.
    """
    if settings.metrics_listen is None:
        yield None
        return
    # Imported here: most servers show no metrics there.
    from pipeline.monitoring.page import MonitoringServer
    from pipeline.telemetry.exposition import FamilyReading, readings_of

    meter = ProcessMeter()
    usage = ProcessUsage(meter, "server")

    def counted() -> list[FamilyReading]:
        usage.measure()
        counts = meter.read()
        counts.gauges.update(reports.gauges())
        return readings_of(counts)

    with ExitStack() as stack:
        # Its own: with several processes, this one answers nothing else.
        context = make_context(settings)
        stack.callback(context.database.close)
        shown = MonitoringServer(context, parse_address(settings.metrics_listen), others=counted)
        stack.callback(shown.stop)
        reports = ReportReceiver(meter)
        stack.callback(reports.stop)
        reports.start()
        shown.start()
        yield reports.path


def report_to(path: Path, role: str) -> Reporter:
    """Count in this process from now on, for the one that shows it. Call it before the context is made.

    Returns:
        What is to be stopped at the end.
    """
    meter = ProcessMeter()
    set_process_meter(meter)
    reporter = Reporter(path, meter, before=ProcessUsage(meter, role).measure)
    reporter.start()
    return reporter
