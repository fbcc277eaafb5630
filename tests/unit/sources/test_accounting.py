"""For any bytes, each row is an item, a rejection or a blank row, or the input is refused with a clear error."""

from __future__ import annotations

import gzip
import io
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.sources import HeaderRules, ReadReport, Record, read_items
from pipeline.sources.text.csv_rows import CsvRows, TableDialect
from pipeline.sources.text.text_input import TextInput

FAULT = None


def read(content, **options):
    """Return the items and the number of blank rows, or None if the input is refused."""
    report = ReadReport()
    try:
        items = list(read_items("-", stdin=io.BytesIO(content), report=report, **options))
    except InvalidInput:
        return None
    return items, report.blank_rows


def places(items):
    return [(item.line, item.payload if isinstance(item, Record) else None) for item in items]


# A second, slow and plain reader of CSV. By state and kind of character: the next state, and what becomes of the
# character: it is added to the field, or it ends the field.
_FIELD_ENDS = {"delimiter": ("start", "end"), "cr": ("return", "end"), "lf": ("done", "end")}
_STATES = {
    "start": {**_FIELD_ENDS, "quote": ("quoted", ""), "other": ("plain", "add")},
    "plain": {**_FIELD_ENDS, "quote": ("plain", "add"), "other": ("plain", "add")},
    "quoted": {
        "quote": ("closing", ""),
        **dict.fromkeys(("delimiter", "cr", "lf", "other"), ("quoted", "add")),
    },
    "closing": {**_FIELD_ENDS, "quote": ("quoted", "add")},
    "return": {"cr": ("return", ""), "lf": ("done", "")},
}


def parse_row(text, delimiter, has_quotes=True, skips_spaces=False):
    """Return the fields of the row at the beginning of `text` and its length; None for a fault."""
    kinds = {delimiter: "delimiter", "\r": "cr", "\n": "lf", **({'"': "quote"} if has_quotes else {})}
    fields, state, length = [""], "start", 0
    for char in text:
        if state == "done":
            break
        is_skipped = skips_spaces and char == " " and state == "start"
        state, action = (state, "") if is_skipped else _STATES[state].get(kinds.get(char, "other"), ("fault", ""))
        if state == "fault":
            return FAULT
        length += 1
        fields[-1] += char if action == "add" else ""
        fields += [""] * (action == "end" and state == "start")
    return FAULT if state == "quoted" else (fields, length)


def reference_rows(text, delimiter, has_quotes=True, skips_spaces=False):
    """Yield the first line and the fields of each row; a fault costs the line on which its row begins."""
    lines = [line + "\n" for line in text.split("\n")]
    lines[-1] = lines[-1][:-1]
    number = 0
    while number < len(lines) and (lines[number] or number < len(lines) - 1):
        rest = "".join(lines[number:])
        found = parse_row(rest, delimiter, has_quotes, skips_spaces)
        yield number + 1, found and found[0]
        read = "\n" if found is FAULT else rest[: found[1]]
        number += read.count("\n") + (not read.endswith("\n"))


def rows_of(content, dialect, max_bytes=100_000):
    source = TextInput(io.BufferedReader(io.BytesIO()), "input", "utf-8", max_bytes)
    lines, offset = [], 0
    for number, raw in enumerate(split(content)):
        lines.append((number + 1, offset, raw))
        offset += len(raw)
    rows = CsvRows(source, lines, dialect)
    found = []
    for row in rows:
        last = rows.span().removesuffix(")").rpartition(" ")[2] or rows.line
        found.append((rows.line, int(last), FAULT if rows.problem else row))
    return lines, found


def split(content):
    *lines, last = content.encode().split(b"\n")
    return [line + b"\n" for line in lines] + ([last] if last else [])


pieces = st.sampled_from(
    ["1", "a", "é", ",", ",", '"', '"', '""', '","', '",a","', "\n", "\n", "\r\n", "\r", " ", ";", "x,y\n"]
)
tables = st.lists(pieces, max_size=40).map("".join)


@given(tables)
def test_rows_are_those_of_a_plain_reader_that_goes_on_at_the_line_after_a_fault(content):
    lines, found = rows_of(content, TableDialect(","))
    expected = [(line, row if row != [""] else []) for line, row in reference_rows(content, ",")]
    assert [(first, row if row != [""] else []) for first, _, row in found] == expected


