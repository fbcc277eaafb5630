"""Messages of items, and what is chained to them."""

from __future__ import annotations

from typing import Any

from pipeline.broker.messages import Task
from pipeline.execution.sql.releases import Ref
from workers.engine.item_message import ItemMessage, latest, next_tasks, refs_of


def signature(item: int, epoch: int) -> dict[str, Any]:
    return {"task": "items.enrich", "args": [item, epoch], "options": {"task_id": f"enrich-{item}-{epoch}"}}


def message(item: int, epoch: int, *, is_chained: bool = True) -> ItemMessage:
    chain = [signature(item, epoch)] if is_chained else None
    return ItemMessage(item, epoch, f"classify-{item}-{epoch}", f"root-{item}", chain)


def test_a_release_whose_message_came_twice_is_named_once() -> None:
    assert refs_of([message(1, 1), message(2, 1), message(1, 1), message(1, 2)]) == [Ref(1, 1), Ref(2, 1), Ref(1, 2)]


def test_of_two_messages_about_an_item_the_later_release_counts_whichever_came_first() -> None:
    late, newest, other = message(1, 1), message(1, 2), message(2, 1)
    assert latest([newest, other, late]) == latest([late, other, newest]) == {1: newest, 2: other}


def test_only_what_is_chained_to_items_that_advanced_follows() -> None:
    messages = latest([message(1, 3), message(2, 1), message(3, 1, is_chained=False)])
    assert next_tasks(messages, [1, 3]) == [
        Task("items.enrich", "enrich-1-3", (1, 3), root_id="root-1", parent_id="classify-1-3", chain=None)
    ]


def test_the_rest_of_a_longer_chain_travels_on() -> None:
    last, following = signature(1, 1) | {"task": "items.classify"}, signature(1, 1)
    given = ItemMessage(1, 1, "first", None, [last, following])
    (task,) = next_tasks({1: given}, [1])
    assert (task.name, task.chain) == ("items.enrich", [last])
