"""Properties of messages are read and written exactly as py-amqp does, whatever they are."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from struct import error as StructError
from typing import Any

import pytest
from amqp import Message
from amqp.exceptions import FrameSyntaxError
from amqp.serialization import decode_properties_basic
from hypothesis import given
from hypothesis import strategies as st

from workers.transports.rabbitmq import message_properties

texts = st.text(max_size=20) | st.sampled_from(["\ud800", "x" * 300])
scalars = st.one_of(
    texts,
    st.integers(-(2**33), 2**33),
    st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) + 1]),
    st.booleans(),
    st.none(),
    st.binary(max_size=5),
    st.floats(allow_nan=False),
    st.just(Decimal("1.5")),
    st.datetimes(timezones=st.just(UTC)),
)
names = st.text(max_size=12)
values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(names, scalars, max_size=3)
octets = st.integers(0, 255)
found = st.fixed_dictionaries(
    {},
    optional={
        "content_type": st.text(max_size=20),
        "content_encoding": texts,
        "application_headers": st.dictionaries(names, scalars) | st.dictionaries(names, values),
        "delivery_mode": octets | st.none(),
        "priority": octets,
        "correlation_id": st.text(max_size=40) | st.none(),
        "reply_to": st.text(max_size=40),
        "expiration": st.text(max_size=5),
        "timestamp": st.integers(0, 2**40),
        "app_id": st.none(),
        "no_property": texts,
    },
)

CELERYS: dict[str, Any] = {
    "content_type": "application/json",
    "content_encoding": "utf-8",
    "application_headers": {"lang": "py", "task": "items.classify", "retries": 0, "ignore_result": True, "group": None},
    "delivery_mode": 2,
    "priority": 0,
    "correlation_id": "c",
    "reply_to": "",
}


def kombus(message: Message) -> bytes | type[Exception]:
    """Return what py-amqp writes, or the kind of its error."""
    try:
        written: bytes = message._serialize_properties()
    except (StructError, UnicodeError, FrameSyntaxError) as error:
        return type(error)
    return written


def ours(message: Message) -> bytes | type[Exception]:
    try:
        return message_properties.encode(message)
    except (StructError, UnicodeError, FrameSyntaxError) as error:
        return type(error)


@given(found)
def test_what_is_written_is_what_py_amqp_writes(given: dict[str, Any]) -> None:
    assert ours(Message(**given)) == kombus(Message(**given))


@given(found)
def test_what_is_read_is_what_py_amqp_reads(given: dict[str, Any]) -> None:
    written = kombus(Message(**given))
    if isinstance(written, bytes):
        there = b"before" + written + b"after"
        assert message_properties.decode(there, 6) == decode_properties_basic(there, 6)[0]


def test_what_celery_sends_is_left_to_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    message = Message(**CELERYS)
    written = kombus(message)
    monkeypatch.setattr(message_properties, "decode_properties_basic", None)
    monkeypatch.setattr(Message, "_serialize_properties", None)
    assert message_properties.encode(message) == written
    assert message_properties.decode(message_properties.encode(message), 0) == CELERYS


def test_bytes_that_are_no_text_are_read_as_py_amqp_reads_them() -> None:
    written = Message(application_headers={"raw": b"\xff\xfe", "no": "é".encode("latin-1")})._serialize_properties()
    assert message_properties.decode(written, 0) == {"application_headers": {"raw": b"\xff\xfe", "no": b"\xe9"}}
