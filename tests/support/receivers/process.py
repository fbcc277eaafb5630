"""A sender that is a process of its own, so that it can be stopped and killed.

python -m tests.support.receivers.process DATABASE_URL [SECONDS]    sends until SIGTERM, then gives what is in flight
SECONDS and prints the CPU seconds it took
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from pipeline.database.engine import Database
from pipeline.database.lease_holder import new_holder
from tests.support.receivers.owed import make_sender
from tests.support.servers.warm_process import FORKS
from workers.garbage_collector import calm

#: Beyond the longest patience of a test.
STOP_SECONDS = 60.0


class SenderProcess:
    """Runs a sender from here to `stop` or `kill`; returns when it is about to claim."""

    def __init__(self, database_url: str, *, patience: float = 20.0) -> None:
        ready, tells = FORKS.Pipe(duplex=False)
        self.process: BaseProcess = FORKS.Process(
            target=_run_and_tell, args=(database_url, patience, tells), daemon=True
        )
        self.process.start()
        tells.close()
        ready.recv()
        ready.close()

    def kill(self) -> None:
        """End it as the end of its machine would."""
        self.process.kill()
        self.process.join()

    def stop(self) -> int | None:
        """Send SIGTERM and return how it ended; None where it did not, and was killed."""
        self.process.terminate()
        self.process.join(STOP_SECONDS)
        ended = self.process.exitcode
        self.kill()
        return ended


def _run_and_tell(database_url: str, patience: float, tells: Connection) -> None:
    _run(database_url, patience, lambda: tells.send(None))


def _run(database_url: str, patience: float, started: Callable[[], None] = lambda: None) -> float:
    """Send what is owed, as a worker does, until SIGTERM; return the CPU seconds it took."""
    # Waited for, and not handled: a handler that sets an event can meet the main thread with the event's lock in hand.
    # Blocked before any thread starts, since each takes over what is.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    calm()
    database, begun = Database(database_url), time.process_time()
    sender = make_sender(database, worker=new_holder())
    sender.start()
    started()
    signal.sigwait({signal.SIGTERM})
    sender.stop(patience)
    database.close()
    return time.process_time() - begun


if __name__ == "__main__":
    print(_run(sys.argv[1], float((*sys.argv[2:], 20)[0])))
