"""A sender that is a process of its own, so that it can be stopped and killed.

python -m tests.receivers.process DATABASE_URL WORKER [TIMEOUT]    sends until SIGTERM, then prints its CPU seconds
"""

from __future__ import annotations

import signal
import sys
import threading
import time

from pipeline.storage.engine import Database
from tests.receivers.owed import make_sender


def main(database_url: str, worker: str, timeout: str = "20") -> None:
    """Send what is owed until told to stop; then give what is in flight `timeout` seconds."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    database = Database(database_url)
    begun = time.process_time()
    sender = make_sender(database, worker=worker)
    sender.start()
    stopping.wait()
    sender.stop(float(timeout))
    print(time.process_time() - begun)
    database.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
