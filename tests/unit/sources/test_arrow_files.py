"""Arrow files and streams, and what to do about values that JSON does not have."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.ipc
import pytest

from pipeline.errors import InvalidInput
from pipeline.sources import ReadOptions, ReadReport, open_source

ZONED = pa.timestamp("us", "UTC")


def written(columns, opener=pa.ipc.new_file):
    table = pa.table(columns)
    file = io.BytesIO()
    with opener(file, table.schema) as writer:
        writer.write_table(table)
    return file.getvalue()


@pytest.fixture
def read(tmp_path):
    def read(columns, **options):
        path = tmp_path / "a.arrow"
        path.write_bytes(written(columns))
        return list(open_source([path], ReadOptions(**options), ReadReport()).read())

    return read


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.RunEndEncodedArray.from_arrays([1], pa.array([5], pa.timestamp("us"))), "1970-01-01T00:00:00.000005"),
        (pa.array([[1, 2]], pa.list_view(pa.int64())), [1, 2]),
        (pa.array(["a"]).dictionary_encode(), "a"),
        (pa.array(["a"], pa.large_string()), "a"),
        (pa.array([[("k", [5])]], pa.map_(pa.string(), pa.list_(ZONED))), {"k": ["1970-01-01T00:00:00.000005Z"]}),
        (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array) else "",
)  # fmt: skip
def test_a_value_is_exact(read, array, expected):
    assert read({"a": array})[0].payload == {"a": expected}


BYTES = pa.array([b"a", None, b"\xff"])


def test_bytes_are_refused_unless_an_option_says_what_they_are(read):
    with pytest.raises(InvalidInput, match="column 'a' contains bytes .binary., which JSON cannot .* --binary utf8"):
        read({"a": BYTES})
    assert [item.payload["a"] for item in read({"a": BYTES}, binary="base64")] == ["YQ==", None, "/w=="]
    *read_rows, refused = read({"a": BYTES}, binary="utf8")
    assert [item.payload["a"] for item in read_rows] == ["a", None]
    assert refused.reason == "column 'a' holds bytes that are not text in UTF-8; --binary base64 keeps them"
    nested = pa.array([{"x": [b"a"]}], pa.struct([("x", pa.list_(pa.large_binary()))]))
    assert read({"a": nested}, binary="utf8")[0].payload == {"a": {"x": ["a"]}}


def test_nan_and_infinity_refuse_their_row_or_become_null(read):
    floats = pa.array([1.5, float("nan"), float("inf"), None])
    assert [getattr(item, "reason", None) for item in read({"a": floats})] == [
        None,
        "payload.a is nan: JSON has neither NaN nor infinity; --nan null stores null",
        "payload.a is inf: JSON has neither NaN nor infinity; --nan null stores null",
        None,
    ]
    assert [item.payload["a"] for item in read({"a": floats}, nan="null")] == [1.5, None, None, None]
    assert read({"a": pa.array([[float("nan")]])}, nan="null")[0].payload == {"a": [None]}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (pa.array([[(1, "a")]], pa.map_(pa.int32(), pa.string())), "a map whose keys are int32"),
        (pa.array([[1]], pa.list_view(pa.timestamp("s"))), "of type list_view<item: timestamp.s.>"),
        (pa.array([pa.MonthDayNano([1, 2, 3])]), "of type month_day_nano_interval, which has no form in JSON"),
        (
            pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
            "of type sparse_union<0: int64=0>, which has no form",
        ),
    ],
    ids=["map", "view", "interval", "union"],
)
def test_a_type_without_a_form_in_json_is_refused_by_its_column(read, array, message):
    with pytest.raises(InvalidInput, match=f"column 'a' .*{message}"):
        read({"a": array})


def test_a_stream_is_read_from_a_pipe():
    content = io.BytesIO(written({"a": [1, 2]}, pa.ipc.new_stream))
    content.seekable = lambda: False
    items = open_source(["-"], ReadOptions(), ReadReport(), stdin=content).read()
    assert [item.payload for item in items] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("opener", [pa.ipc.new_file, pa.ipc.new_stream])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_file_that_is_cut_off_is_refused(tmp_path, opener, share):
    content = written({"a": list(range(1_000))}, opener)
    (tmp_path / "a.arrow").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InvalidInput, match=r"a\.arrow (cannot be read as Arrow|is truncated)"):
        list(open_source([tmp_path / "a.arrow"], ReadOptions(), ReadReport()).read())
