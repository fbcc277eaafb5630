"""A received message about an item, as plain values, and the message of the next stage that is chained to it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.broker.messages import Task, follow
from pipeline.execution.sql.releases import Ref


class ItemMessage(NamedTuple):
    """What a message says: which release of which item, its task ids, and the signatures chained to it, the next one
    last. Plain values, so that it can be handed to a child process.
    """

    item: int
    epoch: int
    task_id: str
    root_id: str | None
    chain: list[dict[str, Any]] | None


def refs_of(messages: Iterable[ItemMessage]) -> list[Ref]:
    """Return the releases that messages are about, each once: a message may have been delivered twice."""
    return list(dict.fromkeys(Ref(message.item, message.epoch) for message in messages))


def latest(messages: Sequence[ItemMessage]) -> dict[int, ItemMessage]:
    """Return each item's message; of two about one item, that of the later release: only it can be claimed."""
    return {message.item: message for message in sorted(messages, key=lambda message: message.epoch)}


def next_tasks(messages: Mapping[int, ItemMessage], advanced: Collection[int]) -> list[Task]:
    """Return the tasks chained to the messages of items that advanced to the next stage."""
    return [_next_task(messages[item], chain) for item in advanced if (chain := messages[item].chain)]


def _next_task(message: ItemMessage, chain: list[dict[str, Any]]) -> Task:
    return follow(chain[-1], chain[:-1], root_id=message.root_id, parent_id=message.task_id)
