"""What is accepted is accepted once, whatever is killed between the transaction and the answer to the source."""

from __future__ import annotations

import random
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select

from pipeline.batches.submission import Submission
from pipeline.context import Context
from pipeline.database.row import rows
from pipeline.database.tables import deliveries, events
from pipeline.intakes import intakes
from pipeline.intakes.accept import Accepted, UnknownMessage, accept
from pipeline.intakes.roll import seal
from pipeline.intakes.rules.messages import Chunk, IntakeMessage, OffsetRange
from pipeline.intakes.rules.options import IntakeOptions
from pipeline.intakes.sql import open_batches
from tests.support.exporting import finish_items
from tests.support.intaking import (
    body,
    by_ids,
    by_offsets,
    make_intake,
    make_submission,
    offset,
    stored_batches,
    stored_texts,
)


class Killed(Exception):
    """The process dies before the commit."""


@pytest.fixture
def intake(context: Context, submission: Submission) -> int:
    return make_intake(context, submission)


def test_a_range_that_comes_again_is_dropped(context: Context, submission: Submission, intake: int) -> None:
    assert accept(context, intake, submission, by_offsets(1, 6)).items == 5
    assert accept(context, intake, submission, by_offsets(1, 6)) == Accepted(refused=[], duplicates=5)
    assert accept(context, intake, submission, by_offsets(3, 9)).items == 3
    assert stored_texts(context) == [f"message {each}" for each in range(1, 9)]
    (batch,) = stored_batches(context)
    assert (batch["state"], batch["total"], batch["last_position"]) == ("open", 8, 8)
    found = intakes.details(context, "tickets", 10)
    assert (found["accepted"], found["duplicates"], found["positions"]) == (8, 8, {"0": offset(9)})


