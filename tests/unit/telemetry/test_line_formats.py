"""Lines for machines: valid JSON of bounded size, with fields of one type for ever."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from typing import Any

import pytest

from pipeline.telemetry.line_formats import MAX_LINE_BYTES, LogFormat, LogLine, encode_attempt, formatter
from pipeline.telemetry.log_fields import EVENTS, FIELDS, LogFieldType, check_fields

MACHINE = [LogFormat.JSON, LogFormat.ECS, LogFormat.SPLUNK]
TYPES: dict[LogFieldType, tuple[type, ...]] = {
    LogFieldType.TEXT: (str,),
    LogFieldType.INTEGER: (int,),
    LogFieldType.NUMBER: (float, int),
    LogFieldType.FLAG: (bool,),
    LogFieldType.TEXTS: (list,),
    LogFieldType.INTEGERS: (list,),
}
#: What a line has besides the fields of its event.
HEAD = {"time", "level", "event", "logger", "host", "pid", "message", "truncated"}
#: Types of ECS's own fields that we write, by path: those of its version 8.11.
ECS = {
    "@timestamp": str, "log.level": str, "log.logger": str, "message": str, "ecs.version": str, "service.name": str,
    "service.version": str, "host.name": str, "process.pid": int, "event.kind": str, "event.dataset": str,
    "event.action": str, "event.outcome": str, "event.start": str, "event.end": str, "event.duration": int,
    "error.type": str, "error.stack_trace": str, "trace.id": str, "span.id": str,
}  # fmt: skip


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth else []


def value(chance: random.Random, kind: LogFieldType) -> Any:
    """A value of a field: often right, sometimes anything."""
    text = "".join(chance.choices(string.printable + "é漢\ud800\x00\u2028", k=chance.randrange(30)))
    right = {
        LogFieldType.TEXT: text,
        LogFieldType.INTEGER: chance.randrange(-(2**70), 2**70),
        LogFieldType.NUMBER: chance.choice([chance.random(), float("nan"), float("inf"), 3]),
        LogFieldType.FLAG: True,
        LogFieldType.TEXTS: [text, text],
        LogFieldType.INTEGERS: [1, 2**80],
    }
    return chance.choice([right[kind], right[kind], None, text, nested(100), {"a": 1}, b"\xff", "x" * 20_000])


def lines(number: int) -> Iterator[LogLine]:
    chance = random.Random(5)
    for _ in range(number):
        event = chance.choice(list(EVENTS))
        fields = {name: value(chance, FIELDS[name]) for name in EVENTS[event] if chance.random() < 0.8}
        yield LogLine(1_800_000_000 + chance.random(), "warning", "pipeline.x", event, fields)


def leaves(made: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, found in made.items():
        assert "." not in name, name
        if isinstance(found, dict):
            yield from leaves(found, f"{path}{name}.")
        else:
            yield f"{path}{name}", found


@pytest.mark.parametrize("log_format", MACHINE)
def test_random_lines_keep_the_type_of_each_field(log_format: LogFormat) -> None:
    encode = formatter(log_format)
    for line in lines(1_500):
        encoded = encode(line)
        assert len(encoded) < MAX_LINE_BYTES
        assert b"\n" not in encoded
        made = json.loads(encoded)
        if log_format is LogFormat.ECS:
            for path, found in leaves(made):
                if path.startswith("pipeline."):
                    name = path.removeprefix("pipeline.")
                    assert name == "truncated" or isinstance(found, TYPES[FIELDS[name]]), path
                else:
                    assert type(found) is ECS[path], path
            continue
        body = made["event"] if log_format is LogFormat.SPLUNK else made
        for name in body.keys() - HEAD:
            assert isinstance(body[name], TYPES[FIELDS[name]]), (name, body[name])


def test_no_field_of_an_event_is_named_as_one_that_every_line_has() -> None:
    assert not HEAD & set(FIELDS)
    assert {name for names in EVENTS.values() for name in names} == set(FIELDS)


@pytest.mark.parametrize("log_format", MACHINE)
def test_long_values_are_cut_and_said_to_be(log_format: LogFormat) -> None:
    line = LogLine(1.5, "error", "pipeline.x", "intake_failed", {"intake": "a\nb", "error": "é" * 1_000_000})
    body = json.loads(formatter(log_format)(line))
    body = {LogFormat.ECS: lambda: body["pipeline"], LogFormat.SPLUNK: lambda: body["event"]}.get(
        log_format, lambda: body
    )()
    assert body["truncated"] is True
    assert body["intake"] == "a\nb"
    assert set(body["error"]) == {"é"}


def test_fields_that_the_table_does_not_have_are_left_out() -> None:
    line = LogLine(1.5, "info", "pipeline.x", "rescued", {"items": 3, "payload": "secret"})
    made = json.loads(formatter(LogFormat.JSON)(line))
    assert made["items"] == 3
    assert "payload" not in made


def test_an_attempt_in_each_format() -> None:
    fields = {
        "batch": "b", "item": "b-1", "definition": "mail", "stage": "enrich", "attempt": 2, "outcome": "retry",
        "state": "pending", "started_at": "2026-03-01T10:00:00.250000Z", "ended_at": "2026-03-01T10:00:01Z",
        "duration_ms": 750.125, "error_kind": "transient", "error_type": "Timeout", "cause": "0123456789ab",
        "worker": "w", "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331",
    }  # fmt: skip
    line = LogLine(1_772_359_201.25, "info", "pipeline.items", "item_attempt", fields)
    flat = json.loads(encode_attempt(line, LogFormat.JSON))
    assert flat["time"] == "2026-03-01T10:00:01.250Z"
    assert fields.items() <= flat.items()
    ecs = json.loads(encode_attempt(line, LogFormat.ECS))
    assert ecs["message"] == ecs["event"]["action"] == "item_attempt"
    assert ecs["event"]["dataset"] == "pipeline.items"
    assert (ecs["event"]["outcome"], ecs["event"]["duration"]) == ("failure", 750_125_000)
    assert ecs["error"] == {"type": "Timeout"}
    assert (ecs["trace"]["id"], ecs["span"]["id"]) == (fields["trace_id"], fields["span_id"])
    splunk = json.loads(encode_attempt(line, LogFormat.SPLUNK))
    assert splunk["time"] == 1_772_359_201.25
    assert splunk["sourcetype"] == "_json"
    assert fields.items() <= splunk["event"].items()


def test_an_attempt_that_utf_8_cannot_hold_is_a_line_all_the_same() -> None:
    line = LogLine(1.5, "info", "pipeline.items", "item_attempt", {"item": "b-1", "key": "\ud800" * 9_000})
    made = json.loads(encode_attempt(line, LogFormat.JSON))
    assert made["item"] == "b-1"
    assert made["truncated"] is True


@pytest.mark.parametrize(
    ("event", "fields", "message"),
    [
        ("no_such_event", {}, "no_such_event"),
        ("rescued", {"payload": "x"}, "no field payload"),
        ("rescued", {"items": "3"}, "not integer"),
    ],
)
def test_tests_refuse_what_the_table_does_not_have(event: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_fields(event, fields)
