"""Episodes of alerts: one open for each key, and a new one after it was resolved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from pipeline.alerts.episodes import open_episode, resolve_episode, resolve_episodes_of
from pipeline.database.engine import Database
from pipeline.database.tables import alerts
from pipeline.domain.alerts.alert import Severity

AT = datetime(2026, 11, 30, 12, tzinfo=UTC)


def opened(database: Database, key: str, batch_id: int | None = None) -> str | None:
    with database.write() as connection:
        return open_episode(
            connection, key, name="rule", severity=Severity.ERROR, summary="It fails.", now=AT, batch_id=batch_id,
            value={"failures": 3},
        )  # fmt: skip


def test_an_episode_is_open_once_until_it_is_resolved(database: Database) -> None:
    first = opened(database, "rule:1")
    assert first is not None
    assert first.startswith("alr_")
    assert opened(database, "rule:1") is None
    assert opened(database, "rule:2") not in (None, first)
    with database.write() as connection:
        assert resolve_episode(connection, "rule:1", now=AT + timedelta(minutes=1), reason="recovered")
        assert not resolve_episode(connection, "rule:1", now=AT, reason="recovered")
    second = opened(database, "rule:1")
    assert second not in (None, first)
    with database.read() as connection:
        found = connection.execute(select(alerts).order_by(alerts.c.id)).mappings().all()
    assert [(row["public_id"], row["state"], row["reason"]) for row in found if row["key"] == "rule:1"] == [
        (first, "resolved", "recovered"),
        (second, "firing", None),
    ]
    assert found[0]["value"] == '{"failures":3}'


def test_the_end_of_a_batch_resolves_what_fires_about_it(database: Database) -> None:
    for key, batch_id in (("guard:1:a", 1), ("guard:1:b", 1), ("guard:2:a", 2)):
        opened(database, key, batch_id)
    with database.write() as connection:
        assert resolve_episodes_of(connection, 1, now=AT, reason="batch_ended") == 2
    assert opened(database, "guard:1:a", 1) is not None
    assert opened(database, "guard:2:a", 2) is None
