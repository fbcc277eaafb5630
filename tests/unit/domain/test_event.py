"""The bytes of events: they are signed, stored and compared, and never change."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from pipeline.database.instant import instant_to_text
from pipeline.domain import event
from pipeline.domain.event import EventType

ROW = {
    "position": 3, "key": None, "state": "succeeded", "label": "x", "confidence": 0.5, "classification": None,
    "enrichment": None, "error_kind": None, "attempts": 2,
}  # fmt: skip
TIMES = ("created_at", "queued_at", "started_at", "classified_at", "finished_at")

offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
zones = st.just(UTC) | offsets | st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Asia/Kathmandu"), timezone(timedelta(0))])
# A day from either end, so that every zone has them.
days = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - hypothesis adds the zone
instants = st.datetimes(*days, timezones=zones)
whole_seconds = instants.map(lambda at: at.replace(microsecond=0))


def plainly(at: datetime) -> str:
    """Return an instant digit by digit."""
    at = at.astimezone(UTC)
    day = f"{at.year:04}-{at.month:02}-{at.day:02}"
    return f"{day}T{at.hour:02}:{at.minute:02}:{at.second:02}.{at.microsecond:06}Z"


@given(instants | whole_seconds)
def test_every_instant_is_written_in_utc_with_all_its_digits(at: datetime) -> None:
    assert event.instant(at) == plainly(at)
    assert instant_to_text(at) == plainly(at).replace("T", " ").removesuffix("Z")


@given(instants | whole_seconds, st.lists(st.none() | instants | whole_seconds, min_size=5, max_size=5))
def test_instants_stand_in_a_body_as_they_are_written_alone(at: datetime, times: list[datetime | None]) -> None:
    data = event.item_data("b", 7, {**ROW, **dict(zip(TIMES, times, strict=True))})
    found = json.loads(event.body(EventType.ITEM_COMPLETED, at, data))
    assert found["timestamp"] == plainly(at)
    assert found["data"]["timings"] == {name: time and plainly(time) for name, time in zip(TIMES, times, strict=True)}


def test_the_first_and_the_last_instant_are_written() -> None:
    assert event.instant(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"
    assert event.instant(datetime.max.replace(tzinfo=UTC)) == "9999-12-31T23:59:59.999999Z"


def test_a_body_is_these_bytes() -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, 123_456, tzinfo=UTC)
    times = dict.fromkeys(TIMES, at) | {"queued_at": at.replace(microsecond=0), "classified_at": None}
    written = event.body(EventType.ITEM_COMPLETED, at, event.item_data("b", 7, ROW | times))
    assert written == (
        b'{"type":"item.completed","timestamp":"2026-03-04T05:06:07.123456Z","data":{"batch_id":"b","item_id":"b-3",'
        b'"key":null,"seq":7,"state":"succeeded","label":"x","confidence":0.5,"classification":null,'
        b'"enrichment":null,"error":null,"attempts":2,"timings":{"created_at":"2026-03-04T05:06:07.123456Z",'
        b'"queued_at":"2026-03-04T05:06:07.000000Z","started_at":"2026-03-04T05:06:07.123456Z",'
        b'"classified_at":null,"finished_at":"2026-03-04T05:06:07.123456Z"}}}'
    )
