"""One event, one id, one body: whatever is tried again, restarted or never told."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, literal, select

import pipeline
from pipeline.database import tables
from pipeline.database.engine import Database
from tests.support.factories import make_definition
from tests.support.receivers.owed import SECRET, Sending, attempts, deliveries, options, owe, states, to, wait_until
from tests.support.receivers.scripted import Scripted, answer, in_turn

SOURCE = """
def classify(item):
    return "café ☕"

def enrich(item):
    nested = {"b": [1, 2.5, None], "a": -0.0}
    return {"z": 1.0, "a": 9007199254740993, "text": "日本 <&>", "nested": nested}
"""


def events(database: Database) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(select(tables.events).order_by(tables.events.c.seq)).mappings()]


def test_a_result_leaves_in_the_same_bytes_at_every_attempt_and_after_restarts(
    database_url: str, tmp_path: Path
) -> None:
    given = {"database_url": database_url, "webhook_secret": SECRET, "allow_private_callbacks": "127.0.0.0/8"}
    with Scripted(in_turn(answer(500), answer(500), answer(204, body=b""))) as receiver:
        with pipeline.connect(**given) as client:
            batch = client.submit([{"text": "x"}], make_definition(tmp_path, SOURCE), callback_url=receiver.url)
            batch.wait(60)
            receiver.wait_for(lambda seen: len(seen.requests) == 1)
        for hours in (2, 3):
            attempted_after_restart(database_url, receiver, timedelta(hours=hours))
    database = Database(database_url)
    stored = events(database)
    database.close()
    (body,) = {request.body for request in receiver.requests}
    assert body == bytes(stored[0]["body"])
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    for text in ('"label":"café ☕"', '"z":1.0,"a":9007199254740993,', '"nested":{"b":[1,2.5,null],"a":-0.0}'):
        assert text in body.decode()
    assert '"text":"日本 <&>"' in body.decode()


def attempted_after_restart(database_url: str, receiver: Scripted, later: timedelta) -> None:
    """Open the database anew and have one more attempt made, as if it were so much later."""
    database, before = Database(database_url), len(receiver.requests)
    now = datetime.now(UTC) + later
    # Not due again before the next restart.
    with Sending(database, clock=lambda: now, options=options(delays=[timedelta(minutes=30)] * 3)):
        wait_until(lambda: len(receiver.requests) > before and len(attempts(database)) > before)
    database.close()


def test_an_event_has_one_id_for_all_its_receivers_and_another_event_another(database: Database) -> None:
    with Scripted(answer()) as one, Scripted(answer()) as other:
        owe(database, to(*[one.port] * 3))
        with database.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO deliveries (batch_id, seq, url, origin, state, due_at, created_at) "
                f"SELECT batch_id, seq, '{other.url}', 'http://127.0.0.1:{other.port}', state, due_at, created_at "
                "FROM deliveries"
            )
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"] * 6)
    ids = [{request.headers["webhook-id"] for request in receiver.requests} for receiver in (one, other)]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 3
    for each in ids[0]:
        name = each.removeprefix("msg_")
        assert each.startswith("msg_")
        assert 26 <= len(name) <= 32
        assert name.isascii()
        assert name.isalnum()


def test_a_delivery_of_which_nobody_tells_the_sender_is_found_by_its_poll(database: Database) -> None:
    with Scripted(answer()) as receiver, Sending(database, options=options(poll_seconds=0.01)):
        owe(database, to(receiver.port))
        wait_until(lambda: states(database) == ["delivered"])


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_clock_that_jumps_neither_loses_nor_repeats_a_delivery(database: Database, step: timedelta) -> None:
    now = [datetime.now(UTC)]
    with Scripted(in_turn(answer(500), answer(200))) as receiver:
        owe(database, to(*[receiver.port] * 3), at=now[0])
        delays = options(delays=[timedelta(minutes=1)] * 3, poll_seconds=0.01, per_endpoint=1)
        with Sending(database, clock=lambda: now[0], options=delays):
            wait_until(lambda: len(attempts(database)) >= 1)
            now[0] += step
            owe_later(database, now[0])
            wait_until(lambda: states(database)[3] == "delivered")
            now[0] += timedelta(hours=3)
            wait_until(lambda: states(database) == ["delivered"] * 4)
    assert [row["attempt"] for row in deliveries(database)] == [2, 1, 1, 1]
    assert len(receiver.requests) == 5


def owe_later(database: Database, at: datetime) -> None:
    """Owe the first event to another path as well, from `at` on."""
    with database.write() as connection:
        connection.execute(
            insert(tables.deliveries).from_select(
                ["batch_id", "seq", "url", "origin", "state", "due_at", "created_at"],
                select(
                    tables.deliveries.c.batch_id,
                    tables.deliveries.c.seq,
                    tables.deliveries.c.url + "/other",
                    tables.deliveries.c.origin,
                    literal("pending"),
                    literal(at, tables.deliveries.c.due_at.type),
                    literal(at, tables.deliveries.c.due_at.type),
                ).where(tables.deliveries.c.seq == 1),
            )
        )


def test_the_sender_loads_nothing_that_loads_code_of_users() -> None:
    program = (
        "import sys, pipeline.delivery.sender.sender, pipeline.delivery.sender.loop, pipeline.delivery.webhook.client\n"
        "unwanted = ('pipeline.stages.catalog.import_module', 'pipeline.definitions')\n"
        "print([name for name in sys.modules if name.startswith(unwanted)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
