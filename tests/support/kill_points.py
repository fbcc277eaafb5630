"""A program that embeds pipeline and is killed between two steps of an item's way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pipeline
from pipeline.delivery.sender.slots import SenderSlots
from pipeline.domain.item import Stage
from pipeline.execution import record_thread
from pipeline.execution.dispatch import Dispatcher
from pipeline.execution.micro_batch import MicroBatch
from pipeline.execution.record_thread import RecordThread
from pipeline.execution.stage_runtime import StageRuntime
from tests.support.receiver import SECRET
from tests.support.servers.warm_process import FORKS
from workers.receive.request_group import RequestGroup


def work_until_killed(step: str, database_url: str) -> int | None:
    """Let a process work on what is in a database until it dies at a step. Return its exit code."""
    process = FORKS.Process(target=_work, args=(step, settings_of(database_url)), daemon=True)
    process.start()
    process.join(60)
    process.kill()
    process.join()
    return process.exitcode


def settings_of(database_url: str) -> dict[str, Any]:
    """Return the settings of the program."""
    return {"database_url": database_url, "webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}


def _work(step: str, settings: dict[str, Any]) -> None:
    _DEATHS[step]()
    with pipeline.connect(**settings) as client:
        client.work()
        threading.Event().wait()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_before(owner: type, name: str, when: Callable[..., object] = lambda *_: True) -> None:
    original = vars(owner)[name]

    def step(self: Any, *given: Any, **named: Any) -> Any:
        if when(self, *given):
            _die()
        return original(self, *given, **named)

    setattr(owner, name, step)


def _die_after(owner: type, name: str) -> None:
    original = vars(owner)[name]

    def step(self: Any, *given: Any) -> None:
        original(self, *given)
        _die()

    setattr(owner, name, step)


def _is_at(stage: Stage) -> Callable[..., bool]:
    return lambda batch, *_: batch._stage is stage


def _begin_unwritten() -> None:
    """Die in the next stage while the classification still waits to be written together with its outcome."""
    record_thread.MERGE_SECONDS = 60.0
    _die_before(MicroBatch, "take_on")


def _record_both() -> None:
    """Die when both stages have been committed together."""
    record_thread.MERGE_SECONDS = 60.0
    _die_before(RecordThread, "_finish")


def _publish() -> None:
    """Die with an item that goes through the broker, because there is no place for it here."""
    StageRuntime.take_places = lambda *_: 0  # type: ignore[method-assign]
    _die_before(RequestGroup, "publish_next")


_DEATHS: dict[str, Callable[[], None]] = {
    "released": partial(_die_before, Dispatcher, "_without_recalled", lambda _, messages: messages),
    "claimed": partial(_die_after, MicroBatch, "claim"),
    "classified": partial(_die_before, MicroBatch, "record", _is_at(Stage.CLASSIFY)),
    "enrich begun, classification not stored": _begin_unwritten,
    "classification stored, enrich not begun": partial(_die_before, MicroBatch, "take_on"),
    "enriched": partial(_die_before, MicroBatch, "record", _is_at(Stage.ENRICH)),
    "enrich not published": _publish,
    "recorded": _record_both,
    "not sent": partial(_die_before, SenderSlots, "_send"),
}
