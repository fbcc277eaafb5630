"""What processes the batches that are submitted to this server: a process beside it, or workers elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from pipeline.http_api.server.supervised_process import RestartPolicy, SupervisedProcess
from pipeline.settings import Settings

#: Seconds that the process may take to stop beyond what its work may.
_STOP_MARGIN_SECONDS = 1.0


class WorkProcess:
    """One process that works on the same database, where no broker is set.

    What a classifier does to its process, such as computing for long, hanging or crashing, does not touch the server.

    Args:
        report_to: where it reports what it counts; None: it counts nothing.
    """

    def __init__(
        self, settings: Settings, *, policy: RestartPolicy | None = None, report_to: Path | None = None
    ) -> None:
        reported = [] if report_to is None else [str(report_to)]
        command = [sys.executable, "-m", "pipeline.http_api.server.work_process", *reported]
        self._process = SupervisedProcess("work", command, policy=policy)
        self._stop_seconds = settings.stop_seconds + _STOP_MARGIN_SECONDS

    def start(self) -> None:
        """Start it."""
        self._process.start()

    def wake(self) -> None:
        self._process.write(b"\n")

    def problem(self) -> str | None:
        return self._process.trouble()

    def ask_to_stop(self) -> None:
        """Let it hand back what it has not finished, and end. Does not wait."""
        self._process.ask_to_stop()

    def stop(self) -> None:
        """Do that, and wait; kill it if it takes too long."""
        self._process.stop(self._stop_seconds)

    def kill(self) -> None:
        """End it at once; what it held is taken back when its leases end."""
        self._process.kill()


class WorkPipe:
    """The work process of the parent of this process, which it shares with its siblings.

    Args:
        descriptor: of a pipe on which the parent is told to wake it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._problem: str | None = None
        os.set_blocking(descriptor, False)

    def wake(self) -> None:
        # Full: it is woken anyway. Broken: the parent ends.
        with suppress(OSError):
            os.write(self._descriptor, b"\n")

    def problem(self) -> str | None:
        return self._problem

    def tell(self, problem: str) -> None:
        """Remember what the parent says; nothing: all is well."""
        self._problem = problem or None


class BrokerWork:
    """Workers elsewhere, which are woken through the broker."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_wanted = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pipeline-wake", daemon=True)

    def start(self) -> None:
        """Start the thread that talks to the broker."""
        self._thread.start()

    def wake(self) -> None:
        self._is_wanted.set()

    def problem(self) -> str | None:
        return None

    def _run(self) -> None:
        # Imported here: Celery takes long to import, and the server need not wait for it.
        from pipeline.broker.publisher import wake_dispatcher

        while True:
            self._is_wanted.wait()
            self._is_wanted.clear()
            # Without it, work starts with the dispatcher's next look.
            wake_dispatcher(self._settings)
