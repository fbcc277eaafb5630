"""Messages that are published twice, and such as are not published although the release is committed."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.broker.bulk_publisher import BulkPublisher
from pipeline.broker.messages import Task
from tests.faults.altered.switch import is_on, strikes

#: Of all groups of messages.
CHANCE = 0.3


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