@given(tables, st.integers(1, 4))
def test_no_line_is_lost_or_read_twice_even_if_rows_are_longer_than_allowed(content, max_bytes):
    lines, found = rows_of(content, TableDialect(","), max_bytes)
    covered = [line for first, last, _ in found for line in range(first, last + 1)]
    assert covered == [number for number, _, _ in lines]


class CountedBytes(bytes):
    """Bytes that count how often they are decoded."""

    decoded = 0

    def decode(self, *arguments):
        CountedBytes.decoded += 1
        return super().decode(*arguments)


@pytest.mark.parametrize("line", ['"",a","', '"a', 'a,"b', 'a,"b""', '"'])
def test_a_table_in_which_every_line_opens_a_quote_is_read_at_most_three_times(line):
    CountedBytes.decoded = 0
    raw = CountedBytes(line.encode() + b"\n")
    lines = ((number, number * len(raw), raw) for number in range(1, 5_001))
    source = TextInput(io.BufferedReader(io.BytesIO()), "input", "utf-8", 100_000)
    assert sum(1 for _ in CsvRows(source, lines, TableDialect(","))) >= 2_500
    assert CountedBytes.decoded <= 15_000


def is_item(row, header):
    """Return whether a row is as wide as the header, and not the header again."""
    is_repeated = len(header) > 1 and row is not FAULT and [field.strip() for field in row] == header
    return row is not FAULT and len(row) == len(header) and not is_repeated


heads = st.sampled_from(["id,text\n", "id;text\n", "id\ttext\n", "id|text|\n", "", "sep=;\n", "\ufeffid,id\n"])


@given(heads, tables, st.sampled_from(["csv", "tsv"]))
def test_every_row_of_a_table_is_an_item_a_rejection_or_blank(head, body, format):
    content = head + body
    outcome = read(content.encode(), format=format, header=HeaderRules(lenient=True))
    if outcome is None or "\r" in content.partition("\n")[0].removesuffix("\r"):
        # CR alone ends lines there; see below.
        return
    items, blank = outcome
    text = content.removeprefix("\ufeff")
    skipped = 1 if text.lower().startswith("sep=;") and text[5:6] in ("\n", "\r", "") else 0
    text = text.partition("\n")[2] if skipped else text
    dialects = [(delimiter, True, skips) for delimiter in ",;\t|" for skips in (False, True)] + [("\t", False)]
    candidates = []
    for dialect in dialects:
        rows = [(line + skipped, row) for line, row in reference_rows(text, *dialect)]
        full = [(line, row) for line, row in rows if row is FAULT or any(map(str.strip, row))]
        width = len(full[0][1]) if full and full[0][1] else 0
        header = [name.strip() for name in full[0][1]] if width else []
        values = [(line, row if is_item(row, header) else None) for line, row in full[1:]]
        candidates.append((len(rows) - len(full), values))
    found = [(line, payload and list(payload.values())) for line, payload in places(items)]
    assert (blank, found) in candidates


@given(heads, tables)
def test_a_table_whose_lines_end_with_cr_is_read_like_one_with_lf(head, body):
    content = (head + body).replace("\r", "")
    expected = read(content.encode(), format="csv")
    found = read(content.replace("\n", "\r").encode(), format="csv")
    assert (expected and (places(expected[0]), expected[1])) == (
        found and ([(line, payload and with_line_feeds(payload)) for line, payload in places(found[0])], found[1])
    )


def with_line_feeds(payload):
    return {name.replace("\r", "\n"): text.replace("\r", "\n") for name, text in payload.items()}


lines_of_json = st.lists(
    st.sampled_from(
        ['{"a": 1}', '{"a": "é"}', "{", "[1]", "", " ", '{"a": "\\n"}', '"x"', "\x0c", '{"a":1}{"a":2}', "\x00"]
    ),
    max_size=12,
)


