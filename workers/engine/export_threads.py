"""The threads of a worker process that write exports, a few at a time, so that a slow target holds up no other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pipeline.context import Context
from pipeline.database.lease_holder import certainly_dead
from pipeline.database.trouble import log_failure
from pipeline.exports.sql import exports
from pipeline.log import get_logger
from workers.engine.periodic import STOP_SECONDS, PeriodicThread

if TYPE_CHECKING:
    from pipeline.exports.run_exports import ExportRunner

log = get_logger(__name__)

#: Seconds between looks for exports with something to do.
LOOK_SECONDS = 0.5
#: Seconds between looks for exports whose worker has died.
WATCH_SECONDS = 5.0
#: Exports that a process writes at the same time. Each holds one part in memory while that is sent.
MOST_AT_ONCE = 4


class ExportThreads:
    """Writes exports until it is stopped. Several processes share the work by leases.

    Args:
        batch_id: only exports of this batch; None: of any.
    """

    def __init__(self, context: Context, batch_id: int | None) -> None:
        self._context = context
        self._batch_id = batch_id
        self._stopping = threading.Event()
        self._dead: list[str] = []
        self._working: dict[int, threading.Thread] = {}
        self._lock = threading.Lock()
        self._runner: ExportRunner | None = None
        self._rounds = PeriodicThread("pipeline-exports", [(LOOK_SECONDS, self._look), (WATCH_SECONDS, self._watch)])

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        """Start no more attempts, and give those under way a moment to end."""
        self._stopping.set()
        self._rounds.stop()
        with self._lock:
            working = list(self._working.values())
        for thread in working:
            thread.join(STOP_SECONDS)

    def _look(self) -> None:
        with self._context.database.read() as connection:
            if not exports.is_any_running(connection, self._batch_id):
                return
        runner = self._start_runner()
        with self._lock:
            leave = list(self._working)
        if len(leave) >= MOST_AT_ONCE:
            return
        for export_id in runner.find_work(self._dead, leave=leave)[: MOST_AT_ONCE - len(leave)]:
            self._start(runner, export_id)

    def _start_runner(self) -> ExportRunner:
        if self._runner is None:
            # Imported here: most processes export nothing.
            from pipeline.exports.run_exports import ExportRunner

            self._runner = ExportRunner(self._context, batch_id=self._batch_id, is_stopped=self._stopping.is_set)
        return self._runner

    def _start(self, runner: ExportRunner, export_id: int) -> None:
        thread = threading.Thread(
            target=self._attempt, args=(runner, export_id), name=f"pipeline-export-{export_id}", daemon=True
        )
        with self._lock:
            self._working[export_id] = thread
        thread.start()

    def _attempt(self, runner: ExportRunner, export_id: int) -> None:
        try:
            runner.run(export_id, self._dead)
        except Exception as error:
            log_failure(log, "export_attempt_broke", error, export=export_id)
        finally:
            with self._lock:
                self._working.pop(export_id, None)
            if not self._stopping.is_set():
                self._rounds.hurry()

    def _watch(self) -> None:
        with self._context.database.read() as connection:
            known = exports.find_holders(connection)
        self._dead = certainly_dead(known - {self._context.worker})
