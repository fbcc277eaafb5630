from __future__ import annotations

import threading
from collections.abc import Sequence

from pipeline.domain.item import Stage
from pipeline.services.record import Settled, Settlement
from pipeline.services.recorder import Settle
from pipeline.services.suspects import COMPANY, Suspects, groups
from pipeline.storage.releases import Ref


def test_suspects_of_one_crash_run_in_company_and_those_of_more_alone() -> None:
    refs = [Ref(number, 1) for number in range(100)]
    crashes = {ref.id: 2 if ref.id in (5, 50) else 1 for ref in refs}
    divided = list(groups(refs, crashes))
    assert [len(group) for group in divided] == [COMPANY, COMPANY, COMPANY, 2, 1, 1]
    assert divided[-2:] == [[refs[5]], [refs[50]]]
    assert sorted(ref for group in divided for ref in group) == refs


def test_one_group_ends_before_the_next_begins() -> None:
    begun: list[int] = []
    settling: list[Settle] = []
    second_began, all_settled = threading.Event(), threading.Event()
    settled: list[int] = []

    def run(_stage: Stage, refs: Sequence[Ref], settle: Settle) -> None:
        begun.extend(ref.id for ref in refs)
        settling.append(settle)
        if len(begun) == 1:
            threading.Thread(target=lambda: settle({refs[0].id: Settled(Settlement.SUCCEEDED)})).start()
        else:
            second_began.set()
            settle({refs[0].id: Settled(Settlement.DEAD)})

    def note(ends: dict[int, Settled]) -> None:
        settled.extend(ends)
        if len(settled) == 2:
            all_settled.set()

    Suspects(run).put(Stage.CLASSIFY, [Ref(1, 1), Ref(2, 1)], {1: 2, 2: 2}, note)  # type: ignore[arg-type]
    assert second_began.wait(10)
    assert all_settled.wait(10)
    assert begun == settled
    assert sorted(begun) == [1, 2]


def test_those_of_the_fewest_crashes_go_first_and_the_order_of_equals_changes() -> None:
    orders = {_order({1: 3, 2: 2, 3: 2, 4: 2, 5: 1}) for _ in range(50)}
    assert {(order[0], order[-1]) for order in orders} == {(5, 1)}
    assert len(orders) > 1


def _order(crashes: dict[int, int]) -> tuple[int, ...]:
    """Return the order in which items run that arrive while another one is running."""
    order: list[int] = []
    begun, all_are_in, ended = threading.Event(), threading.Event(), threading.Event()

    def run(_stage: Stage, refs: Sequence[Ref], settle: Settle) -> None:
        begun.set()
        assert all_are_in.wait(10)
        order.extend(ref.id for ref in refs)
        settle({ref.id: Settled(Settlement.SUCCEEDED) for ref in refs})
        if len(order) == len(crashes) + 1:
            ended.set()

    suspects = Suspects(run)
    suspects.put(Stage.CLASSIFY, [Ref(0, 1)], {0: 1}, lambda _: None)
    assert begun.wait(10)
    suspects.put(Stage.CLASSIFY, [Ref(id_, 1) for id_ in crashes], crashes, lambda _: None)
    all_are_in.set()
    assert ended.wait(10)
    return tuple(order[1:])


def test_a_group_that_cannot_be_run_does_not_hold_up_the_next() -> None:
    ran = threading.Event()

    def run(_stage: Stage, refs: Sequence[Ref], settle: Settle) -> None:
        if refs[0].id == 1:
            raise ConnectionError("no database")
        settle({refs[0].id: Settled(Settlement.SUCCEEDED)})
        ran.set()

    Suspects(run).put(Stage.CLASSIFY, [Ref(1, 1), Ref(2, 1)], {1: 2, 2: 3}, lambda _: None)
    assert ran.wait(10)
