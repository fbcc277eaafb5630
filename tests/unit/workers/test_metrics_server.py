"""What a worker and its supervisor show, and when they report a problem."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import InvalidInput
from pipeline.settings import Settings
from pipeline.telemetry.address import REPORT_TO
from pipeline.telemetry.families import ATTEMPTS, RESTARTS
from pipeline.telemetry.meter import NULL, ProcessMeter, process_meter, set_process_meter
from pipeline.telemetry.reports import Reporter
from tests.support.servers.metrics import get, samples
from tests.support.servers.worker import wait_for
from workers.engine import metrics_server
from workers.engine.metrics_server import MetricsReports, MetricsServer, report_from_child, serve_metrics
from workers.supervisor import Supervisor


@pytest.fixture(autouse=True)
def meter_of_tests() -> Iterator[None]:
    yield
    set_process_meter(NULL)
    metrics_server._Prepared.metrics = None
    os.environ.pop(REPORT_TO, None)


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    server = MetricsServer(Settings(metrics_listen="127.0.0.1:0"))
    yield server
    server.stop()


def test_it_shows_what_it_and_its_children_count(server: MetricsServer) -> None:
    server.begin("supervisor", lambda: None)
    assert server.port is not None
    server.meter.add(RESTARTS)
    child = MetricsReports(server.path)
    child.begin("child", lambda: None)
    child.meter.add(ATTEMPTS, ("a", "classify", "succeeded"), 64)
    child.stop()
    wait_for(lambda: b"pipeline_attempts_total{" in server.page()[1])
    status, media_type, page = get(server.port, "/metrics")
    found = samples(page)
    assert (status, media_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert found["pipeline_attempts_total"] == {("a", "succeeded", "classify"): 64}
    assert found["pipeline_processes_restarted_total"] == {(): 1}
    assert found["pipeline_process_resident_bytes"].keys() == {("child",), ("supervisor",)}
    assert min(found["pipeline_process_resident_bytes"].values()) > 1_000_000
    assert found["pipeline_process_cpu_seconds_total"][("supervisor",)] > 0
    assert get(server.port, "/metrics/x")[0] == get(server.port, "/scale/classify")[0] == 404


def test_a_probe_hears_what_is_wrong(server: MetricsServer) -> None:
    problems = iter([None, "the consumer has not come round for 20 s"])
    server.begin("worker", lambda: next(problems))
    assert server.port is not None
    assert get(server.port, "/live")[::2] == (200, "ok\n")
    assert get(server.port, "/live")[::2] == (503, "the consumer has not come round for 20 s\n")


def test_a_port_that_is_taken_is_an_error_at_the_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"127.0.0.1:{port}"):
            serve_metrics(Settings(metrics_listen=f"127.0.0.1:{port}"))
    assert process_meter() is NULL


def test_the_file_has_what_the_page_has(tmp_path: Path) -> None:
    path = tmp_path / "pipeline.prom"
    server = MetricsServer(Settings(metrics_textfile=path))
    assert server.port is None
    server.meter.add(RESTARTS)
    server.begin("worker", lambda: None)
    wait_for(path.exists)
    found = samples(path.read_text())
    server.stop()
    assert found["pipeline_processes_restarted_total"] == {(): 1}
    assert abs(found["pipeline_written_at_seconds"][()] - time.time()) < 600
    assert not path.exists()


def test_a_child_of_a_pool_counts_for_its_parent() -> None:
    assert report_from_child() is None
    parents = serve_metrics(Settings(metrics_listen="127.0.0.1:0"))
    assert process_meter() is parents.meter
    child = report_from_child()
    assert child is not None
    assert child.path == parents.path
    assert process_meter() is child.meter
    assert child.meter is not parents.meter
    parents.reports.stop()


def sleeping() -> list[str]:
    return [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_supervisor_is_alive_as_long_as_its_children_are(server: MetricsServer) -> None:
    supervisor = Supervisor([sleeping(), sleeping()], metrics=server)
    first, second = supervisor._children
    first.start()
    second.start()
    processes = [child.process for child in (first, second)]
    try:
        assert supervisor.problem() is None
        # As if it had begun long ago.
        second.well_at -= server.patience + 1
        assert supervisor.problem() == f"process 2 has shown no life for {server.patience + 1:.0f} s"
        server.reports.start()
        _report(server, processes[1].pid if processes[1] else 0, None)
        wait_for(lambda: supervisor.problem() is None)
        _report(server, processes[0].pid if processes[0] else 0, "it hangs")
        wait_for(lambda: supervisor.problem() == "process 1: it hangs")
    finally:
        for process in processes:
            assert process is not None
            process.kill()
            process.wait()


def _report(server: MetricsServer, pid: int, problem: str | None) -> None:
    reporter = Reporter(server.path, ProcessMeter(), problem=lambda: problem, pid=pid)
    reporter.send()