def test_nothing_is_written_behind_a_chunk_that_failed(
    context: Context, submission: Submission, intake: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(context, intake, submission, by_offsets(1, 4))
    with monkeypatch.context() as patched:
        patched.setattr(open_batches, "grow", _die)
        with pytest.raises(Killed):
            accept(context, intake, submission, by_offsets(4, 7))
    # The next chunk of the same reader would leave a hole.
    assert accept(context, intake, submission, by_offsets(7, 9)).go_back == {"0": offset(4)}
    assert len(stored_texts(context)) == 3
    assert accept(context, intake, submission, by_offsets(4, 9)).items == 5


def _die(*_: object) -> bool:
    raise Killed


def test_two_consumers_of_a_partition_with_kills_accept_each_message_once(
    context: Context, submission: Submission, intake: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = random.Random(7)
    grow = open_batches.grow

    def grow_or_die(*arguments: object) -> bool:
        return _die() if lot.random() < 0.2 else grow(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(open_batches, "grow", grow_or_die)
    stands = [1, 1]
    while min(stands) < 61:
        reader = lot.randrange(2)
        start, end = stands[reader], min(stands[reader] + lot.randint(1, 7), 61)
        if start == end:
            continue
        try:
            accepted = accept(context, intake, submission, by_offsets(start, end))
        except Killed:
            # Every other one goes on as if nothing had happened; the others start again from the first message.
            stands[reader] = end if lot.random() < 0.5 else 1
            continue
        back = accepted.go_back.get("0")
        # Killed between the commit and the answer to the source: it reads the range again.
        stands[reader] = int(back) if back else start if lot.random() < 0.2 else end
    assert stored_texts(context) == [f"message {each}" for each in range(1, 61)]
    (batch,) = stored_batches(context)
    assert batch["total"] == 60


def test_messages_with_ids_are_accepted_in_any_order(context: Context, submission: Submission, intake: int) -> None:
    assert accept(context, intake, submission, by_ids([4, 5, 6])).items == 3
    # A neighbour that shares the queue comes later with earlier messages, and with one that was redelivered.
    assert accept(context, intake, submission, by_ids([1, 5, 2, 2])) == Accepted(2, [False, False], 2)
    assert sorted(stored_texts(context)) == [f"message {each}" for each in (1, 2, 4, 5, 6)]


def test_poison_is_kept_and_stops_nothing(context: Context, tmp_path: Path) -> None:
    submission = make_submission(tmp_path, input={"text": "text", "key": "id"})
    intake = make_intake(context, submission)
    bodies = [b'{"id": 1, "text": "a"}', b"\xff", b"[1]", None, b'{"id": 2}', b'{"id": 1, "text": "b"}']
    messages = [IntakeMessage(each, "0", offset(number)) for number, each in enumerate(bodies, 1)]
    chunk = Chunk(messages, (OffsetRange("0", offset(1), offset(7)),))
    accepted = accept(context, intake, submission, chunk)
    assert accepted.items == 1
    assert list(accepted.refused) == [False, True, True, True, True]
    again = accept(context, intake, submission, Chunk(
        [IntakeMessage(b'{"id": 1, "text": "c"}', "0", offset(7))], (OffsetRange("0", offset(7), offset(8)),)
    ))  # fmt: skip
    assert again.items == 0
    found = intakes.details(context, "tickets", 10)
    assert (found["rejected"], found["skipped"], found["positions"]) == (5, 1, {"0": offset(8)})
    reasons = [each["reason"] for each in reversed(found["rejects"])]
    assert "is not JSON" in reasons[0]
    assert reasons[1] == "it is a list; a message is one JSON object"
    assert "has no field 'text'" in reasons[2]
    assert "its key '1' is also the key of another item" in reasons[3]
    assert "its key '1' is also the key of another item" in reasons[4]
    assert [each["offset"] for each in reversed(found["rejects"])] == [offset(each) for each in (2, 3, 5, 6, 7)]


def test_messages_that_are_all_refused_open_no_batch(context: Context, submission: Submission, intake: int) -> None:
    chunk = Chunk([IntakeMessage(b"no", "0", offset(1))], (OffsetRange("0", offset(1), offset(2)),))
    assert accept(context, intake, submission, chunk).refused == [True]
    assert stored_batches(context) == []


def test_a_paused_intake_accepts_nothing(context: Context, submission: Submission, intake: int) -> None:
    accept(context, intake, submission, by_offsets(1, 3))
    intakes.pause(context, "tickets")
    assert accept(context, intake, submission, by_offsets(3, 5)).is_stopped
    assert [batch["state"] for batch in stored_batches(context)] == ["running"]
    intakes.resume(context, "tickets")
    assert accept(context, intake, submission, by_offsets(3, 5)).items == 2
    assert [batch["total"] for batch in stored_batches(context)] == [2, 2]


def test_another_definition_begins_another_batch(
    context: Context, submission: Submission, intake: int, tmp_path: Path
) -> None:
    accept(context, intake, submission, by_offsets(1, 3))
    other = make_submission(tmp_path, name="other")
    assert make_intake(context, other) == intake
    accept(context, intake, other, by_offsets(3, 5))
    first, second = stored_batches(context)
    assert (first["state"], second["state"]) == ("running", "open")
    assert first["definition_id"] != second["definition_id"]


def test_a_rewound_intake_accepts_messages_again(context: Context, submission: Submission, intake: int) -> None:
    accept(context, intake, submission, by_offsets(1, 4))
    intakes.rewind(context, "tickets", "2")
    assert accept(context, intake, submission, by_offsets(4, 5)).go_back == {"0": offset(2)}
    assert accept(context, intake, submission, by_offsets(2, 5)).items == 3


def tell(number: int, **fields: object) -> IntakeMessage:
    return IntakeMessage(orjson.dumps({"text": "a", **fields}), message_id=f"m{number}")


def test_a_rejected_message_is_an_event_that_its_receiver_is_owed(context: Context, submission: Submission) -> None:
    url = "https://hooks.example/rejected"
    intake = make_intake(context, submission, reject_to=url)
    options = IntakeOptions(reject_to=url)
    chunk = Chunk([IntakeMessage(b"\xff", "0", offset(1))], (OffsetRange("0", offset(1), offset(2)),))
    assert accept(context, intake, submission, chunk, options).refused == [True]
    # It opens a batch: there is no event without one.
    (batch,) = stored_batches(context)
    assert (batch["state"], batch["total"]) == ("open", 0)
    assert accept(context, intake, submission, chunk, options).duplicates == 1
    accept(context, intake, submission, by_offsets(2, 4), options)
    finish_items(context, batch["id"], [1, 2])
    seal(context, intake, batch["id"])
    with context.database.read() as connection:
        log = rows(connection.execute(select(events).order_by(events.c.seq)))
        owed = rows(connection.execute(select(deliveries)))
    assert [row["type"] for row in log] == ["item.rejected", "item.completed", "item.completed", "batch.completed"]
    assert [(row["seq"], row["url"]) for row in owed] == [(1, url)]
    found = orjson.loads(log[0]["body"])["data"]
    assert found["reason"].startswith("it is not JSON")
    assert found == {
        "batch_id": batch["public_id"], "seq": 1, "intake": "tickets", "source": "redis://h:6379/0/s",
        "partition": "0", "offset": offset(1), "message_id": None, "reason": found["reason"], "body": "/w==",
        "encoding": "base64",
    }  # fmt: skip


def test_a_message_without_an_id_is_known_by_its_key_or_not_taken(
    context: Context, submission: Submission, tmp_path: Path
) -> None:
    intake = make_intake(context, submission)
    nameless = Chunk([IntakeMessage(body(1)), IntakeMessage(body(2))])
    with pytest.raises(UnknownMessage, match="--dedupe none"):
        accept(context, intake, submission, nameless)
    assert stored_texts(context) == []
    for _ in range(2):
        assert accept(context, intake, submission, nameless, IntakeOptions(dedupe="none")).items == 2
    keyed = make_submission(tmp_path, name="keyed", input={"text": "text", "key": "id"})
    make_intake(context, keyed)
    with_keys = Chunk([IntakeMessage(b'{"id": 1, "text": "a"}'), IntakeMessage(b'{"id": 2, "text": "b"}')])
    assert accept(context, intake, keyed, with_keys) == Accepted(2, [False, False])
    assert accept(context, intake, keyed, with_keys) == Accepted(duplicates=2, refused=[])


def test_a_key_is_unique_in_the_intake_if_keys_decide(context: Context, tmp_path: Path) -> None:
    submission = make_submission(tmp_path, input={"text": "text", "key": "id"})
    intake, options = make_intake(context, submission), IntakeOptions(dedupe="key")
    first = Chunk([tell(1, id=1), tell(2, id=2), tell(3, id=1)])
    assert accept(context, intake, submission, first, options) == Accepted(2, [False, False], 1)
    seal(context, intake, stored_batches(context)[0]["id"])
    # Another message, another batch, a key that was accepted.
    assert accept(context, intake, submission, Chunk([tell(4, id=2), tell(5, id=3)]), options).items == 1
    assert [batch["total"] for batch in stored_batches(context)] == [2, 1]


def test_lines_of_a_message_are_items_by_themselves(context: Context, submission: Submission, intake: int) -> None:
    lines = b'{"text": "a"}\n\n[1]\n{"txt": "b"}\n{"text": "c"}\n'
    chunk = Chunk([IntakeMessage(lines, message_id="m1"), tell(2)])
    options = IntakeOptions(has_lines=True)
    accepted = accept(context, intake, submission, chunk, options)
    assert accepted == Accepted(3, [False, True, True, False, False])
    assert accept(context, intake, submission, chunk, options) == Accepted(0, [], 2)
    rejects = intakes.details(context, "tickets", 10)["rejects"]
    assert [(each["reason"].partition(";")[0], each["body"]) for each in rejects] == [
        ("line 4: it has no field 'text', which the classifier reads", '{"txt": "b"}'),
        ("line 3: it is a list", "[1]"),
    ]
