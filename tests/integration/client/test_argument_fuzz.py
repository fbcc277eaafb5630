"""With any arguments, a method of the Python API works, or raises an error of pipeline that names the argument.

What Python itself refuses, such as an argument that there is not, is a TypeError and not tried here.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pipeline
from pipeline.errors import PipelineError
from tests.support.factories import make_items
from tests.support.fuzz import HOSTILE_TEXTS, fuzzed

DEFINITION = {
    "name": "d",
    "classify": {"use": "keywords", "default": "other", "rules": [{"label": "x", "any": ["x"]}]},
}


WEST, EAST = timezone(timedelta(hours=-14)), timezone(timedelta(hours=14))


class Odd:
    """An object that is good for nothing."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"x": value}
    return value


HOSTILE: tuple[Any, ...] = (
    *(True, False, 0, 1, -1, 2**31, 2**63, 10**400, 1.5, math.nan, math.inf, -math.inf, 1j, Decimal("NaN")),
    *(b"", b"x", bytearray(b"x"), [], [None], ["x"], (), {}, {"x": 1}, {1: 2}, {("a",): 1}, set(), frozenset({1})),
    *(Odd(), Odd, object(), print, range(3), iter([]), Path(), Path("x"), ..., NotImplemented, pipeline, ValueError()),
    *(datetime(9999, 12, 31), datetime(9999, 12, 31, tzinfo=WEST), datetime(1, 1, 1, tzinfo=EAST)),  # noqa: DTZ001
    *(timedelta.max, timedelta.min, pipeline.BatchState.RUNNING, pipeline.DeliveryState.DEAD, {1: "x"}, {"X-A": 1}),
    *(pipeline.Item({"text": "x"}), [pipeline.Item(5)], [pipeline.Item({"text": "x"}, 5, 5)]),  # type: ignore[arg-type]
    *([nested(2_000)], [{"text": Odd()}], [{"text": nested(70)}], [Odd()], ["x"], [b"x"], nested(300), {1: None}),
)

hostile = (
    st.sampled_from([*HOSTILE, *HOSTILE_TEXTS]) | st.text(st.characters(), max_size=10) | st.integers() | st.floats()
)

#: Values with which each argument works, by name.
PLAUSIBLE: dict[str, list[Any]] = {
    "items": [[{"text": "x"}]],
    "definition": [pipeline.Definition(**DEFINITION)],  # type: ignore[arg-type]
    "name": ["last"],
    "batch": ["last"],
    "before": ["last"],
    "url": ["https://example.com/x"],
    "endpoint": ["https://example.com"],
    "timeout": [0],
    "work": [lambda connection: None],
}
#: Would start workers or wait for them.
LEFT_OUT = {"work", "close", "transaction"}


def methods(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_") and name not in LEFT_OUT:
            yield name, method


CALLS = [(kind, name) for kind in (pipeline.Client, pipeline.Batch, pipeline.Endpoint) for name, _ in methods(kind)]


@st.composite
def calls(draw: st.DrawFn) -> tuple[type, str, dict[str, Any]]:
    """Draw a method, and arguments most of which make sense."""
    kind, name = draw(st.sampled_from(CALLS))
    given: dict[str, Any] = {}
    for parameter in list(inspect.signature(getattr(kind, name)).parameters.values())[1:]:
        is_required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
        if parameter.kind is parameter.VAR_KEYWORD:
            given |= draw(st.dictionaries(st.sampled_from(sorted(pipeline.EndpointChanges.__annotations__)), hostile))
        elif is_required or draw(st.integers(0, 2)) == 2:
            known = PLAUSIBLE.get(parameter.name)
            given[parameter.name] = draw(st.sampled_from(known)) if known and draw(st.booleans()) else draw(hostile)
    return kind, name, given


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pipeline.Client]:
    """A client with a batch that is complete; its workers are those of nobody."""
    folder = tmp_path_factory.mktemp("fuzz")
    with pipeline.connect(database_url=f"sqlite:///{folder / 'pipeline.db'}", definitions=folder) as client:
        client.submit(make_items(2), pipeline.Definition(**DEFINITION)).wait(60)  # type: ignore[arg-type]
        # Complete before anything is called: one that a call pauses in time would be waited for without end.
        submit_known(client).wait(60)
        yield client


def submit_known(client: pipeline.Client) -> pipeline.Batch:
    return client.submit([{"text": "x"}], pipeline.Definition(**DEFINITION), idempotency_key="k")  # type: ignore[arg-type]


@fuzzed(150)
@given(call=calls())
def test_no_argument_raises_an_error_of_something_else(
    client: pipeline.Client, call: tuple[type, str, dict[str, Any]]
) -> None:
    kind, name, given = call
    batch = submit_known(client)
    target = {pipeline.Client: client, pipeline.Batch: batch}.get(kind) or client.endpoint("https://example.com")
    message = ""
    try:
        found = getattr(target, name)(**given)
        if isinstance(found, Iterator):
            list(islice(found, 3))
    except PipelineError as error:
        message = str(error)
    assert len(message.encode()) < 5_000
