"""Formats of log lines for machines: one JSON object each, of bounded size, whose fields never change their type."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import orjson

from pipeline.telemetry.log_fields import EVENTS, FIELDS, LogFieldType
from pipeline.version import installed_version

#: A line is at most this long, with its end.
MAX_LINE_BYTES = 8_192
#: Characters of a text, and entries of a list, by attempt to make the line short enough.
_LIMITS = ((2_000, 50), (300, 10), (40, 3))
#: Event of a line that another library wrote.
LIBRARY_MESSAGE = "library_message"
_SERVICE = "pipeline"
#: Version of the Elastic Common Schema whose fields `ecs` uses.
_ECS_VERSION = "8.11.0"
_ECS_OUTCOMES = {"succeeded": "success", "retry": "failure", "dead": "failure"}
_ITEM_ATTEMPT = "item_attempt"


class LogFormat(StrEnum):
    """The format of log lines."""

    #: `time level process module: event key=value …`
    TEXT = "text"
    #: One flat JSON object.
    JSON = "json"
    #: The Elastic Common Schema.
    ECS = "ecs"
    #: The body of an event for Splunk's HTTP Event Collector.
    SPLUNK = "splunk"


class LogLine(NamedTuple):
    """A line before it is written.

    Args:
        time: seconds since 1970.
        fields: of the event; those that are None are left out.
        message: text of another library, which has no event.
    """

    time: float
    level: str
    logger: str
    event: str
    fields: Mapping[str, Any]
    message: str | None = None


def formatter(log_format: LogFormat) -> Callable[[LogLine], bytes]:
    """Return the function that turns a line into the bytes of a JSON object, without the end of the line."""
    shape = _SHAPES[log_format]
    return lambda line: _encode(line, shape)


def _encode(line: LogLine, shape: Callable[[LogLine], dict[str, Any]]) -> bytes:
    known = EVENTS.get(line.event, ())
    for characters, entries in _LIMITS:
        fields = {
            name: plain
            for name, value in line.fields.items()
            if value is not None
            and name in known
            and (plain := _plain(value, FIELDS[name], characters, entries)) is not None
        }
        message = None if line.message is None else _text(line.message, characters)
        if message != line.message or any(
            fields.get(name) != (list(value) if isinstance(value, tuple) else value)
            for name, value in line.fields.items()
            if value is not None
        ):
            fields["truncated"] = True
        encoded = orjson.dumps(shape(line._replace(fields=fields, message=message)))
        if len(encoded) < MAX_LINE_BYTES:
            return encoded
    return orjson.dumps(shape(line._replace(fields={"truncated": True}, message=None)))


def encode_attempt(line: LogLine, log_format: LogFormat) -> bytes:
    """Return the line of an item's attempt, faster than `formatter`: its fields are ours and mostly short."""
    try:
        encoded = orjson.dumps(_SHAPES[log_format](line))
    except TypeError:
        return formatter(log_format)(line)
    return encoded if len(encoded) < MAX_LINE_BYTES else formatter(log_format)(line)


def _plain(value: object, kind: LogFieldType, characters: int, entries: int) -> Any:
    """Return a value as its field's type; None if it cannot be one."""
    match kind:
        case LogFieldType.TEXT:
            return _text(value if isinstance(value, str) else str(value), characters)
        case LogFieldType.FLAG:
            return value if isinstance(value, bool) else None
        case LogFieldType.INTEGER:
            return value if isinstance(value, int) and -(2**63) <= value < 2**63 else None
        case LogFieldType.NUMBER:
            return float(value) if isinstance(value, int | float) and abs(value) < 1e300 else None
        case LogFieldType.TEXTS:
            listed = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
            return [_text(str(each), characters) for each in listed[:entries]]
        case LogFieldType.INTEGERS:
            listed = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
            return [each for each in listed[:entries] if isinstance(each, int) and -(2**63) <= each < 2**63]


def _text(text: str, characters: int) -> str:
    # What UTF-8 cannot hold, such as half of a pair, becomes a question mark.
    return text[:characters].encode("utf-8", "replace").decode()


def timestamp(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def _json(line: LogLine) -> dict[str, Any]:
    return {"time": timestamp(line.time), **_head(line), **line.fields}


def _head(line: LogLine) -> dict[str, Any]:
    head = {"level": line.level, "event": line.event, "logger": line.logger, "host": _host(), "pid": os.getpid()}
    return head if line.message is None else {**head, "message": line.message}


def _splunk(line: LogLine) -> dict[str, Any]:
    event = {**_head(line), **line.fields}
    del event["host"]
    return {
        "time": round(line.time, 3),
        "host": _host(),
        "source": _SERVICE,
        "sourcetype": "_json",
        "event": event,
    }


def _ecs(line: LogLine) -> dict[str, Any]:
    ours = dict(line.fields)
    event: dict[str, Any] = {"kind": "event", "dataset": "pipeline.log", "action": line.event}
    made: dict[str, Any] = {
        "@timestamp": timestamp(line.time),
        "log": {"level": line.level, "logger": line.logger},
        "message": line.event if line.message is None else line.message,
        "ecs": {"version": _ECS_VERSION},
        "service": {"name": _SERVICE, "version": _version()},
        "host": {"name": _host()},
        "process": {"pid": os.getpid()},
        "event": event,
    }
    if line.event == _ITEM_ATTEMPT:
        event |= {"dataset": "pipeline.items", "outcome": _ECS_OUTCOMES.get(ours.get("outcome", ""), "unknown")}
        event |= {ecs: ours.pop(name) for name, ecs in (("started_at", "start"), ("ended_at", "end")) if name in ours}
        if "duration_ms" in ours:
            event["duration"] = round(ours.pop("duration_ms") * 1_000_000)
    error = {}
    if "error_type" in ours:
        error["type"] = ours.pop("error_type")
    if "frames" in ours:
        error["stack_trace"] = "\n".join(ours.pop("frames"))
    made |= {"error": error} if error else {}
    made |= {name: {"id": ours.pop(f"{name}_id")} for name in ("trace", "span") if f"{name}_id" in ours}
    return made | ({"pipeline": ours} if ours else {})


@cache
def _version() -> str:
    return installed_version()


@cache
def _host() -> str:
    return socket.gethostname()


_SHAPES = {LogFormat.JSON: _json, LogFormat.ECS: _ecs, LogFormat.SPLUNK: _splunk}
