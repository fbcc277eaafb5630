"""What children report is counted once, and outlives them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.telemetry.families import ATTEMPTS, DISPATCH_WINDOW, ITEM_SECONDS, RESTARTS
from pipeline.telemetry.meter import ProcessMeter
from pipeline.telemetry.reports import GONE_SECONDS, MAX_BYTES, Report, Reporter, ReportReceiver, decode, encode
from tests.support.servers.worker import wait_for


class Clock:
    """A clock that stands still until it is moved."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter() -> ProcessMeter:
    return ProcessMeter()


@pytest.fixture
def receiver(meter: ProcessMeter, clock: Clock) -> Iterator[ReportReceiver]:
    receiver = ReportReceiver(meter, seconds=clock)
    yield receiver
    receiver.stop()


def total(meter: ProcessMeter) -> float:
    return meter.read().counters.get((RESTARTS.name, ()), 0)


def report(number: int, *, pid: int = 7, start: str = "a", window: float | None = None, problem: str = "") -> bytes:
    counted = ProcessMeter()
    counted.add(RESTARTS)
    if window is not None:
        counted.set(DISPATCH_WINDOW, (), window)
    (datagram,) = encode(Report(pid, start, number, problem or None, counted.take()))
    return datagram


def test_each_report_is_counted_once(receiver: ReportReceiver, meter: ProcessMeter) -> None:
    for datagram in (report(1), report(1), report(2), report(1, pid=8), report(1, start="b"), b"{}", b"\xff", b"[]"):
        receiver.receive(datagram)
    assert total(meter) == 4


def test_the_largest_gauge_of_those_that_live_is_shown(receiver: ReportReceiver, clock: Clock) -> None:
    receiver.receive(report(1, pid=1, window=10))
    clock.now += GONE_SECONDS - 1
    receiver.receive(report(1, pid=2, window=5))
    assert receiver.gauges() == {(DISPATCH_WINDOW.name, ()): 10}
    clock.now += 2
    assert receiver.gauges() == {(DISPATCH_WINDOW.name, ()): 5}
    receiver.receive(report(2, pid=2))
    assert receiver.gauges() == {}


def test_a_child_says_what_is_wrong_with_it(receiver: ReportReceiver, clock: Clock) -> None:
    receiver.receive(report(1, problem="it hangs"))
    assert receiver.problem(7) == "it hangs"
    assert receiver.heard_at(7) == clock.now
    receiver.receive(report(2))
    assert receiver.problem(7) is None
    assert receiver.heard_at(8) is None


def test_a_large_report_is_cut_into_datagrams_that_are_counted_all(
    receiver: ReportReceiver, meter: ProcessMeter
) -> None:
    counted = ProcessMeter()
    for definition in range(50):
        for outcome in range(20):
            counted.add(ATTEMPTS, (f"{definition} " + "é" * 60, "classify", f"{outcome}"))
    counted.observe(ITEM_SECONDS, ("dead",), [1.0] * 1_000)
    counted.set(DISPATCH_WINDOW, (), 3)
    expected = counted.read()
    datagrams = list(encode(Report(1, "a", 1, None, counted.take())))
    assert len(datagrams) > 1
    assert max(map(len, datagrams)) <= MAX_BYTES
    assert [decode(each).place for each in datagrams] == [(1, part) for part in range(len(datagrams))]
    for datagram in datagrams:
        receiver.receive(datagram)
    assert meter.read().counters == expected.counters
    assert meter.read().histograms == expected.histograms
    assert receiver.gauges() == expected.gauges


def test_what_cannot_be_sent_is_sent_with_the_next(receiver: ReportReceiver, meter: ProcessMeter) -> None:
    receiver.start()
    counted = ProcessMeter()
    reporter = Reporter(receiver.path, counted)
    counted.add(RESTARTS)
    hidden = receiver.path.rename(receiver.path.with_name("hidden"))
    reporter.send()
    assert total(counted) == 1
    hidden.rename(receiver.path)
    counted.add(RESTARTS)
    reporter.send()
    wait_for(lambda: total(meter) == 2)
    assert total(counted) == 0


def test_a_socket_that_somebody_removed_is_made_again(receiver: ReportReceiver, meter: ProcessMeter) -> None:
    receiver.start()
    receiver.path.unlink()
    wait_for(receiver.path.exists)
    counted = ProcessMeter()
    counted.add(RESTARTS)
    reporter = Reporter(receiver.path, counted)
    reporter.start()
    reporter.stop()
    wait_for(lambda: total(meter) == 1)


def test_only_its_user_reaches_the_socket(meter: ProcessMeter) -> None:
    receiver = ReportReceiver(meter)
    folder = receiver.path.parent
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_uid == os.getuid()
    receiver.stop()
    assert not Path(folder).exists()
