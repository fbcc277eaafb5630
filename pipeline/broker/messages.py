"""The Celery messages that pipeline sends: names of tasks and queues, and what a message says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.domain.item import Stage
from pipeline.execution.dispatch import TaskMessage

#: Names on the wire. They stay the same when modules move.
ITEM_TASKS = {Stage.CLASSIFY: "items.classify", Stage.ENRICH: "items.enrich"}
DELIVER_TASK = "deliveries.send"
DISPATCH_TASK = "control.dispatch"
SWEEP_TASK = "control.sweep"
#: The queue of each task: one per stage, so that items that have started finish first. A worker may serve any of them.
QUEUE_OF = {
    ITEM_TASKS[Stage.CLASSIFY]: "classify",
    ITEM_TASKS[Stage.ENRICH]: "enrich",
    DELIVER_TASK: "deliver",
    DISPATCH_TASK: "control",
    SWEEP_TASK: "control",
}


@dataclass(frozen=True, slots=True)
class Task:
    """A Celery message before it is sent.

    Args:
        chain: the signatures that follow, the next one last.
    """

    name: str
    id: str
    args: tuple[int, ...] = ()
    root_id: str | None = None
    parent_id: str | None = None
    chain: list[dict[str, Any]] | None = None


def item_task(message: TaskMessage) -> Task:
    """Return the task of a released item, with its next stage chained to it."""
    args = (message.id, message.epoch)
    chain = None
    if message.then is not None:
        chain = [
            {
                "task": ITEM_TASKS[message.then],
                "args": list(args),
                "kwargs": {},
                "options": {"task_id": message.next_task_id},
                "subtask_type": None,
                "immutable": True,
            }
        ]
    return Task(name=ITEM_TASKS[message.stage], id=message.task_id, args=args, chain=chain)


def follow(signature: dict[str, Any], rest: list[dict[str, Any]], *, root_id: str | None, parent_id: str) -> Task:
    """Return the task that a chained signature stands for.

    Args:
        rest: the signatures that follow it, the next one last.
        root_id: id of the first task of the chain.
        parent_id: id of the task before this one.
    """
    return Task(
        name=signature["task"],
        id=signature["options"]["task_id"],
        args=tuple(signature["args"]),
        root_id=root_id,
        parent_id=parent_id,
        chain=rest or None,
    )
