"""Rules of intakes: offsets that sort, what is held back, what a source may be."""

from __future__ import annotations

import pytest

from pipeline.domain.urls.intake_source import (
    OutboxPlace,
    QueuePlace,
    SqsPlace,
    StreamPlace,
    SubjectPlace,
    TopicPlace,
    check_intake_source,
    parse_intake_place,
    split_lines,
)
from pipeline.errors import InvalidArgument, InvalidInput
from pipeline.intakes.rules.bodies import MessageFormat
from pipeline.intakes.rules.limits import Backpressure, RejectRate
from pipeline.intakes.rules.log_offsets import parse_offset, to_text
from pipeline.intakes.rules.stream_ids import FIRST, id_before, offset_after, to_offset

MOST = 2**64 - 1


@pytest.mark.parametrize(
    ("entry", "before"), [("5-3", "5-3"), (f"5-{MOST}", f"5-{MOST}"), ("0-0", "0-0"), ("9", "9-0")]
)
def test_reading_goes_on_behind_the_last_entry(entry: str, before: str) -> None:
    assert id_before(offset_after(entry)) == before


def test_offsets_sort_as_the_entries_do() -> None:
    entries = ["0-0", "0-1", "9-2", "9-10", "10-1", f"{MOST}-{MOST}"]
    offsets = [to_offset(each) for each in entries]
    assert offsets == sorted(offsets)
    assert offsets[0] == FIRST


@pytest.mark.parametrize("entry", ["", "x", "1-x", "-1", "1.5-0", f"{MOST + 1}-0"])
def test_what_is_no_id_is_refused(entry: str) -> None:
    with pytest.raises(InvalidInput, match="is no id of an entry"):
        to_offset(entry)


def test_it_is_held_back_until_half_of_them_are_done() -> None:
    held = Backpressure(10)
    assert [held.update(each) for each in (9, 10, 6, 5, 9, 10)] == [False, True, True, False, False, True]


def test_the_last_thousand_messages_decide() -> None:
    rate = RejectRate(0.5)
    for number in range(999):
        rate.add(number >= 498)
    assert not rate.is_exceeded
    rate.add(True)
    assert (rate.rejected, rate.is_exceeded) == (502, True)
    for _ in range(1_000):
        rate.add(False)
    assert (rate.rejected, rate.is_exceeded) == (0, False)


def test_places_are_what_their_urls_say() -> None:
    stream = parse_intake_place("rediss://h:1/2/a%20b", "x")
    assert stream == StreamPlace("h", 1, True, 2, "a b")
    outbox = parse_intake_place("postgresql://h/shop/public.outbox?mark=taken_at", "x")
    assert outbox == OutboxPlace("h", 5432, "shop", "public", "outbox", "taken_at")
    assert parse_intake_place("kafka://a,b:1/t", "x") == TopicPlace("a:9092,b:1", "t")
    assert parse_intake_place("tls://h/S?filter=t.>", "x") == SubjectPlace("h", 4222, True, "S", "t.>")
    assert parse_intake_place("amqps://h/%2F/q", "x") == QueuePlace("h", 5671, True, "/", "q")
    assert parse_intake_place("sqs://eu-central-1/12/q.fifo", "x") == SqsPlace("eu-central-1", "12", "q.fifo")


@pytest.mark.parametrize(
    ("written", "like", "offset"),
    [
        ("earliest", to_text(7), to_text(0)),
        ("1200", to_text(7), "00000000000000001200"),
        ("earliest", FIRST, FIRST),
        ("5-3", FIRST, to_offset("5-3")),
    ],
)
def test_offsets_are_read_as_those_of_the_source(written: str, like: str, offset: str) -> None:
    assert parse_offset(written, like) == offset


def test_what_is_no_offset_of_a_topic_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is no offset"):
        parse_offset("5-3", to_text(7))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mqtt://h/tickets", "has the scheme 'mqtt'; intakes read kafka://"),
        ("kafka://h:9092", "does not name a topic"),
        ("kafka://h:9092,me:hunter2@h/tickets", "contains a user name or password"),
        ("nats://h/tickets.new", "does not name a stream"),
        ("amqp://h/tickets", "does not name a queue; write amqp://HOST/VHOST/QUEUE"),
        ("sqs://eu-central-1/tickets", "does not name a queue"),
        ("redis://h/tickets", "does not name a stream"),
        ("redis://h/0/s?group=g", "has the parameter 'group'; it takes none"),
        ("postgresql://h/shop", "does not name a table"),
        ("redis://me:hunter2@h/0/s", "contains a user name or password"),
    ],
)
def test_what_cannot_be_read_is_refused(url: str, says: str) -> None:
    with pytest.raises(InvalidArgument, match="SOURCE") as refused:
        check_intake_source(url)
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("body", "reads"),
    [
        (b'{"data": {"text": "a"}}', [{"text": "a"}]),
        (b'{"type": "items.completed", "data": [{"a": 1}, {"a": 2}]}', [{"a": 1}, {"a": 2}]),
        (b'{"dat": {}}', ["it has no field 'data', where --items looks for items"]),
        (b'{"data": [1, {}]}', ["item 1: its field 'data' holds a number; an item is one JSON object", {}]),
        (b'{"data": []}', ["its field 'data' is an empty list"]),
        (b'{"data": null}', ["its field 'data' holds null; an item is one JSON object"]),
    ],
)
def test_items_are_unwrapped(body: bytes, reads: list[object]) -> None:
    parts = MessageFormat(items="data").read(body)
    assert [part.reason if part.payload is None else part.payload for part in parts] == reads


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h/0/s", ("redis://h/0/s", False)),
        ("redis://h/0/s?lines", ("redis://h/0/s", True)),
        ("conn://a/t?mark=x&lines=&b", ("conn://a/t?mark=x&b", True)),
        ("conn://a/t?lines=no", ("conn://a/t?lines=no", False)),
    ],
)
def test_lines_are_asked_for_in_the_url(url: str, expected: tuple[str, bool]) -> None:
    assert split_lines(url) == expected
