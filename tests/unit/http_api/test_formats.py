"""How stored events are written to readers, and which form a reader asks for."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.batches.event_log import BatchVersion, StoredEvent
from pipeline.domain.batch import BatchState
from pipeline.domain.event import EventType, cut_data, encode_body
from pipeline.http_api.problems import Problem
from pipeline.http_api.streaming.batch_feed import LogSlice
from pipeline.http_api.streaming.cursors import check_seq, decode_position, encode_position, read_seq
from pipeline.http_api.streaming.formats import results_as_lines, server_sent, socket_event
from pipeline.http_api.streaming.media_types import ResultFormat, accepts_events, accepts_gzip, choose_format

JSON = st.recursive(
    st.none() | st.booleans() | st.text(), lambda each: st.dictionaries(st.text(), each) | st.lists(each)
)


def stored(seq: int, kind: EventType, data: dict[str, Any]) -> StoredEvent:
    return StoredEvent(seq, kind.value, encode_body(kind, datetime(2026, 11, 30, tzinfo=UTC), data))


@settings(max_examples=20)
@given(st.sampled_from(EventType), st.dictionaries(st.text(), JSON))
def test_every_form_has_the_stored_bytes(kind: EventType, data: dict[str, Any]) -> None:
    event = stored(7, kind, data)
    assert cut_data(event.body) == orjson.dumps(data)
    block = server_sent([event]).decode()
    assert block.count("\n") == 4
    assert block == f"id: 7\nevent: {kind}\ndata: {event.body.decode()}\n\n"
    assert orjson.loads(socket_event("abc", event)) == {
        "op": "event", "batch": "abc", "seq": 7, "event": orjson.loads(event.body),
    }  # fmt: skip


def test_lines_are_results_alone() -> None:
    events = [
        stored(1, EventType.ITEM_COMPLETED, {"seq": 1}),
        stored(2, EventType.DELIVERY_EXHAUSTED, {"seq": 2}),
        stored(3, EventType.ITEM_CANCELLED, {"seq": 3}),
        stored(4, EventType.BATCH_COMPLETED, {"seq": 4}),
    ]
    assert results_as_lines(events) == b'{"seq":1}\n{"seq":3}\n'


def test_a_slice_is_written_once_for_all_readers_of_a_kind() -> None:
    whole = LogSlice([stored(seq, EventType.ITEM_COMPLETED, {"seq": seq}) for seq in range(3, 9)])
    assert whole.rendered(server_sent) is whole.rendered(server_sent)
    assert whole.rendered(server_sent, frozenset({"item.failed"})) == b""
    assert whole.after(2) is whole
    assert [event.seq for event in whole.after(6).events] == [7, 8]


@pytest.mark.parametrize(
    ("accept", "name", "expected"),
    [
        ("", None, ResultFormat.JSON),
        ("*/*", None, ResultFormat.JSON),
        ("application/x-ndjson", None, ResultFormat.NDJSON),
        ("application/jsonl; charset=utf-8", None, ResultFormat.NDJSON),
        ("text/html, text/csv;q=0.5, application/json;q=0.1", None, ResultFormat.CSV),
        ("text/csv;q=0, text/tab-separated-values", None, ResultFormat.TSV),
        ("text/csv", "parquet", ResultFormat.PARQUET),
    ],
)
def test_the_format_is_the_one_asked_for(accept: str, name: str | None, expected: ResultFormat) -> None:
    assert choose_format(name, accept) is expected


def test_codings_and_streams_are_asked_for_by_headers() -> None:
    assert [accepts_gzip(each) for each in ("gzip, br", "br", "gzip;q=0", "")] == [True, False, False, False]
    assert [accepts_events(each) for each in ("text/event-stream", "*/*")] == [True, False]


@given(st.integers(0, 2**62))
def test_positions_are_read_back(position: int) -> None:
    assert decode_position(encode_position(position)) == position


@given(st.text(max_size=30))
def test_other_positions_are_refused(text: str) -> None:
    with suppress(Problem):
        assert encode_position(decode_position(text) or 0) == text


@pytest.mark.parametrize("text", ["", "abc", "-1", "1.0", "١", " 1", str(2**63), "9" * 5_000])
def test_other_seqs_are_refused(text: str) -> None:
    with pytest.raises(Problem) as refused:
        read_seq("after", text)
    assert refused.value.code == "bad_cursor"
    assert len(refused.value.detail) < 200


def test_a_seq_beyond_the_log_is_refused() -> None:
    version = BatchVersion(5, BatchState.RUNNING, is_complete=False, total=9, succeeded=5, dead=0, cancelled=0)
    assert check_seq(read_seq("after", "5"), version) == 5
    with pytest.raises(Problem) as refused:
        check_seq(6, version)
    assert (refused.value.code, refused.value.members) == ("cursor_ahead", {"last_seq": 5})
