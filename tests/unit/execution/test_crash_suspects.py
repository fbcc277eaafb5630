from __future__ import annotations

import pytest

from pipeline.execution.rules.crash_suspects import MAX_TOGETHER, admit_suspects


@pytest.mark.parametrize(
    ("waiting", "under_way", "number"),
    [
        ([], {}, 0),
        ([1] * 5, {}, 5),
        ([1] * 100, {}, MAX_TOGETHER),
        ([1] * 5, {1: MAX_TOGETHER - 2}, 2),
        ([1] * 5, {1: MAX_TOGETHER}, 0),
        # Those of more crashes run when no other suspect does, one at a time.
        ([2, 2, 3], {}, 1),
        ([2, 2, 3], {1: 1}, 0),
        ([2, 2, 3], {2: 1}, 0),
        ([3], {}, 1),
        # Nobody joins one that is to be alone.
        ([1] * 5, {2: 1}, 0),
        ([1, 1, 2, 2], {}, 2),
    ],
)
def test_suspects_of_one_crash_run_in_company_and_those_of_more_alone(
    waiting: list[int], under_way: dict[int, int], number: int
) -> None:
    assert admit_suspects(waiting, under_way) == number
