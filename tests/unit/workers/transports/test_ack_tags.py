"""Which acknowledgements say, in as few frames as can, what was acknowledged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.transports.rabbitmq.ack_tags import Acknowledgement, AckTags


def opened(*tags: int) -> AckTags:
    made = AckTags()
    for tag in tags:
        made.add(tag)
    return made


def taken(tags: AckTags, *acknowledged: int) -> list[tuple[int, bool]]:
    for tag in acknowledged:
        tags.acknowledge(tag)
    return [(tag, multiple) for tag, multiple in tags.take()]


def test_the_first_that_are_open_are_acknowledged_at_once() -> None:
    assert taken(opened(1, 2, 3, 4), 3, 1, 2) == [(3, True)]


def test_those_behind_one_that_is_still_open_are_acknowledged_alone() -> None:
    assert taken(opened(1, 2, 3, 4, 5), 1, 2, 5, 4) == [(2, True), (4, False), (5, False)]


def test_one_message_is_acknowledged_alone() -> None:
    assert taken(opened(1, 2), 1) == [(1, False)]


def test_what_was_taken_is_not_open_any_more() -> None:
    tags = opened(1, 2, 3)
    assert taken(tags, 1) == [(1, False)]
    assert taken(tags, 2, 3) == [(3, True)]
    assert taken(tags) == []


def test_what_was_settled_otherwise_is_passed_over() -> None:
    tags = opened(1, 2, 3, 4)
    tags.remove(2)
    assert taken(tags, 1, 3) == [(3, True)]


def test_all_up_to_one_may_have_been_settled_otherwise() -> None:
    tags = opened(1, 2, 3, 4, 5)
    tags.remove(3, multiple=True)
    assert taken(tags, 4, 5) == [(5, True)]


def test_everything_may_have_been_settled_otherwise() -> None:
    tags = opened(1, 2, 3)
    tags.remove(0, multiple=True)
    tags.add(4)
    tags.add(5)
    assert taken(tags, 4, 5) == [(5, True)]


def test_messages_that_nobody_told_of_are_never_acknowledged_with_others() -> None:
    tags = opened(1, 2, 4)
    tags.lose_count()
    assert taken(tags, 1, 2, 4) == [(1, False), (2, False), (4, False)]


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=30))
def test_the_server_is_told_of_what_was_acknowledged_and_of_nothing_else(steps: list[tuple[int, bool]]) -> None:
    tags, at_the_server, acknowledged = opened(*range(1, 13)), set(range(1, 13)), set[int]()
    for tag, is_sent in steps:
        if tag not in acknowledged:
            acknowledged.add(tag)
            tags.acknowledge(tag)
        for sent in tags.take() if is_sent else []:
            # RabbitMQ closes the channel where it does not know the number.
            assert sent.tag in at_the_server
            at_the_server -= settled_by(sent, at_the_server)
    for sent in tags.take():
        assert sent.tag in at_the_server
        at_the_server -= settled_by(sent, at_the_server)
    assert at_the_server == set(range(1, 13)) - acknowledged


def settled_by(sent: Acknowledgement, at_the_server: set[int]) -> set[int]:
    return {tag for tag in at_the_server if tag <= sent.tag} if sent.multiple else {sent.tag}
