"""Messages in micro-batches: each keeps what Celery gives a task of its own."""

from __future__ import annotations

import base64
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from celery.worker import state as worker_state
from celery.worker.request import Request
from kombu import Message as KombuMessage
from kombu.transport.memory import Channel
from sqlalchemy import select

import celeryconfig
import pipeline
from pipeline.batches import progress
from pipeline.broker.messages import SWEEP_TASK
from pipeline.broker.publisher import open_publisher
from pipeline.database.tables import items
from pipeline.domain.ids import item_id, split_task_id
from pipeline.domain.item import Stage
from pipeline.execution.dispatch import TaskMessage
from pipeline.execution.disposition import Disposition, DispositionKind
from tests.support.factories import client_context, connect, embedded_queue, make_definition, make_items
from tests.support.invariants import assert_complete, assert_delivered
from tests.support.receiver import SECRET, Receiver
from tests.support.servers.worker import wait_for
from workers.app import app
from workers.engine.engine import running_engine
from workers.receive.pool_slots import Slots
from workers.receive.request_group import RequestGroup

MESSAGE = TaskMessage(2**32 + 7, 3, "0123456789abcdef-7", Stage.CLASSIFY, Stage.ENRICH)


CHAINED = {"task": "items.enrich", "args": [1, 1], "options": {"task_id": "x"}}
#: What may come where `[[item, epoch], {}, {"chain": …}]` is expected.
MALFORMED: dict[str, Any] = {
    "not JSON": b"{secret",
    "no list": {},
    "too short": [[1, 1], {}],
    "no arguments": [[], {}, {}],
    "one argument": [[1], {}, {}],
    "three arguments": [[1, 1, 1], {}, {}],
    "a list for an item": [[[1], 2], {}, {}],
    "text for an item": [["secret", 1], {}, {}],
    "a fraction for an item": [[1.0, 1], {}, {}],
    "a truth value for an item": [[True, 1], {}, {}],
    "no such item": [[0, 1], {}, {}],
    "an item beyond 64 bits": [[2**63, 1], {}, {}],
    "an epoch below 0": [[1, -1], {}, {}],
    "a list of named arguments": [[1, 1], [], {}],
    "a chain that is none": [[1, 1], {}, {"chain": {}}],
    "a chain without a task": [[1, 1], {}, {"chain": [{**CHAINED, "task": None}]}],
    "a chain to a task of no item": [[1, 1], {}, {"chain": [{**CHAINED, "task": "control.sweep"}]}],
    "a chain without an id": [[1, 1], {}, {"chain": [{**CHAINED, "options": {}}]}],
    "a chain without arguments": [[1, 1], {}, {"chain": [{**CHAINED, "args": []}]}],
}


def published(message: TaskMessage) -> dict[str, Any]:
    app.conf.broker_url = "memory://localhost/"
    Channel.queues.clear()
    open_publisher(app).publish_items([message])
    found: dict[str, Any] = Channel.queues["classify"].get_nowait()
    return found


def test_a_message_carries_ids_and_the_stage_chained_to_it_and_nothing_else() -> None:
    message = published(MESSAGE)
    arguments, options, embedded = orjson.loads(base64.b64decode(message["body"]))
    assert (arguments, options) == ([2**32 + 7, 3], {})
    assert [step["task"] for step in embedded["chain"]] == ["items.enrich"]
    assert embedded["chain"][0]["args"] == arguments
    assert message["content-type"] == "application/json"
    assert message["headers"]["argsrepr"] == repr(tuple(arguments))
    assert split_task_id(message["headers"]["id"]) == ("0123456789abcdef-7", "classify", 3)
    assert len(orjson.dumps(message)) < 1_400


