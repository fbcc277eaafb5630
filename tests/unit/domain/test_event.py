"""The bytes of events, which are signed, stored and compared, and must never change."""

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
# A day short of either end, so that every time zone can express them.
days = datetime(1, 1, 2), datetime(9999, 12, 30)  # noqa: DTZ001 - hypothesis adds the zone
timestamps = st.datetimes(*days, timezones=zones)
whole_seconds = timestamps.map(lambda at: at.replace(microsecond=0))


def expected_text(at: datetime) -> str:
    """Format a timestamp field by field."""
    at = at.astimezone(UTC)
    day = f"{at.year:04}-{at.month:02}-{at.day:02}"
    return f"{day}T{at.hour:02}:{at.minute:02}:{at.second:02}.{at.microsecond:06}Z"


@given(timestamps | whole_seconds)
def test_every_timestamp_is_formatted_in_utc_with_microseconds(at: datetime) -> None:
    assert event.format_timestamp(at) == expected_text(at)
    assert instant_to_text(at) == expected_text(at).replace("T", " ").removesuffix("Z")


@given(timestamps | whole_seconds, st.lists(st.none() | timestamps | whole_seconds, min_size=5, max_size=5))
def test_timestamps_in_a_body_have_the_same_format(at: datetime, times: list[datetime | None]) -> None:
    by_name = dict(zip(TIMES, times, strict=True))
    data = event.item_data("b", 7, {**ROW, **by_name})
    body = json.loads(event.encode_body(EventType.ITEM_COMPLETED, at, data))
    assert body["timestamp"] == expected_text(at)
    assert body["data"]["timings"] == {name: time and expected_text(time) for name, time in by_name.items()}


def test_the_earliest_and_the_latest_timestamp_are_formatted() -> None:
    assert event.format_timestamp(datetime(1, 1, 1, tzinfo=UTC)) == "0001-01-01T00:00:00.000000Z"
    assert event.format_timestamp(datetime.max.replace(tzinfo=UTC)) == "9999-12-31T23:59:59.999999Z"


def test_the_bytes_of_a_body_are_fixed() -> None:
    at = datetime(2026, 3, 4, 5, 6, 7, 123_456, tzinfo=UTC)
    times = dict.fromkeys(TIMES, at) | {"queued_at": at.replace(microsecond=0), "classified_at": None}
    body = event.encode_body(EventType.ITEM_COMPLETED, at, event.item_data("b", 7, ROW | times))
    assert body == (
        b'{"type":"item.completed","timestamp":"2026-03-04T05:06:07.123456Z","data":{"batch_id":"b","item_id":"b-3",'
        b'"key":null,"seq":7,"state":"succeeded","label":"x","confidence":0.5,"classification":null,'
        b'"enrichment":null,"error":null,"attempts":2,"timings":{"created_at":"2026-03-04T05:06:07.123456Z",'
        b'"queued_at":"2026-03-04T05:06:07.000000Z","started_at":"2026-03-04T05:06:07.123456Z",'
        b'"classified_at":null,"finished_at":"2026-03-04T05:06:07.123456Z"}}}'
    )
