"""Nudges: none is lost, none is published from the caller's thread, and few are published under load."""

from __future__ import annotations

import queue
import threading
from typing import Any

import pytest

from workers.engine import nudge_sender
from workers.engine.nudge_sender import MOST_SECONDS, NudgeSender, pause_after


class Slow:
    """A broker that takes each nudge when it is allowed to."""

    def __init__(self) -> None:
        self.begun: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.may_end = threading.Semaphore(0)

    def nudge(self, name: str) -> None:
        self.begun.put(name)
        self.may_end.acquire()


def test_what_happens_during_a_nudge_is_told_by_one_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: queue.SimpleQueue[int] = queue.SimpleQueue()
    monkeypatch.setattr(nudge_sender, "pause_after", lambda items: pauses.put(items) or 0.0)
    broker: Any = Slow()
    nudges = NudgeSender(broker, "deliveries.send")
    nudges.start()
    nudges.give(3)
    assert broker.begun.get(timeout=10) == "deliveries.send"
    # The broker hangs; callers do not.
    nudges.give(2)
    nudges.give(5)
    broker.may_end.release()
    assert broker.begun.get(timeout=10) == "deliveries.send"
    nudges.stop()
    broker.may_end.release()
    nudges._thread.join(10)
    assert not nudges._thread.is_alive()
    assert broker.begun.empty()
    assert [pauses.get(timeout=10) for _ in range(2)] == [3, 7]


def test_a_nudge_about_few_items_is_soon_followed_by_another_one() -> None:
    assert pause_after(1) < 0.03
    assert pause_after(10) < 0.1


@pytest.mark.parametrize("per_second", [300, 2_000, 20_000])
def test_the_pause_grows_to_its_maximum_at_high_rates(per_second: int) -> None:
    pause = pause_after(1)
    for _ in range(1_000):
        pause = pause_after(int(pause * per_second))
    assert pause == MOST_SECONDS
