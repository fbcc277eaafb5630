"""Public ids: built, split again, and told from other text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.ids import (
    MAX_POSITION,
    TaskIdParts,
    is_batch_prefix,
    item_id,
    new_batch_id,
    split_item_id,
    split_task_id,
    task_id,
    webhook_id,
)


@given(st.integers(1, MAX_POSITION), st.integers(1, 10**6), st.sampled_from(["classify", "enrich"]))
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


def test_a_position_is_one_that_an_item_can_have() -> None:
    """A higher one would be an item of another batch."""
    assert split_item_id(f"abc-{MAX_POSITION}") == ("abc", MAX_POSITION)
    for position in (0, MAX_POSITION + 1, "9" * 5_000, "01", "+1", " 1", "1_0", "²", "１", ""):
        assert split_item_id(f"abc-{position}") is None
        assert split_task_id(f"abc-{position}-classify-1") is None


def test_a_prefix_of_a_batch_id_has_its_characters() -> None:
    batch = new_batch_id()
    assert all(is_batch_prefix(batch[:length]) for length in range(1, len(batch) + 1))
    for text in ("", f"{batch}0", "T", "l", "%", "_", "é", "\udce9", "0" * 100_000):
        assert not is_batch_prefix(text)
