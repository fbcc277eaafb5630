"""Values of Parquet that Python or JSON cannot hold: converted exactly, or their row is refused alone."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import InvalidInput
from pipeline.sources import Record, read_items
from pipeline.sources.columnar import parquet as parquet_reader
from pipeline.sources.columnar import record_batches
from pipeline.sources.columnar.dictionary_pages import dictionary_bytes
from pipeline.sources.columnar.parquet_footer import read_chunks

MICROSECONDS = pa.timestamp("us")
#: The first instant after the year 9999, and the last before the year 1, in microseconds.
TOO_LATE, TOO_EARLY = 253_402_300_800_000_000, -62_135_596_800_000_001
SPARK_YEARS = [
    datetime(year, 12, 31, 1, 2, 3, tzinfo=UTC).replace(tzinfo=None) for year in (1, 1200, 1582, 1970, 2400, 9999)
]


@pytest.fixture
def write(tmp_path):
    def write(columns, **options):
        path = tmp_path / "a.parquet"
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)
        return list(read_items(path))

    return write


def column(values, kind, integers):
    """Return an array of type `kind` from values of the same type with integers for instants."""
    return pa.array(values, integers).cast(kind)


def test_instants_of_spark_are_right_in_every_year(write):
    found = write({"at": pa.array(SPARK_YEARS, MICROSECONDS)}, use_deprecated_int96_timestamps=True)
    assert [item.payload["at"] for item in found] == [at.isoformat() for at in SPARK_YEARS]


INT = pa.int64()
NESTED = [
    ("an instant", MICROSECONDS, INT, lambda value: value),
    ("in a list", pa.list_(MICROSECONDS), pa.list_(INT), lambda value: [0, value]),
    ("in a list of fixed size", pa.list_(MICROSECONDS, 1), pa.list_(INT, 1), lambda value: [value]),
    ("in a large list", pa.large_list(MICROSECONDS), pa.large_list(INT), lambda value: [value]),
    ("in a struct", pa.struct([("x", MICROSECONDS)]), pa.struct([("x", INT)]), lambda value: {"x": value}),
    (
        "in a list of structs",
        pa.list_(pa.struct([("x", MICROSECONDS)])),
        pa.list_(pa.struct([("x", INT)])),
        lambda value: [{"x": value}],
    ),
    ("in a map", pa.map_(pa.string(), MICROSECONDS), pa.map_(pa.string(), INT), lambda value: [("k", value)]),
]


@pytest.mark.parametrize(("kind", "integers", "wrap"), [each[1:] for each in NESTED], ids=[each[0] for each in NESTED])
def test_an_instant_outside_the_calendar_refuses_its_row(write, kind, integers, wrap):
    values = [wrap(0), wrap(TOO_LATE), None, wrap(TOO_EARLY), wrap(TOO_LATE - 1)]
    found = write({"id": list("abcde"), "a": column(values, kind, integers)})
    assert [item.line for item in found if isinstance(item, Record)] == [1, 3, 5]
    assert [(item.line, item.reason) for item in found if not isinstance(item, Record)] == [
        (2, "column 'a' holds an instant beyond the year 9999"),
        (4, "column 'a' holds an instant before the year 1"),
    ]
    assert "9999-12-31T23:59:59.999999" in str(found[4].payload)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([1], pa.timestamp("ns")), "1970-01-01T00:00:00.000000001"),
        (pa.array([-1], pa.timestamp("ns")), "1969-12-31T23:59:59.999999999"),
        (pa.array([1_500], pa.timestamp("ms", "Asia/Kathmandu")), "1970-01-01T00:00:01.500000Z"),
        (pa.array([0], pa.timestamp("s", "+05:45")), "1970-01-01T00:00:00Z"),
        (pa.array([2_932_896], INT).cast(pa.int32()).cast(pa.date32()), "9999-12-31"),
        (pa.array([-86_400_000], INT).cast(pa.date64()), "1969-12-31"),
        (pa.array([86_399_000_000_001], pa.time64("ns")), "23:59:59.000000001"),
        (pa.array([3_723_004], pa.int32()).cast(pa.time32("ms")), "01:02:03.004000"),
        (pa.array([-1_500_000_000], pa.duration("ns")), -1.5),
        (pa.array([2**62], pa.duration("us")), 2**62 / 1_000_000),
        (pa.array([5, 5], MICROSECONDS).dictionary_encode(), "1970-01-01T00:00:00.000005"),
        (pa.array([Decimal("1.10")], pa.decimal128(38, 2)), "1.10"),
        (pa.array([Decimal("-0.001")], pa.decimal256(76, 3)), "-0.001"),
        (pa.array([2**64 - 1], pa.uint64()), 2**64 - 1),
        (pa.nulls(1), None),
        (pa.array([Decimal("0.0000001")], pa.decimal128(9, 7)), "0.0000001"),
        (pa.array([Decimal("0E-10")], pa.decimal256(40, 10)).dictionary_encode(), "0.0000000000"),
        (pa.array([1.5], pa.float16()), 1.5),
        (pa.array([[("a", 1), ("b", None)]], pa.map_(pa.string(), pa.int32())), {"a": 1, "b": None}),
        (pa.array(["x"], pa.string_view()), "x"),
        (pa.array([["x"]], pa.list_(pa.large_string())), ["x"]),
        (pa.array([[[], None]], pa.list_(pa.list_(MICROSECONDS))), [[], None]),
    ],
    ids=lambda each: str(each.type) if isinstance(each, pa.Array | pa.ChunkedArray) else "",
)
def test_a_value_is_exact(write, array, expected):
    assert write({"a": array})[0] == Record(1, {"a": expected})


def test_dates_times_and_numbers_that_json_lacks_refuse_their_row(write):
    found = write(
        {
            "day": pa.array([0, 2_932_897, 0, 0], pa.int32()).cast(pa.date32()),
            "score": [0.5, 0.5, float("nan"), 0.5],
            "text": pa.StringArray.from_buffers(
                4, pa.py_buffer(b"".join(n.to_bytes(4, "little") for n in range(5))), pa.py_buffer(b"abc\xff")
            ),
        }
    )
    assert found[0] == Record(1, {"day": "1970-01-01", "score": 0.5, "text": "a"})
    assert [item.reason for item in found[1:]] == [
        "column 'day' holds a date beyond the year 9999",
        "payload.score is nan: JSON has neither NaN nor infinity; --nan null stores null",
        "column 'text' cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ]


def test_a_struct_with_two_fields_of_one_name_is_an_error(write):
    twice = pa.StructArray.from_arrays([pa.array([1]), pa.array([2])], names=["x", "x"])
    with pytest.raises(InvalidInput, match="two fields of column 's' are called 'x'"):
        write({"s": twice})


def test_a_map_with_a_key_twice_refuses_its_row(write):
    twice = pa.array([[("a", 1), ("a", 2)], [("a", 1)]], pa.map_(pa.string(), pa.int32()))
    refused, read = write({"a": twice})
    assert refused.reason == "column 'a' holds a map that has a key twice"
    assert read.payload == {"a": {"a": 1}}


@pytest.mark.parametrize("kept", [100, 10_000])
def test_a_text_that_a_file_has_once_is_read_in_as_few_rows_as_memory_allows(write, monkeypatch, kept):
    monkeypatch.setattr(parquet_reader, "_MAX_DICTIONARY_BYTES", kept)
    monkeypatch.setattr(record_batches, "REPEATED_BYTES", 1_000)
    monkeypatch.setattr(parquet_reader, "REPEATED_BYTES", 1_000)
    long, short = "x" * 600, "y"
    index = pa.array([0, 1, None, 0, 1], pa.int32())
    texts = pa.DictionaryArray.from_arrays(index, pa.array([long, short]))
    nested = pa.array([[long], [], None, [short, long], [short]])
    table = pa.table({"text": texts, "nested": nested})
    found = write(table)
    assert [item.payload["text"] for item in found] == [long, short, None, long, short]
    assert [item.payload["nested"] for item in found] == [[long], [], None, [short, long], [short]]


def test_a_column_of_far_more_values_than_bytes_is_refused(write, monkeypatch):
    monkeypatch.setattr(parquet_reader, "_MANY_VALUES", 1_000)
    table = pa.table({"numbers": pa.array([[7] * 50_000])})
    with pytest.raises(InvalidInput, match=r"'numbers.list.element' makes 50,000 values of \d+ bytes"):
        write(table)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_the_size_of_a_dictionary_is_known_before_it_is_read(tmp_path, compression, version):
    text = pa.array([f"{number % 50:04}" for number in range(1_000)])
    table = pa.table({"text": text, "plain": text, "number": range(1_000)})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, compression=compression, use_dictionary=["text"], data_page_version=version)
    with path.open("rb") as file:
        (chunks,) = read_chunks(file)
        # Each text has its length in four bytes before it.
        assert [dictionary_bytes(file, chunk) for chunk in chunks] == [50 * 8, 0, 0]
        file = io.BytesIO(bytes(path.stat().st_size))
        assert dictionary_bytes(file, chunks[0]) == chunks[0].size
