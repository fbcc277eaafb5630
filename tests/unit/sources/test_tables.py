"""Reading CSV and Parquet."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.payload import UnreadRecord
from pipeline.errors import InvalidInput
from pipeline.sources import Record, Rejection, read_items


def rows(content, **options):
    stdin = io.BytesIO(content if isinstance(content, bytes) else content.encode())
    return list(read_items("-", format="csv", stdin=stdin, **options))


def test_each_row_becomes_an_object_of_texts_with_its_first_line_number():
    assert rows('id,text\n1,"two\nlines, ""quoted"""\n\n2,\r\n') == [
        Record(2, {"id": "1", "text": 'two\nlines, "quoted"'}),
        Record(5, {"id": "2", "text": ""}),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected_from_the_header(delimiter):
    header, row = delimiter.join(["id", '"a, b; c"', "text"]), delimiter.join(["1", "2", "3"])
    assert rows(f"{header}\n{row}\n") == [Record(2, {"id": "1", "a, b; c": "2", "text": "3"})]


def test_a_single_column_needs_no_delimiter():
    assert rows("text\nhello\n") == [Record(2, {"text": "hello"})]


def test_a_tsv_file_is_separated_by_tabs_even_if_its_header_has_more_commas(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("a,b,c\td\n1\t2\n")
    assert list(read_items(path)) == [Record(2, {"a,b,c": "1", "d": "2"})]


def test_a_compressed_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("\ufeff id ;text\n1;é\n".encode()))
    assert list(read_items(path)) == [Record(2, {"id": "1", "text": "é"})]


def test_utf16_from_a_spreadsheet_is_read():
    assert rows("id\ttext\r\n1\té\r\n".encode("utf-16")) == [Record(2, {"id": "1", "text": "é"})]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1,2,3", "3 fields where the header has 2"),
        ("1", "1 field where the header has 2"),
        ('1,"a"b', "text follows a closing quote"),
        ("1,a\x00b", "payload.text contains a NUL character"),
        ("1,a\rb", "there is a carriage return without a line feed"),
        ("1," + "x" * 262_200, "payload has 262,220 bytes as JSON; the limit is 262,144"),
        ("x" * 262_000 + "," + "x" * 262_000, "payload has 524,0"),
        ("1," + "x" * 3_000_000, "longer than 2,097,152 bytes"),
    ],
)
def test_an_invalid_row_is_rejected_alone_with_its_line_number(row, reason):
    before, rejection, after = rows(f"id,text\n1,a\n{row}\n2,b\n")
    assert (before, after) == (Record(2, {"id": "1", "text": "a"}), Record(4, {"id": "2", "text": "b"}))
    assert rejection.line == 3
    assert rejection.reason.startswith(reason)
    assert rejection.text == row[:2_097_153]


def test_the_rejection_of_a_multi_line_row_contains_all_its_lines():
    (rejection, after) = rows('id,text\n1,"a\nb",c\n2,b\n')
    assert rejection == UnreadRecord(2, rejection.reason, '1,"a\nb",c')
    assert rejection.reason.endswith("needs quotes (lines 2 to 3)")
    assert after.line == 4


def test_a_rejection_keeps_empty_fields_at_the_end_of_its_row():
    [rejection] = list(read_items("-", format="tsv", stdin=io.BytesIO(b"a\tb\tc\td\n1\t\t\r\n")))
    assert rejection.text == "1\t\t"


def test_a_quote_that_does_not_close_within_the_limit_says_so():
    content = 'id,text\n1,"' + "x\n" * 60 + '"\n'
    found = rows(content, max_bytes=10)
    assert found[0].reason == (
        "a quote opens on line 2 and does not close within 80 bytes; this line is refused and reading goes on at line 3"
    )


def test_a_header_without_an_end_is_refused_at_once():
    class Endless(io.RawIOBase):
        read_bytes = 0

        def readable(self):
            return True

        def readinto(self, target):
            assert self.read_bytes < 8_000_000
            self.read_bytes += len(target)
            target[:] = bytes(len(target))
            return len(target)

    with pytest.raises(InvalidInput, match="line 1: longer than 2,097,152 bytes"):
        list(read_items("-", stdin=Endless()))


def test_a_row_with_an_unclosed_quote_is_rejected():
    first, rejection, last = rows('id,text\n1,a\n2,"b\n3,c\n')
    assert (first.line, last) == (2, Record(4, {"id": "3", "text": "c"}))
    assert rejection == UnreadRecord(
        3, "a quote opens on line 3 and does not close; this line is refused and reading goes on at line 4", '2,"b'
    )


