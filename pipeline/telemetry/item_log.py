"""Lines about attempts at items: many a second, written past the handlers of `logging`, and dropped before they block.

Their cost stays off the threads that do the work, and a pipe that nobody reads stops nothing.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable, Mapping, Sequence
from time import time
from typing import Any

from pipeline.log import get_logger, text_line
from pipeline.telemetry.dropping_queue import DroppingQueue
from pipeline.telemetry.families import LOG_LINES_DROPPED
from pipeline.telemetry.line_formats import LogFormat, LogLine, encode_attempt
from pipeline.telemetry.log_output import open_target
from pipeline.telemetry.meter import process_meter

log = get_logger(__name__)

#: Lines that wait at most.
MAX_WAITING = 10_000
EVENT = "item_attempt"
#: Bytes of one write: a pipe takes so many at once, without those of other processes in between.
_WRITE_BYTES = select.PIPE_BUF if hasattr(select, "PIPE_BUF") else 512
_LOGGER = "pipeline.items"
_BLOCKED_POLL_SECONDS = 1.0


class ItemLog:
    """Writes lines about attempts on its own thread. Make it after any fork.

    Args:
        text_format: `logging`'s format of lines for people.
        target: file descriptor to write to; None: where the other log lines go.
    """

    def __init__(self, log_format: LogFormat, text_format: str, target: int | None = None) -> None:
        self._target = open_target() if target is None else target
        self._encode = _text_encoder(text_format) if log_format is LogFormat.TEXT else _machine_encoder(log_format)
        self._queue = DroppingQueue("pipeline-item-log", MAX_WAITING, self._write, _report)

    @property
    def dropped(self) -> int:
        """Lines dropped so far."""
        return self._queue.dropped

    def put(self, attempts: Sequence[Mapping[str, Any]]) -> None:
        """Write a line for each of these fields of `item_attempt`, soon. Never waits."""
        self._queue.put(attempts)

    def close(self, timeout: float) -> None:
        """Write what waits, within `timeout` seconds."""
        self._queue.close(timeout)

    def _write(self, attempts: Sequence[Mapping[str, Any]]) -> None:
        now = time()
        written = bytearray()
        for fields in attempts:
            line = self._encode(now, fields)
            if written and len(written) + len(line) >= _WRITE_BYTES:
                self._write_bytes(written)
                written = bytearray()
            written += line
            written += b"\n"
        self._write_bytes(written)

    def _write_bytes(self, data: bytes | bytearray) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._target, rest) :]
            except BlockingIOError:
                # Somebody who shares the pipe has made it non-blocking.
                select.select([], [self._target], [], _BLOCKED_POLL_SECONDS)


def _report(dropped: int) -> None:
    process_meter().add(LOG_LINES_DROPPED, (), dropped)
    log.warning("log_lines_dropped", lines=dropped)


def _machine_encoder(log_format: LogFormat) -> Callable[[float, Mapping[str, Any]], bytes]:
    return lambda now, fields: encode_attempt(LogLine(now, "info", _LOGGER, EVENT, fields), log_format)


def _text_encoder(text_format: str) -> Callable[[float, Mapping[str, Any]], bytes]:
    text_formatter = logging.Formatter(text_format)

    def encode(now: float, fields: Mapping[str, Any]) -> bytes:
        record = logging.LogRecord(_LOGGER, logging.INFO, "", 0, text_line(EVENT, fields), None, None)
        record.created, record.msecs = now, now % 1 * 1000
        return text_formatter.format(record).encode("utf-8", "replace")

    return encode
