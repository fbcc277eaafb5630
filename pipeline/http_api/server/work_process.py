"""The process that works on batches beside a server: each byte on standard input wakes it, and its end stops it.

Its argument, if it has one, says where to report metrics.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pipeline.client.connect import open_session
from pipeline.client.session import Session
from pipeline.http_api.server.log_format import configure_logging
from pipeline.http_api.server.show_metrics import report_to
from pipeline.settings import load as load_settings

_STDIN = 0
_CHUNK_BYTES = 65_536


def main() -> None:
    """Work until standard input ends."""
    # What classifiers read must not be what wakes this process.
    wakeups = os.dup(_STDIN)
    os.dup2(os.open(os.devnull, os.O_RDONLY), _STDIN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    configure_logging(logging.INFO)
    metrics = report_to(Path(sys.argv[1]), "worker") if len(sys.argv) > 1 else None
    session = open_session(load_settings())
    try:
        session.work()
        _wake_by(wakeups, session)
    finally:
        session.close(deliver=True)
        if metrics is not None:
            metrics.stop()
    logging.shutdown()
    # A classifier that hangs in a thread would keep the process.
    os._exit(0)


def _wake_by(descriptor: int, session: Session) -> None:
    while os.read(descriptor, _CHUNK_BYTES):
        session.nudge()


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


if __name__ == "__main__":
    main()
