"""`pipeline deliveries recover`, `replay-missing` and `send`: resend many callbacks."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from pipeline.database import tables
from pipeline.database.engine import Database
from tests.support.receiver import SECRET
from tests.support.receivers.configured import configure, owe_batch_event, owe_items
from tests.support.receivers.owed import Sending, options, states, wait_until
from tests.support.receivers.scripted import Scripted, answer, in_turn
from tests.support.terminal import Terminal

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=2)
MISSING = "http://127.0.0.1:8009/late"


@pytest.fixture
def terminal(terminal: Terminal, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("PIPELINE_DATABASE_URL", database_url)
    monkeypatch.setenv("PIPELINE_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("PIPELINE_ALLOW_PRIVATE_CALLBACKS", "127.0.0.0/8")
    return terminal


def fail(database: Database, receiver: Scripted, count: int, *, batch_id: int = 1, at: datetime = NOW) -> None:
    """Send `count` events to a receiver that rejects them permanently."""
    owe_items(database, receiver.url, count, batch_id=batch_id, at=at)
    with Sending(database, options=options(delays=[])):
        wait_until(lambda: "pending" not in states(database) and "sending" not in states(database))


def test_callbacks_are_recovered_by_batch_endpoint_and_time(terminal: Terminal, database: Database) -> None:
    refusal = answer(500, "webhook-delivery: abort-message")
    with Scripted(refusal) as one, Scripted(refusal) as two:
        fail(database, one, 2)
        fail(database, one, 1, batch_id=2, at=LONG_AGO)
        fail(database, two, 3, batch_id=2)

        def count(*words: str) -> int:
            report = terminal.data("deliveries", "recover", "--dry-run", *words)
            assert report["dry_run"] is True
            return int(report["callbacks"])

        assert count() == 6
        assert count("--endpoint", one.url) == 3
        with database.write() as connection:
            # The first delivery was given up long ago; the one with an old event was given up just now.
            connection.execute(
                update(tables.deliveries).values(finished_at=LONG_AGO).where(tables.deliveries.c.id == 1)
            )
        assert count("--endpoint", one.url, "--since", "24h") == 2
        assert count("--until", (NOW - timedelta(days=1)).isoformat()) == 1
        assert count("--batch", f"{2:016d}") == 4
        assert count("--state", "delivered") == 0
        message = terminal.run("deliveries", "recover", "--dry-run", "--endpoint", one.url).stderr
        assert message == "would resend 3 callbacks\n"
        assert states(database) == ["dead"] * 6
        assert {
            delivery["endpoint_disabled"] for delivery in terminal.data("deliveries", "list", "--endpoint", two.url)
        } == {None}

        one.answering = answer()
        words = ("deliveries", "recover", "--endpoint", one.url, "--since", "24h")
        result = terminal.run(*words, input="y\n")
        assert (result.exit_code, states(database)) == (2, ["dead"] * 6)
        assert 'cannot ask "Resend 2 callbacks?": standard input is not a terminal; pass --yes' in result.stderr
        assert terminal.data(*words, "--yes")["callbacks"] == 2
        with Sending(database):
            wait_until(lambda: sorted(states(database)) == ["dead"] * 4 + ["delivered"] * 2)
        sent = [request.headers["webhook-id"] for request in one.requests]
        chosen = [f"msg_{batch:016d}{seq:012d}" for batch, seq in ((1, 2), (2, 1))]
        assert sorted(sent[-2:]) == chosen

        disabled = f"http://127.0.0.1:{two.port}"
        configure(database, disabled, disabled_at=NOW, disabled_reason="manual")
        assert count() == 1
        assert terminal.data("deliveries", "recover", "--dry-run")["left_out"] == {disabled: 3}
        messages = terminal.run("deliveries", "recover", "--endpoint", disabled).stderr.splitlines()
        assert messages == [
            f"skipped 3 callbacks: {disabled} is disabled, `pipeline endpoints enable {disabled}` enables it",
            "0 callbacks pending and due now",
        ]


def test_deliveries_are_filtered_by_endpoint(terminal: Terminal, database: Database) -> None:
    owe_items(database, "http://127.0.0.1:8001/hook", 3)
    owe_items(database, "http://127.0.0.1:8002/hook", 1)
    listed = terminal.data("deliveries", "list", "--endpoint", "http://127.0.0.1:8001/another?path")
    assert [delivery["id"] for delivery in listed] == [3, 2, 1]
    assert terminal.data("deliveries", "list", "--endpoint", "http://127.0.0.1:8003") == []
    result = terminal.run("deliveries", "list", "--endpoint", "http://127.0.0.1:8001", "--limit", "2")
    assert "there are more; --limit 20 lists more, --before 2 the next page" in result.stderr
    assert terminal.run("deliveries", "list", "--endpoint", "127.0.0.1").exit_code == 2


def test_each_attempt_is_shown_with_duration_trigger_and_the_start_of_the_response(
    terminal: Terminal, database: Database
) -> None:
    long = b"overloaded, " * 100
    with Scripted(in_turn(answer(503, body=long), answer(body=b"thanks"))) as receiver:
        fail(database, receiver, 1)
        assert terminal.run("deliveries", "replay", "1").exit_code == 0
        with Sending(database):
            wait_until(lambda: states(database) == ["delivered"])
    first, second = terminal.data("deliveries", "show", "1")["attempts"]
    assert (first["status"], first["trigger"], first["answer"]) == (503, None, long.decode())
    assert (second["status"], second["trigger"], second["answer"]) == (200, "manual", "thanks")
    assert 0 <= first["duration_seconds"] < 30
    shown = terminal.run("deliveries", "show", "1").stdout
    assert "overloaded, overloaded" in shown
    assert "the receiver responded with 503" in shown
    assert long.decode() not in shown
    assert "manual" in shown


def test_events_that_were_never_sent_to_a_url_are_sent_there(terminal: Terminal, database: Database) -> None:
    with Scripted(answer()) as early, Scripted(answer()) as late:
        owe_items(database, early.url, 3)
        owe_batch_event(database, early.url)
        words = ("deliveries", "replay-missing", late.url, "--batch", "last")
        assert terminal.data(*words, "--dry-run") == {"callbacks": 3, "dry_run": True}
        assert "would send 3 callbacks to http://" in terminal.run(*words, "--dry-run").stderr
        assert "a=b" not in terminal.run(*words, "--dry-run").stderr
        assert not late.requests
        assert "pass --yes" in terminal.run(*words).stderr
        assert terminal.data(*words, "--yes")["callbacks"] == 3
        assert terminal.data(*words, "--batch-events", "--yes")["callbacks"] == 1
        assert terminal.data(*words, "--batch-events")["callbacks"] == 0, (
            "without callbacks, there is no question to confirm"
        )
        with Sending(database):
            late.wait_for(lambda seen: len(seen.requests) == 4)
            wait_until(lambda: states(database) == ["delivered"] * 8)


def test_all_pending_callbacks_are_sent_by_one_command(terminal: Terminal, database: Database) -> None:
    with Scripted(answer(500, "webhook-delivery: abort-message")) as one, Scripted(answer(429)) as two:
        fail(database, one, 2)
        fail(database, one, 1, batch_id=2)
        one.answering = answer()
        message = terminal.run("deliveries", "recover", "--yes").stderr
        assert message == "3 callbacks pending and due now; to send them, run `pipeline deliveries send`\n"
        result = terminal.run("deliveries", "send")
        assert (result.exit_code, result.stderr) == (0, "3 callbacks sent or given up; none left to send\n")
        assert states(database) == ["delivered"] * 3

        owe_items(database, two.url, 1, batch_id=3)
        result = terminal.run("deliveries", "send", "--wait", "20", "--json")
        report = json.loads(result.stdout)
        assert (result.exit_code, report["settled"], report["owed"]) == (1, 0, 1), "throttled for a minute"
        assert datetime.fromisoformat(report["next_due_at"]) > datetime.now(UTC)
        assert "0 callbacks sent or given up, 1 left, next due" in terminal.run("deliveries", "send").stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("recover", "--since", "yesterday"), "'yesterday' is not a time; expected a time such as 2026-11-21T08:00Z"),
        (("recover", "--batch", "nothing"), "there is no batch 'nothing'"),
        (("recover", "--endpoint", "example.com"), "the endpoint 'example.com' is not an absolute URL"),
        (
            ("recover", "--endpoint", "https://nobody.example"),
            "no delivery was ever owed to https://nobody.example:443",
        ),
        (("recover", "--since", "1h", "--until", "2h"), "swap them"),
        (("recover", "--state", "pending"), "'pending' is not one of"),
        (("replay-missing", MISSING), "'--batch'"),
        (("replay-missing", "http://10.0.0.1/x", "--batch", "last"), "PIPELINE_ALLOW_PRIVATE_CALLBACKS=10.0.0.1/32"),
        (("list", "--state", "lost"), "'lost' is not one of"),
    ],
)
def test_invalid_input_is_rejected_with_what_to_do(terminal: Terminal, words: tuple[str, ...], message: str) -> None:
    result = terminal.run("deliveries", *words)
    assert (result.exit_code, message in " ".join(result.stderr.split())) == (2, True), result.stderr
