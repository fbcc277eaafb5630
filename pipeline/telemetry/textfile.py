"""Write a page into a file again and again, for the textfile collector of Prometheus's node exporter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from pipeline.log import get_logger

log = get_logger(__name__)

#: Seconds between two writes.
WRITE_SECONDS = 15.0
#: Seconds between two warnings that the file cannot be written.
WARN_SECONDS = 3600.0


def replace_file(path: Path, content: bytes) -> None:
    """Write a file whole: no reader sees a half one, also after a crash.

    Raises:
        OSError: it cannot be written.
    """
    # No reader takes what does not end in .prom.
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


class TextFile:
    """Writes from `start` to `stop`, and then removes the file: a stopped process has no metrics.

    Args:
        page: returns what to write.
        seconds: a monotonic clock.
    """

    def __init__(self, path: Path, page: Callable[[], bytes], *, seconds: Callable[[], float] = time.monotonic) -> None:
        self._path, self._page, self._seconds = path, page, seconds
        self._warned_at: float | None = None
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="pipeline-metrics-file", daemon=True)

    def start(self) -> None:
        """Write now, and from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Write no more, and remove the file."""
        self._stopping.set()
        self._thread.join(WRITE_SECONDS)
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            self._warn(error)

    def write(self) -> None:
        """Write now. Work goes on if that fails."""
        try:
            replace_file(self._path, self._page())
        except OSError as error:
            self._warn(error)

    def _run(self) -> None:
        while True:
            self.write()
            if self._stopping.wait(WRITE_SECONDS):
                return

    def _warn(self, error: OSError) -> None:
        now = self._seconds()
        if self._warned_at is None or now - self._warned_at >= WARN_SECONDS:
            self._warned_at = now
            log.warning("metrics_file_not_written", path=str(self._path), reason=error.strerror)
