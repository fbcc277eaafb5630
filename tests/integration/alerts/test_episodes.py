"""One alert of a key fires at a time, whoever opens it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert

from pipeline.alerts.episodes import open_episode, record_past, resolve_episode
from pipeline.alerts.rules.episode import Episode, Severity
from pipeline.alerts.sql import alerts
from pipeline.database.engine import Database
from pipeline.database.tables import batches, definitions

AT = datetime(2026, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(minutes=1)


def an_episode(key: str = "batch_late:1", batch_id: int | None = None) -> Episode:
    return Episode(key.partition(":")[0], key, Severity.CRITICAL, "it is late", batch_id, value={"seconds": 61})


def test_an_alert_fires_once_until_it_is_resolved(database: Database) -> None:
    with database.write() as connection:
        first = open_episode(connection, an_episode(), AT)
        assert first is not None
        assert first.startswith("alr_")
        assert open_episode(connection, an_episode(), LATER) is None
        assert resolve_episode(connection, "batch_late:1", "over", LATER)
        assert not resolve_episode(connection, "batch_late:1", "over", LATER)
        assert open_episode(connection, an_episode(), LATER) not in (None, first)
    with database.read() as connection:
        second, old = alerts.find_page(connection, 10)
    assert (old["state"], old["opened_at"], old["resolved_at"], old["reason"]) == ("resolved", AT, LATER, "over")
    assert (second["state"], second["resolved_at"], second["value"]) == ("firing", None, '{"seconds":61}')


def test_of_eight_that_open_an_alert_at_once_one_does(database: Database) -> None:
    def open_all(_: int) -> int:
        opened = 0
        for number in range(20):
            with database.write() as connection:
                opened += open_episode(connection, an_episode(f"batch_late:{number}"), AT) is not None
        return opened

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(open_all, range(8))) == 20


def test_an_alert_that_rolled_back_never_was(database: Database) -> None:
    try:
        with database.write() as connection:
            open_episode(connection, an_episode(), AT)
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    with database.read() as connection:
        assert alerts.find_page(connection, 10) == []


def test_alerts_about_batches_end_with_them(database: Database) -> None:
    with database.write() as connection:
        connection.execute(
            insert(definitions).values(id=1, name="d", version="v", content="{}", stages="classify", created_at=AT)
        )
        common = {"definition_id": 1, "total": 1, "fair_key": "", "created_at": AT}
        connection.execute(insert(batches).values(id=1, public_id="open", state="running", **common))
        connection.execute(insert(batches).values(id=2, public_id="b", state="completed", completed_at=AT, **common))
        for batch_id in (None, 1, 2, 3):
            open_episode(connection, an_episode(f"batch_late:{batch_id}", batch_id), AT)
        assert alerts.resolve_of_ended_batches(connection, "batch_ended", LATER) == 2
        firing = alerts.find_firing(connection)
    assert {(row["key"], row["batch"], row["definition"]) for row in firing} == {
        ("batch_late:None", None, None),
        ("batch_late:1", "open", "d"),
    }


def test_what_was_told_without_the_database_is_not_told_again(database: Database) -> None:
    with database.write() as connection:
        record_past(connection, an_episode("database_unreachable"), AT, LATER)
        assert not alerts.has_to_announce(connection)
        row = alerts.find_page(connection, 1)[0]
    assert (row["state"], row["opened_at"], row["resolved_at"]) == ("resolved", AT, LATER)


def test_old_alerts_are_deleted_once_they_are_over_and_told(database: Database) -> None:
    with database.write() as connection:
        for key in ("a", "b", "c"):
            open_episode(connection, an_episode(key), AT)
        resolve_episode(connection, "b", "over", AT)
        resolve_episode(connection, "c", "over", AT)
        told = next(row for row in alerts.find_page(connection, 3) if row["key"] == "c")
        alerts.set_announce(connection, told["id"], None)
        assert alerts.prune(connection, LATER, 100) == [told["id"]]
        assert {row["key"] for row in alerts.find_page(connection, 3)} == {"a", "b"}
