"""Public ids: built, split again, and told from other text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.ids import (
    TaskIdParts,
    item_id,
    new_batch_id,
    split_item_id,
    split_task_id,
    task_id,
    webhook_id,
)


@given(position=st.integers(1, 2**32), epoch=st.integers(1, 10**6), stage=st.sampled_from(["classify", "enrich"]))
def test_a_task_id_names_item_stage_and_epoch(position: int, epoch: int, stage: str) -> None:
    batch = new_batch_id()
    item = item_id(batch, position)
    assert split_item_id(item) == (batch, position)
    assert split_task_id(task_id(item, stage, epoch)) == TaskIdParts(item, stage, epoch)


@given(st.text())
def test_any_text_is_either_split_or_rejected(text: str) -> None:
    split = split_item_id(text)
    assert split is None or isinstance(split[1], int)
    assert split_task_id(text) is None or text.count("-") >= 3


def test_a_webhook_id_is_valid_in_standard_webhooks() -> None:
    first, second = webhook_id("0123456789abcdef", 1), webhook_id("0123456789abcdef", 2)
    assert first != second
    assert sorted([second, first]) == [first, second]
    assert first.startswith("msg_")
    assert 26 <= len(first.removeprefix("msg_")) <= 32
    assert first.removeprefix("msg_").isalnum()