def test_a_task_id_leads_to_its_item(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        batch = client.submit(make_items(3), make_definition(tmp_path))
        batch.wait(30)
        details = progress.details(client_context(client), f"{batch.id}-2-enrich-1")
    assert details is not None
    assert (details.item["position"], details.item["state"]) == (2, "succeeded")


def malformed(ours: dict[str, Any]) -> list[dict[str, Any]]:
    """Return messages that Celery takes for ours, and that are not."""
    bodies = [body if isinstance(body, bytes) else orjson.dumps(body) for body in MALFORMED.values()]
    headers = [{"id": None}, {"id": ["secret"]}, {"root_id": {}}, {"expires": "secret"}]
    return [
        *({**ours, "body": base64.b64encode(body).decode()} for body in bodies),
        *({**ours, "headers": ours["headers"] | wrong} for wrong in headers),
        {**ours, "content-type": "application/x-python-serialize"},
        {**ours, "headers": ours["headers"] | {"task": "control.dispatch"}},
    ]


def test_malformed_messages_are_refused_and_cost_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    messages = malformed(published(MESSAGE))
    with connect(tmp_path) as client:
        client.work()
        for message in messages:
            embedded_queue("classify").put_nowait(message)
        batch = client.submit(make_items(300), make_definition(tmp_path))
        assert batch.wait(30).succeeded == 300
    refused = [record.getMessage() for record in caplog.records if record.getMessage().startswith("message_refused")]
    assert len(refused) == len(messages)
    assert "secret" not in caplog.text


def republish(client: pipeline.Client, batch_id: str) -> int:
    """Publish a copy of every message that is under way."""
    with client_context(client).database.read() as connection:
        rows = connection.execute(
            select(items.c.id, items.c.epoch, items.c.position, items.c.stage).where(
                items.c.state.in_(("queued", "running"))
            )
        ).all()
    open_publisher(running_engine().app).publish_items(
        [
            TaskMessage(id_, epoch, item_id(batch_id, position), Stage(stage), None)
            for id_, epoch, position, stage in rows
        ]
    )
    return len(rows)


def test_messages_that_come_again_and_again_change_nothing(tmp_path: Path) -> None:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
    with Receiver() as receiver, connect(tmp_path, **settings) as client:
        batch = client.submit(make_items(2_000), make_definition(tmp_path), callback_url=receiver.url)
        copies = 0
        for number, _ in enumerate(batch.results(follow=True)):
            if number % 200 == 0:
                copies += republish(client, batch.id)
        receiver.wait_for(lambda r: len(r.bodies) == 2_000)
        assert assert_complete(client_context(client).database, batch.id, 2_000) == {"succeeded": 2_000}
    assert copies > 0


def test_nudges_do_not_wait_for_the_pool(tmp_path: Path) -> None:
    message = published(MESSAGE)
    worker_state.reset_state()
    with connect(tmp_path, batch_items=1) as client:
        client.work()
        app = running_engine().app
        threads = app.conf.worker_concurrency
        # Nobody else can write: every thread of the pool waits for its claim.
        with client_context(client).database.write():
            for _ in range(threads):
                embedded_queue("classify").put_nowait(message)
            wait_for(lambda: worker_state.total_count["items.classify"] == threads)
            open_publisher(app).nudge(SWEEP_TASK)
            wait_for(lambda: worker_state.total_count[SWEEP_TASK] == 1)


def test_events_tell_the_life_of_each_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
    from pipeline import Permanent
    def classify(item):
        if item.text == "dead":
            raise Permanent("no")
        if item.text == "again" and item.attempt == 1:
            raise RuntimeError("once")
        return "x"
    """
    seen: Counter[tuple[str, str]] = Counter()
    completed = threading.Event()

    def note(event: dict[str, Any]) -> None:
        name = split_task_id(event.get("uuid", ""))
        if name is not None:
            seen[name.item_id.split("-")[1], event["type"]] += 1
        if sum(seen.values()) == 11:
            completed.set()

    monkeypatch.setattr(celeryconfig, "worker_send_task_events", True)
    with connect(tmp_path) as client:
        client.work()
        app = running_engine().app
        with app.connection() as connection:
            listener = app.events.Receiver(connection, handlers={"*": note})
            threading.Thread(target=lambda: listener.capture(limit=None, timeout=20), daemon=True).start()
            given = [{"text": "fine"}, {"text": "dead"}, {"text": "again"}]
            batch = client.submit(given, make_definition(tmp_path, source, enrich=False))
            batch.wait(30)
            completed.wait(20)
            listener.should_stop = True
    began = ("task-received", "task-started")
    assert seen == Counter(
        {("1", kind): 1 for kind in (*began, "task-succeeded")}
        | {("2", kind): 1 for kind in (*began, "task-failed")}
        | {("3", kind): 2 for kind in began}
        | {("3", "task-retried"): 1, ("3", "task-succeeded"): 1}
    )


def make_group(
    given: dict[str, Any], slots: Slots, call_soon: Callable[..., object] | None = None
) -> tuple[RequestGroup, list[tuple[str, dict[str, Any]]]]:
    """Return a group of one message, as the running worker would have it, and the list that its events go to."""
    events: list[tuple[str, dict[str, Any]]] = []
    request = Request(
        KombuMessage(body="", headers=given["headers"], properties={}),
        eventer=SimpleNamespace(enabled=True, send=lambda kind, **fields: events.append((kind, fields))),
        task=app.tasks["items.classify"],
        body=orjson.loads(base64.b64decode(given["body"])),
        decoded=True,
    )
    group = RequestGroup(
        Stage.CLASSIFY,
        [request],
        running_engine(),
        slots.take(),
        is_connected=lambda: True,
        call_soon=call_soon,
        receiver_of=lambda _: None,
    )
    return group, events


def test_a_task_has_begun_before_it_ends_whatever_comes_first(tmp_path: Path) -> None:
    given = published(MESSAGE)
    later: list[Callable[[], object]] = []
    with connect(tmp_path) as client:
        client.work()
        group, events = make_group(
            given, Slots(1), lambda function, *arguments: later.append(partial(function, *arguments))
        )
        group.run()
        # The newest first, as an event loop may.
        for step in reversed(later):
            step()
    assert [kind for kind, _ in events] == ["task-started", "task-succeeded"]


def test_the_requests_of_a_child_that_is_lost_fail_once_and_leave_the_pool(tmp_path: Path) -> None:
    given, slots = published(MESSAGE), Slots(1)
    with connect(tmp_path) as client:
        client.work()
        group, events = make_group(given, slots)
        group.accepted(1, 0.0)
        assert not slots.are_free
        group.child_lost(MemoryError())
        assert slots.are_free
        # It had been recorded before its child was lost, say.
        group.child_finished({MESSAGE.id: Disposition(DispositionKind.ADVANCED)})
    assert [kind for kind, _ in events] == ["task-started", "task-failed"]
    assert events[-1][1]["exception"] == "MemoryError"


def test_what_a_child_records_wakes_the_sender_of_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given, woken = published(MESSAGE), []
    with connect(tmp_path) as client:
        client.work()
        monkeypatch.setattr(running_engine(), "wake_sender", woken.append)
        group, _ = make_group(given, Slots(1))
        group.accepted(1, 0.0)
        group.child_finished({MESSAGE.id: Disposition(DispositionKind.SUCCEEDED)})
        assert woken == [1]


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (DispositionKind.ADVANCED, "task-succeeded"),
        (DispositionKind.HELD, "task-succeeded"),
        (DispositionKind.SUCCEEDED, "task-succeeded"),
        (DispositionKind.STALE, "task-succeeded"),
        (DispositionKind.PUT_OFF, "task-retried"),
        (DispositionKind.HANDED_BACK, "task-retried"),
        (DispositionKind.DEAD, "task-failed"),
        (DispositionKind.LOST, "task-failed"),
    ],
)
def test_each_disposition_is_one_event_of_celery(tmp_path: Path, kind: DispositionKind, event: str) -> None:
    given = published(MESSAGE)
    with connect(tmp_path) as client:
        client.work()
        group, events = make_group(given, Slots(1))
        group.acknowledge({MESSAGE.id: Disposition(kind)})
    ((told, fields),) = events
    assert told == event
    assert kind.value in (fields.get("exception"), fields.get("result", "").strip("'"))


def test_nothing_stays_in_the_books_of_the_worker(tmp_path: Path) -> None:
    with connect(tmp_path) as client:
        client.submit(make_items(700), make_definition(tmp_path)).wait(30)
        # Results are there before their messages are acknowledged.
        wait_for(lambda: not worker_state.requests)
        assert not worker_state.reserved_requests
        assert not worker_state.active_requests


@pytest.mark.parametrize("kind", ["classify", "enrich"])
def test_a_task_that_is_revoked_is_not_run_and_its_item_comes_back(tmp_path: Path, kind: str) -> None:
    """Revoking names one release; the item itself is cancelled with its batch, not so."""
    with connect(tmp_path, lease_seconds=1) as client:
        client.work()
        batch = client.submit(make_items(1), make_definition(tmp_path))
        worker_state.revoked.add(f"{batch.id}-1-{kind}-1")
        assert batch.wait(60).succeeded == 1


def test_a_run_on_a_client_that_is_closed_delivers_what_is_due(tmp_path: Path) -> None:
    settings = {"webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
    with Receiver() as receiver:
        with connect(tmp_path, **settings) as client:
            batch = client.submit(make_items(800), make_definition(tmp_path), callback_url=receiver.url)
            assert len(list(batch.results(follow=True))) == 800
        assert len(receiver.bodies) == 800
        with connect(tmp_path, **settings) as client:
            assert_delivered(client_context(client).database, batch.id, 800)
