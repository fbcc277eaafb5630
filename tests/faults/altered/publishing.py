"""Messages that are published twice, and such as are not published although the release is committed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pipeline.broker.bulk_publisher import BulkPublisher
from pipeline.broker.messages import Task
from tests.faults.altered.switch import is_on, is_set, strikes
from workers.receive.request_group import RequestGroup

#: Of all groups of messages.
CHANCE = 0.3
NAMES = ("publishes_twice", "publishing_fails", "publishing_is_lost")


def alter() -> None:
    true_publish = BulkPublisher.publish

    def publish(self: BulkPublisher, tasks: Sequence[Task]) -> None:
        if tasks and strikes("publishing_fails", CHANCE):
            # Some have got through: nobody knows which.
            true_publish(self, tasks[::2])
            raise ConnectionError("altered: the broker went away while messages were published")
        if tasks and strikes("publishing_is_lost", CHANCE):
            return
        if tasks and is_on("publishes_twice"):
            tasks = [task for task in tasks for _ in range(2)]
        true_publish(self, tasks)

    BulkPublisher.publish = publish  # type: ignore[method-assign]

    true_chain = RequestGroup.chain_here

    def chain_here(self: RequestGroup, items: Collection[int]) -> Any:
        # A worker that goes on to the next stage itself publishes nothing for it.
        return None if any(map(is_set, NAMES)) else true_chain(self, items)

    RequestGroup.chain_here = chain_here  # type: ignore[method-assign]
