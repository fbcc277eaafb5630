"""Lines about attempts never hold up those who write them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pipeline.telemetry.item_log import MAX_WAITING, ItemLog
from pipeline.telemetry.line_formats import LogFormat
from tests.support.receivers.owed import wait_until

TEXT_FORMAT = "%(levelname)s %(name)s: %(message)s"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        with suppress(OSError):
            os.close(end)


def attempts(number: int) -> list[dict[str, object]]:
    return [{"item": f"b-{position}", "attempt": 1} for position in range(1, number + 1)]


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    log = ItemLog(LogFormat.JSON, TEXT_FORMAT, pipe[1])
    log.put(attempts(300))
    log.close(10)
    os.close(pipe[1])
    with os.fdopen(pipe[0], closefd=False) as reader:
        assert [json.loads(line)["item"] for line in reader] == [f"b-{position}" for position in range(1, 301)]
    assert log.dropped == 0


def test_lines_for_people_look_like_other_lines(pipe: tuple[int, int]) -> None:
    log = ItemLog(LogFormat.TEXT, TEXT_FORMAT, pipe[1])
    log.put(attempts(1))
    log.close(10)
    assert os.read(pipe[0], 1_000) == b"INFO pipeline.items: item_attempt item='b-1' attempt=1\n"


def test_a_pipe_that_nobody_reads_holds_nobody_up(pipe: tuple[int, int], caplog: pytest.LogCaptureFixture) -> None:
    log = ItemLog(LogFormat.JSON, TEXT_FORMAT, pipe[1])
    written = 5 * MAX_WAITING
    for _ in range(5):
        log.put(attempts(MAX_WAITING))
    assert log.dropped >= written - 2 * MAX_WAITING
    log.close(0)
    read, caplog_level = 0, logging.WARNING
    os.set_blocking(pipe[0], False)

    def drain() -> bool:
        nonlocal read
        with suppress(BlockingIOError):
            while data := os.read(pipe[0], 1 << 20):
                read += data.count(b"\n")
        return read + log.dropped == written

    wait_until(drain)
    wait_until(lambda: any("log_lines_dropped" in record.getMessage() for record in caplog.records))
    assert {record.levelno for record in caplog.records} == {caplog_level}
    assert len(caplog.records) == 1


def test_a_closed_standard_error_drops_lines(pipe: tuple[int, int]) -> None:
    os.close(pipe[0])
    log = ItemLog(LogFormat.JSON, TEXT_FORMAT, pipe[1])
    log.put(attempts(10))
    log.close(10)
    assert log.dropped == 10
