"""A real Prometheus scrapes workers and `pipeline metrics` while a batch runs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest

from pipeline.monitoring.families import COLLECT_FAMILIES, SQL_FAMILIES
from tests.support.factories import make_items
from tests.support.receiver import Receiver
from tests.support.servers.fixtures import on_redis
from tests.support.servers.metrics import Metrics, get, samples
from tests.support.servers.prometheus import Prometheus
from tests.support.servers.server import NotAvailable, free_port
from tests.support.servers.worker import Cluster, Worker

pytestmark = [pytest.mark.conformance, on_redis]

FAILING = """
from pipeline import Permanent
def classify(item):
    if item.text.endswith("7"):
        raise Permanent("seven")
    return "x"
async def enrich(item):
    return {}
"""


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def worker(cluster: Cluster, port: int) -> Worker:
    """Two processes under one supervisor, which serves their metrics."""
    return cluster.worker("--processes", "2", metrics_listen=f"127.0.0.1:{port}")


@pytest.fixture
def metrics(cluster: Cluster) -> Iterator[Metrics]:
    with Metrics(cluster.environment) as server:
        yield server


def promtool(page: str) -> str:
    """Return what promtool has against a page."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.timeout(180)
def test_prometheus_sees_what_happens_to_a_batch(cluster: Cluster, worker: Worker, metrics: Metrics, port: int) -> None:
    try:
        prometheus = Prometheus([f"127.0.0.1:{port}", metrics.url])
    except NotAvailable as error:
        pytest.skip(f"left out: {error}")
    with prometheus, Receiver() as receiver:
        batch = cluster.client.submit(make_items(1_000), cluster.definition(FAILING), callback_url=receiver.url)
        batch.wait(60)
        cluster.wait_for(
            lambda: prometheus.value("sum(pipeline_delivery_attempts_total{outcome='delivered'})") == 1_000
        )
        assert prometheus.health() == [("up", "")] * 2
        assert prometheus.value("sum(pipeline_attempts_total{stage='classify'})") == 1_000
        assert prometheus.value("sum(pipeline_attempts_total{outcome='dead'})") == 100
        assert prometheus.value("sum(pipeline_attempts_total{stage='enrich',outcome='succeeded'})") == 900
        assert prometheus.value("sum(pipeline_errors_total{error_type='Permanent'})") == 100
        assert prometheus.value("sum(pipeline_item_seconds_count)") == 1_000
        assert prometheus.value("sum(pipeline_delivery_wait_seconds_count)") == 1_000
        cluster.wait_for(lambda: prometheus.value("pipeline_items{state='dead'}") == 100)
        assert prometheus.value("max(pipeline_submitted_items_total)") == 1_000
        assert prometheus.value("max(pipeline_workers)") == 2
        assert prometheus.value("pipeline_dispatcher_up") == 1
        quantile = "histogram_quantile(0.99, sum by (le) (pipeline_item_seconds_bucket))"
        assert 0 < (prometheus.value(quantile) or 0) < 60
    pages = [get(each, "/metrics")[2] for each in (port, metrics.port)]
    assert [promtool(page) for page in pages] == ["", ""]
    shown = samples(pages[1])
    assert {family.name for family in (*SQL_FAMILIES, *COLLECT_FAMILIES)} - shown.keys() == set()


@pytest.mark.timeout(180)
def test_a_child_that_is_killed_lowers_no_counter(cluster: Cluster, worker: Worker, port: int) -> None:
    def counted() -> float:
        return sum(samples(get(port, "/metrics")[2]).get("pipeline_attempts_total", {}).values())

    cluster.client.submit(make_items(500), cluster.definition()).wait(60)
    cluster.wait_for(lambda: counted() == 1_000)
    assert get(port, "/live")[0] == 200
    os.kill(worker.children()[0], signal.SIGKILL)
    cluster.wait_for(lambda: samples(get(port, "/metrics")[2]).get("pipeline_processes_restarted_total") == {(): 1.0})
    assert counted() >= 1_000
    cluster.client.submit(make_items(500), cluster.definition()).wait(60)
    cluster.wait_for(lambda: counted() >= 2_000)