def test_bytes_in_another_encoding_reject_only_their_row():
    first, rejection, last = rows(b"id,text\n1,a\n2,caf\xe9\n3,c\n")
    assert (first.line, last.line) == (2, 4)
    assert rejection.line == 3
    assert rejection.reason.startswith("byte 17 of the input (0xe9) is not valid UTF-8; ")
    assert rows(b"id,text\n2,caf\xe9\n", encoding="cp1252") == [Record(2, {"id": "2", "text": "café"})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('\na,"b\n1,2\n', "standard input, line 2: a quote opens on line 2 and does not close"),
        (b"caf\xe9,b\n1,2\n", "line 1: byte 3"),
        ("a,b\n", "no items in standard input"),
        ("a,b\n,\n \n", "no items in standard input"),
    ],
)
def test_an_invalid_header_is_an_error(content, message):
    with pytest.raises(InvalidInput, match=message):
        rows(content)


@given(
    st.lists(
        st.tuples(*[st.text(st.sampled_from('ab,;"\n\r\t|=é'), max_size=5)] * 2).filter(
            lambda row: any(map(str.strip, row))
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(",;\t|"),
)
def test_the_output_of_a_csv_writer_is_read_back_unchanged(table, delimiter):
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["first", "second"])
    writer.writerows(table)
    assert [tuple(record.payload.values()) for record in rows(text.getvalue())] == table


def parquet(folder, columns):
    path = folder / "a.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_values_that_json_cannot_represent_become_text(tmp_path):
    at = datetime(2026, 3, 1, 12, 30, 0, 250_000, UTC)
    path = parquet(
        tmp_path,
        {
            "text": ["é"],
            "count": [3],
            "none": pa.array([None], pa.string()),
            "at": pa.array([at.replace(tzinfo=None)], pa.timestamp("ns")),
            "zoned": pa.array([at], pa.timestamp("ns", "Europe/Paris")),
            "day": [date(2026, 3, 1)],
            "time": pa.array([time(1, 2, 3)], pa.time64("ns")),
            "price": [Decimal("12.50")],
            "took": [timedelta(seconds=1.5)],
            "id": pa.array([UUID(int=1).bytes], pa.uuid()),
            "binary": pa.array(["x"]).dictionary_encode(),
            "nested": [{"days": [date(2026, 3, 1)]}],
        },
    )
    assert list(read_items(path)) == [
        Record(
            1,
            {
                "text": "é",
                "count": 3,
                "none": None,
                "at": "2026-03-01T12:30:00.250000",
                "zoned": "2026-03-01T12:30:00.250000Z",
                "day": "2026-03-01",
                "time": "01:02:03",
                "price": "12.50",
                "took": 1.5,
                "id": "00000000-0000-0000-0000-000000000001",
                "binary": "x",
                "nested": {"days": ["2026-03-01"]},
            },
        )
    ]


def test_an_invalid_parquet_row_is_rejected_with_its_number(tmp_path):
    path = parquet(
        tmp_path, {"n": list(range(2500)), "score": [float("nan") if n == 2001 else 0.5 for n in range(2500)]}
    )
    items = list(read_items(path))
    assert [item.line for item in items] == list(range(1, 2501))
    assert [(item.line, item.reason) for item in items if isinstance(item, Rejection)] == [
        (2002, "payload.score is nan: JSON has neither NaN nor infinity; --nan null stores null")
    ]


@pytest.mark.parametrize("values", [[b"x"], [[b"x"]], [{"inner": b"x"}]])
def test_a_parquet_column_of_bytes_is_an_error(tmp_path, values):
    with pytest.raises(InvalidInput, match="column 'photo' contains bytes"):
        list(read_items(parquet(tmp_path, {"photo": values})))


def test_parquet_columns_with_the_same_name_are_an_error(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(InvalidInput, match="two columns are called 'a'"):
        list(read_items(path))


def test_an_empty_or_damaged_parquet_file_is_an_error(tmp_path):
    with pytest.raises(InvalidInput, match="no items in"):
        list(read_items(parquet(tmp_path, {"a": pa.array([], pa.string())})))
    damaged = tmp_path / "b.parquet"
    damaged.write_bytes(b"PAR1 no parquet at all")
    with pytest.raises(InvalidInput, match="b.parquet cannot be read as Parquet: "):
        list(read_items(damaged))
    whole = parquet(tmp_path, {"a": ["x"] * 1000}).read_bytes()
    damaged.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InvalidInput, match="b.parquet cannot be read as Parquet: "):
        list(read_items(damaged))
