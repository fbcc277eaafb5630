"""A process that dies, hangs or works is a real one here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.http_api.server.supervised_process import RestartPolicy, SupervisedProcess
from tests.support.asgi_server import HANG_SECONDS, wait_until

AT_ONCE = RestartPolicy(first_seconds=0.0)


def supervised(script: str) -> SupervisedProcess:
    return SupervisedProcess("work", [sys.executable, "-c", script], policy=AT_ONCE)


def test_a_process_that_keeps_dying_is_started_again_and_said_to_be_in_trouble(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    process = supervised(f"open({str(starts)!r}, 'a').write('x'); raise SystemExit(3)")
    assert process.trouble() is None
    process.start()
    wait_until(lambda: process.trouble() is not None)
    trouble = process.trouble()
    assert trouble is not None
    assert trouble.startswith("the work process died 3 times within 60 s, the last time with exit code 3")
    wait_until(lambda: len(starts.read_text()) > 3)
    process.stop(HANG_SECONDS)


def test_a_process_is_told_to_stop_by_the_end_of_its_input(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    process = supervised(f"import sys; data = sys.stdin.read(); open({str(heard)!r}, 'w').write(data)")
    process.start()
    wait_until(lambda: process._process is not None)
    process.write(b"wake\n")
    process.stop(HANG_SECONDS)
    assert heard.read_text() == "wake\n"
    assert process.trouble() is None


@pytest.mark.parametrize("script", ["import signal, time\nwhile True: signal.pause()"])
def test_a_process_that_does_not_stop_is_killed(script: str) -> None:
    process = supervised(script)
    process.start()
    wait_until(lambda: process._process is not None)
    process.stop(0.05)
    assert process._process is not None
    assert process._process.returncode == -9


def test_what_a_process_does_not_read_is_not_waited_for() -> None:
    process = supervised("import signal\nsignal.pause()")
    process.start()
    wait_until(lambda: process._process is not None)
    for _ in range(10):
        process.write(b"x" * 65_536)
    process.stop(0.05)


def test_pauses_grow_up_to_a_bound() -> None:
    assert [RestartPolicy().pause(deaths) for deaths in (1, 2, 3, 6, 100)] == [1, 2, 4, 30, 30]
