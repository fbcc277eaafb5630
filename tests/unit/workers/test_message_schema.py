"""Messages of items: the quick check of what pipeline publishes accepts nothing that the models refuse."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.broker.messages import item_task
from pipeline.domain.item import Stage
from pipeline.execution.dispatch import TaskMessage
from workers.receive import message_schema
from workers.receive.message_schema import Malformed, check_item

JUNK: list[Any] = [
    None, True, 0, -1, 2**63, 1.0, "", "items.enrich", "control.sweep", [], [1], [1, 1], [1.0, 1], {}, {"chain": 1},
]  # fmt: skip


def published() -> tuple[dict[str, Any], Any]:
    """Return headers and body of a message as they arrive."""
    task = item_task(TaskMessage(2**32 + 7, 3, "0123456789abcdef-7", Stage.CLASSIFY, Stage.ENRICH))
    headers = {"task": task.name, "id": task.id, "root_id": task.id, "parent_id": None}
    embedded = {"callbacks": None, "errbacks": None, "chain": task.chain, "chord": None}
    found: tuple[dict[str, Any], Any] = tuple(orjson.loads(orjson.dumps([headers, [task.args, {}, embedded]])))
    return found


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every part of a JSON value."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list | tuple) else ()
    return [path, *(found for key in keys for found in places(value[key], (*path, key)))]


PLACES = [path for path in places(published()) if path]


def changed(path: tuple[Any, ...], junk: Any) -> tuple[dict[str, Any], Any]:
    """Return the message with something else in one place."""
    message = list(published())
    *way, last = path
    part: Any = message
    for key in way:
        part = part[key]
    part[last] = copy.deepcopy(junk)
    return message[0], message[1]


def is_accepted_by_models(headers: Any, body: Any) -> bool:
    try:
        message_schema._check("headers", message_schema._headers, headers)
        message_schema._check("body", message_schema._of_item, body)
    except Malformed:
        return False
    return True


def test_what_pipeline_publishes_is_seen_at_a_glance() -> None:
    assert message_schema._is_as_published(*published())


@given(st.sampled_from(PLACES), st.sampled_from(JUNK))
@example((1, 2, "chain"), {})
@example((1, 0, 0), True)
def test_the_glance_accepts_nothing_that_the_models_refuse(path: tuple[Any, ...], junk: Any) -> None:
    message = changed(path, junk)
    if message_schema._is_as_published(*message):
        assert is_accepted_by_models(*message)


@given(st.sampled_from(PLACES), st.sampled_from(JUNK))
def test_a_message_is_accepted_exactly_if_the_models_accept_it(path: tuple[Any, ...], junk: Any) -> None:
    message = changed(path, junk)
    if is_accepted_by_models(*message):
        check_item(*message)
    else:
        with pytest.raises(Malformed):
            check_item(*message)
