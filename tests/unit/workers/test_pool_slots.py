"""Places of a pool."""

from __future__ import annotations

from workers.receive.pool_slots import Slots


def test_slots_are_free_until_as_many_are_taken() -> None:
    slots = Slots(2)
    slots.take()
    assert slots.are_free
    slots.take()
    assert not slots.are_free


def test_a_slot_is_given_back_once_however_often_that_is_said() -> None:
    slots = Slots(1)
    first, second = slots.take(), slots.take()
    first.give_back()
    first.give_back()
    assert not slots.are_free
    second.give_back()
    assert slots.are_free


def test_who_waits_is_called_when_a_slot_is_free_and_only_then() -> None:
    slots, calls = Slots(1), []
    slots.on_free(lambda: calls.append("first"))
    slots.on_free(lambda: calls.append("second"))
    one, more_than_there_are = slots.take(), slots.take()
    one.give_back()
    assert calls == []
    more_than_there_are.give_back()
    assert calls == ["first", "second"]


def test_a_slot_that_the_first_takes_again_is_not_offered_to_the_second() -> None:
    slots, calls = Slots(1), []
    slots.on_free(lambda: calls.append(slots.take()))
    slots.on_free(lambda: calls.append(slots.take()))
    slots.take().give_back()
    assert len(calls) == 1