@given(lines_of_json, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_every_line_of_json_lines_is_an_item_a_rejection_or_blank(lines, end, ends):
    content = end.join(lines) + (end if ends else "")
    outcome = read(content.encode(), format="jsonl")
    if outcome is None:
        return
    items, blank = outcome
    count = len(lines) - (not ends and lines[-1] == "")
    assert len(items) + blank == count
    assert [item.line for item in items] == [number for number, line in enumerate(lines, 1) if line.strip()]


elements = st.lists(
    st.sampled_from(['{"a": 1}', '{"a": [1, {"b": "]"}]}', "1", '"},{"', "[{}]", "{'a'}", "{1: 2}", "\n{}", "null"]),
    min_size=1,
    max_size=8,
)


@given(elements)
def test_every_element_of_an_array_is_an_item_or_a_rejection(parts):
    outcome = read(f"[{','.join(parts)}]".encode())
    assert outcome is not None
    items, blank = outcome
    assert (len(items), blank) == (len(parts), 0)


@given(heads, tables, st.sampled_from(["utf-16", "utf-16-le", "utf-32-be", "gzip", "members"]))
def test_a_table_is_the_same_in_another_encoding_and_compressed(head, body, way):
    text = (head + body).removeprefix("\ufeff")
    plain = read(text.encode(), format="csv")
    if way == "gzip":
        other = read(gzip.compress(text.encode()), format="csv")
    elif way == "members":
        cut = len(text) // 2
        other = read(gzip.compress(text[:cut].encode()) + gzip.compress(text[cut:].encode()), format="csv")
    else:
        other = read(text.encode(way), format="csv", encoding=way)
    assert (plain and (places(plain[0]), plain[1])) == (other and (places(other[0]), other[1]))


@given(
    st.lists(
        st.sampled_from([b"id,t\n", b"[", b"{", b'"', b"\xff", b"\x00", b"\n", b"\xe9", b"\x1f\x8b", b"PK"])
        | st.binary(max_size=6),
        max_size=8,
    ).map(b"".join),
    st.sampled_from([None, "jsonl", "json", "csv", "tsv"]),
    st.sampled_from(
        [
            None,
            "utf-8",
            "utf-16",
            "utf-7",
            "shift_jis",
            "hz",
            "iso2022_jp",
            "big5",
            "idna",
            "punycode",
            "unicode_escape",
        ]
    ),
)
def test_any_bytes_are_read_or_refused(content, format, encoding):
    outcome = read(content, format=format, encoding=encoding)
    lines = [item.line for item in outcome[0]] if outcome else []
    assert lines == sorted(lines)


def make_parquet():
    at = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    columns = {
        "id": [f"k{number}" for number in range(40)],
        "at": pa.array([at] * 40, pa.timestamp("us", "UTC")),
        "tags": [["a", "b"], None] * 20,
        "nested": [{"at": [at]}, {"at": []}] * 20,
        "kind": pa.array(["x", "y"] * 20).dictionary_encode(),
    }
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, row_group_size=10, compression="none")
    return file.getvalue()


PARQUET = make_parquet()


@given(st.lists(st.tuples(st.integers(0, len(PARQUET) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_parquet_file_is_read_completely_or_refused(tmp_path_factory, changes):
    content = bytearray(PARQUET)
    for place, byte in changes:
        content[place] = byte
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    path.write_bytes(content)
    items = []
    try:
        items.extend(read_items(path))
    except InvalidInput:
        return
    assert [item.line for item in items] == list(range(1, pq.read_metadata(path).num_rows + 1))


@pytest.mark.parametrize("blank", [b"\n", b"\r\n", b" \t\n"])
def test_many_blank_lines_are_counted_and_shift_no_line_number(blank):
    content = b'{"a": 1}\n' + blank * 100_000 + b'  {"a": 2}\n' + blank * 40 + b'{"a":'
    items, blank_rows = read(content, format="jsonl")
    assert (blank_rows, places(items)) == (100_040, [(1, {"a": 1}), (100_002, {"a": 2}), (100_043, FAULT)])


def test_blank_lines_between_rows_are_skipped_and_those_inside_quotes_kept():
    inside = "x" + "\n" * 40 + "y"
    content = b"a,b\n" + b"\n" * 100 + f'1,"{inside}"\n\n2,3\n'.encode()
    items, blank_rows = read(content)
    assert (blank_rows, places(items)) == (101, [(102, {"a": "1", "b": inside}), (144, {"a": "2", "b": "3"})])
