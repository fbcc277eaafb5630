"""Tasks that the consumer's thread runs itself: nudges, which only wake the engine's threads in the same process.

In a pool they would wait behind micro-batches, and a child of a prefork pool has neither dispatcher nor sender to wake.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from celery import Task
from celery.worker.request import Request

from workers.engine.periodic import guarded
from workers.receive.finish_requests import finish_request
from workers.receive.message_receiver import MessageReceiver
from workers.receive.message_schema import check_nudge


class InlineTask(Task):
    """A task without arguments that takes next to no time, so it delays nothing."""

    abstract = True
    Strategy = "workers.receive.inline_task:strategy"


def strategy(task: InlineTask, app: Any, consumer: Any, **_: Any) -> Callable[..., None]:
    """Return the handler of this task's messages."""
    receiver = MessageReceiver(task, consumer, check_nudge)

    def handle(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **_: Any) -> None:
        request = receiver.receive(message, callbacks)
        if request is not None:
            _run(request)

    return handle


def _run(request: Request) -> None:
    began = time.monotonic()
    request.on_accepted(os.getpid(), began)
    guarded(request.task.run)
    finish_request(request, "task-succeeded", result="None", runtime=time.monotonic() - began)
