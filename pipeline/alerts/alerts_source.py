"""What `PIPELINE_ALERTS` says now: the file is read again after it changed, without a restart."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from pipeline.alerts.alerts_file import read_alerts
from pipeline.alerts.rules.channel import AlertSettings
from pipeline.errors import InvalidSettings
from pipeline.log import get_logger

log = get_logger(__name__)

#: Seconds after which a change of the file is seen.
CHECK_SECONDS = 5.0


class AlertsSource:
    """Gives the settings of alerts. Usable from any thread.

    A file that became unreadable changes nothing but the log: the last good one stays.

    Args:
        path: the file; None: there is none.
        can_sign: whether there is a secret that signs webhooks.

    Raises:
        InvalidSettings: the file cannot be used.
    """

    def __init__(self, path: Path | None, *, can_sign: bool) -> None:
        self._path = path
        self._can_sign = can_sign
        self._lock = threading.Lock()
        self._stamp = self._read_stamp()
        self._checked_at = time.monotonic()
        self._settings = AlertSettings() if path is None else read_alerts(path, can_sign=can_sign)

    @property
    def is_configured(self) -> bool:
        """Whether there is a file."""
        return self._path is not None

    def current(self) -> AlertSettings:
        """Return the settings of the file as it is now, or was a few seconds ago."""
        if self._path is None or time.monotonic() - self._checked_at < CHECK_SECONDS:
            return self._settings
        with self._lock:
            self._checked_at = time.monotonic()
            stamp = self._read_stamp()
            if stamp != self._stamp:
                self._stamp = stamp
                self._reread(self._path)
        return self._settings

    def _reread(self, path: Path) -> None:
        try:
            self._settings = read_alerts(path, can_sign=self._can_sign)
            log.info("alerts_reread", path=str(path))
        except InvalidSettings as error:
            log.error("alerts_not_readable", error=str(error))

    def _read_stamp(self) -> tuple[int, int, int] | None:
        try:
            status = None if self._path is None else self._path.stat()
        except OSError:
            return None
        return None if status is None else (status.st_mtime_ns, status.st_size, status.st_ino)
