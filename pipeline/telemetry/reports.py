"""What a child sends to the process that serves its metrics: datagrams on a Unix socket, once a second.

Nothing is lost while nobody listens: what could not be sent is sent with the next.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pipeline.telemetry.meter import Counts, Histogram, Key, ProcessMeter

#: Bytes of a datagram. Linux delivers those of up to about 200 KiB.
MAX_BYTES = 60 * 1024
#: Seconds between reports.
SEND_SECONDS = 1.0
#: A process that has sent nothing for as long shows no gauges any more.
GONE_SECONDS = 10.0
#: A process that has sent nothing for as long is forgotten.
_KEPT_SECONDS = 600.0
#: Entries of one datagram: of at most about 500 bytes each.
_ENTRIES = 100


@dataclass(slots=True)
class Report:
    """What a process tells about itself.

    Args:
        number: of this report, from 1 on; a process begins with a new `start`.
        part: of this report, from 0 on; the first one has all gauges.
        problem: why its work does not progress; None if it does.
    """

    pid: int
    start: str
    number: int
    problem: str | None
    counts: Counts
    part: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """Return its place among all datagrams of its process."""
        return self.number, self.part


def encode(report: Report) -> Iterator[bytes]:
    """Yield the datagrams of a report, each of which can be counted by itself."""
    counts = report.counts
    entries: list[tuple[str, Any]] = [("c", [name, labels, n]) for (name, labels), n in counts.counters.items()]
    entries += [("h", [name, labels, each.counts, each.sum]) for (name, labels), each in counts.histograms.items()]
    # The first datagram has all gauges: there are only a few.
    gauges = [[name, labels, value] for (name, labels), value in counts.gauges.items()]
    for index, begin in enumerate(range(0, max(len(entries), 1), _ENTRIES)):
        some: dict[str, list[Any]] = {"c": [], "h": [], "g": [] if index else gauges}
        for kind, entry in entries[begin : begin + _ENTRIES]:
            some[kind].append(entry)
        head = {"pid": report.pid, "start": report.start, "n": report.number, "part": index, "problem": report.problem}
        yield orjson.dumps(head | some)


def decode(datagram: bytes) -> Report:
    """Return the report of a datagram.

    Raises:
        ValueError, KeyError, TypeError: it is none.
    """
    found = orjson.loads(datagram)
    counts = Counts(
        {_key(name, labels): n for name, labels, n in found["c"]},
        {_key(name, labels): Histogram(counts, sum_) for name, labels, counts, sum_ in found["h"]},
        {_key(name, labels): value for name, labels, value in found["g"]},
    )
    return Report(found["pid"], found["start"], found["n"], found["problem"], counts, found["part"])


def _key(name: str, labels: list[str]) -> Key:
    return name, tuple(labels)


class Reporter:
    """Sends what the meter of this process counted, from `start` to `stop`.

    Args:
        path: the socket of the process that serves the metrics.
        problem: returns why the work of this process does not progress.
        before: called before each report, to set gauges.
        pid: of the process that is reported on; default: this one.
    """

    def __init__(
        self,
        path: Path,
        meter: ProcessMeter,
        *,
        problem: Callable[[], str | None] = lambda: None,
        before: Callable[[], None] = lambda: None,
        pid: int | None = None,
    ) -> None:
        self._path, self._meter = str(path), meter
        self._problem, self._before = problem, before
        self._pid = os.getpid() if pid is None else pid
        self._start = f"{time.time_ns():x}"
        self._number = 0
        self._stopping = threading.Event()
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="pipeline-metrics", daemon=True)

    def start(self) -> None:
        """Start sending."""
        self._thread.start()

    def stop(self) -> None:
        """Send the rest, and stop."""
        self._stopping.set()
        self.send()

    def send(self) -> None:
        """Send what was counted since the last time; keep what cannot be sent."""
        with self._sending, contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as channel:
            self._before()
            channel.setblocking(False)
            counts = self._meter.take()
            self._number += 1
            for datagram in encode(Report(self._pid, self._start, self._number, self._problem(), counts)):
                try:
                    channel.sendto(datagram, self._path)
                except OSError:
                    # Nobody listens, or not fast enough.
                    self._meter.merge(decode(datagram).counts)

    def _run(self) -> None:
        while not self._stopping.wait(SEND_SECONDS):
            self.send()


@dataclass(slots=True)
class ChildState:
    """The latest that a child said.

    Args:
        heard_at: monotonic seconds.
        place: of its latest datagram.
    """

    start: str
    heard_at: float
    problem: str | None = None
    place: tuple[int, int] = (0, 0)
    gauges: dict[Key, float] = field(default_factory=dict)


class ReportReceiver:
    """Adds what children send to the meter of this process, whose totals outlive them.

    Args:
        seconds: a monotonic clock.
    """

    def __init__(self, meter: ProcessMeter, *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._meter, self._seconds = meter, seconds
        # Only this user may enter it.
        self._folder = Path(tempfile.mkdtemp(prefix="pipeline-metrics-"))
        self.path = self._folder / "socket"
        self._channel = self._bind()
        self._children: dict[int, ChildState] = {}
        self._lock = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="pipeline-metrics-in", daemon=True)

    def start(self) -> None:
        """Start receiving."""
        self._thread.start()

    def stop(self) -> None:
        """Count what was sent until now, and stop."""
        self._is_stopped = True
        if self._thread.is_alive():
            self._thread.join(SEND_SECONDS + 1)
        self.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def close(self) -> None:
        """Close the socket of this process."""
        self._channel.close()

    def heard_at(self, pid: int) -> float | None:
        """Return when a child sent its last report, in monotonic seconds; None if it never did."""
        found = self._children.get(pid)
        return None if found is None else found.heard_at

    def problem(self, pid: int) -> str | None:
        """Return what a child said that is wrong with it."""
        found = self._children.get(pid)
        return None if found is None else found.problem

    def gauges(self) -> dict[Key, float]:
        """Return the gauges of the children that live: the largest value of each."""
        since = self._seconds() - GONE_SECONDS
        found: dict[Key, float] = {}
        with self._lock:
            for child in [each for each in self._children.values() if each.heard_at >= since]:
                for key, value in child.gauges.items():
                    found[key] = max(value, found.get(key, value))
        return found

    def receive(self, datagram: bytes) -> None:
        """Count one datagram, once."""
        try:
            report = decode(datagram)
            with self._lock:
                if self._is_news(report):
                    self._meter.merge(report.counts)
        except (ValueError, KeyError, TypeError):
            # Of another version: the process that serves was not restarted yet.
            return

    def _is_news(self, report: Report) -> bool:
        child = self._children.get(report.pid)
        if child is None or child.start != report.start:
            now = self._seconds()
            # A pool may replace its children all the time. What they counted stays.
            self._children = {pid: each for pid, each in self._children.items() if each.heard_at > now - _KEPT_SECONDS}
            child = self._children[report.pid] = ChildState(report.start, now)
        elif report.place <= child.place:
            return False
        child.place, child.heard_at, child.problem = report.place, self._seconds(), report.problem
        if not report.part:
            child.gauges = report.counts.gauges
        return True

    def _run(self) -> None:
        while True:
            try:
                self.receive(self._channel.recv(2 * MAX_BYTES))
            except TimeoutError:
                if self._is_stopped:
                    return
                self._rebind()
            except OSError:
                return

    def _rebind(self) -> None:
        if not self.path.exists():
            # Somebody cleaned up the folder of temporary files.
            self._channel.close()
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self._channel = self._bind()

    def _bind(self) -> socket.socket:
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        channel.bind(str(self.path))
        channel.settimeout(SEND_SECONDS / 2)
        return channel
