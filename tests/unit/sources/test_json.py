"""Reading JSON Lines and JSON arrays from files and standard input."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.payload import UnreadRecord, find_problem
from pipeline.errors import InvalidInput
from pipeline.sources import Record, Rejection, read_items


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def from_stdin(content, **options):
    return list(
        read_items("-", stdin=io.BytesIO(content if isinstance(content, bytes) else content.encode()), **options)
    )


def payloads(items):
    return [item.payload for item in items if isinstance(item, Record)]


def reasons(items):
    return [item.reason for item in items if isinstance(item, Rejection)]


def test_lines_become_records_with_line_numbers_and_blank_lines_are_skipped(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"a": 1}\n\n  \r\n{"a": "é"}\r\n{"a":3}')
    assert list(read_items(path)) == [Record(1, {"a": 1}), Record(4, {"a": "é"}), Record(5, {"a": 3})]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.JSONL", "a.json", "a.jsonl.gz"])
def test_json_lines_are_read_from_files_with_any_of_these_suffixes(tmp_path, name):
    content = b'{"a": 1}\n{"a": 2}\n'
    path = write(tmp_path, name, gzip.compress(content) if name.endswith("gz") else content)
    assert payloads(read_items(path)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1', "invalid JSON at column 8: expecting ',' delimiter"),
        ("{'a': 1}", "invalid JSON at column 2: expecting property name enclosed in double quotes"),
        ('{"a": "x\ty"}', "invalid JSON at column 9: invalid control character"),
        ('{"a": 1} {"a": 2}', "invalid JSON at column 10: extra data"),
        ("[1, 2]", "an array, not an object"),
        ('"text"', "a string, not an object"),
        ("null", "null, not an object"),
        ("true", "true or false, not an object"),
        ("12.5", "a number, not an object"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": [-Infinity]}', "-Infinity is not JSON"),
        ('{"a": 1e999}', "payload.a is inf"),
        ('{"a": "\\ud800"}', "payload.a contains a lone surrogate"),
        ('{"a": "\\u0000"}', "payload.a contains a NUL character"),
        ('{"a\\u0000b": 1}', "payload has the key 'a\\x00b', which contains a NUL character"),
        ('{"a": 1, "b": {"c": 1, "c": 1}}', "the key 'c' appears twice in one object"),
        ('{"a": 1, "\\u0061": 2}', "the key 'a' appears twice in one object"),
        ('{"a": 18446744073709551616}', "18446744073709551616 is an integer beyond 64 bits"),
        ('{"a": -9223372036854775809}', "-9223372036854775809 is an integer beyond 64 bits"),
        ('{"a": ' + "9" * 5000 + "}", "9" * 60 + " is an integer beyond 64 bits"),
        ('{"a": ' + "[" * 64 + "]" * 64 + "}", "payload is nested deeper than 64 levels"),
        ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "payload is nested deeper than 64 levels"),
        ('{"a": "' + "x" * 262_144 + '"}', "payload has 262,152 bytes as JSON; the limit is 262,144"),
        ('{"a": "' + "x" * 3_000_000 + '"}', "longer than 2,097,152 bytes"),
    ],
)
def test_an_invalid_line_is_rejected_alone_with_its_number(line, reason):
    before, rejection, after = from_stdin(f'{{"n": 1}}\n{line}\n{{"n": 2}}\n')
    assert (before, after) == (Record(1, {"n": 1}), Record(3, {"n": 2}))
    assert rejection.line == 2
    assert rejection.reason.startswith(reason)
    assert rejection.text == line[:2_097_153]


@pytest.mark.parametrize(
    "line",
    [
        '{"a": 12.50, "b": 1E5, "c": -0}',
        '{"a": "\\u00e9\\/"}',
        '{"a": 18446744073709551615}',
        '{"a": "\\\\u0000: NaN"}',
    ],
)
def test_json_that_is_not_in_canonical_form_is_accepted(line):
    assert payloads(from_stdin(line)) == [json.loads(line)]


def test_bytes_that_are_not_utf8_are_rejected_with_their_offset_and_a_hint(tmp_path):
    path = write(tmp_path, "a.jsonl", b'{"a": 1}\n{"a": "caf\xe9"}\n{"a": 3}\n')
    first, rejection, last = read_items(path)
    assert (first.line, last.line) == (1, 3)
    assert rejection == UnreadRecord(
        2,
        "byte 19 of the input (0xe9) is not valid UTF-8; if the file is not UTF-8, name its encoding with --encoding, "
        "perhaps cp1252, cp1250 or cp1251",
        '{"a": "caf\\xe9"}',
    )


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16", "utf-16-le", "utf-32-be", "utf-8-sig"])
def test_a_specified_encoding_is_used(tmp_path, encoding):
    path = write(tmp_path, "a.jsonl", '{"a": "é"}\n{"a": "ü"}\n'.encode(encoding))
    assert list(read_items(path, encoding=encoding)) == [Record(1, {"a": "é"}), Record(2, {"a": "ü"})]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_determines_the_encoding(encoding):
    assert from_stdin('{"a": "é"}\n'.encode(encoding)) == [Record(1, {"a": "é"})]


def test_bytes_that_are_invalid_in_the_specified_encoding_reject_only_their_line():
    items = from_stdin(b'{"a": 1}\n{"a": "\xe9\x81"}\n{"a": 3}', encoding="cp1252")
    assert payloads(items) == [{"a": 1}, {"a": 3}]
    assert reasons(items)[0].startswith("column 9 (byte 0x81) is not valid cp1252")


def test_half_a_utf16_character_rejects_only_its_line():
    bad = '{"a": "'.encode("utf-16-le") + b"\x00\xd8" + '"}\n{"a": 2}\n'.encode("utf-16-le")
    items = from_stdin('{"a": 1}\n'.encode("utf-16-le") + bad, encoding="utf-16-le")
    assert payloads(items) == [{"a": 1}, {"a": 2}]
    assert reasons(items)[0].startswith("column 8")


def test_utf16_without_a_byte_order_mark_is_an_error():
    with pytest.raises(InvalidInput, match=r"cannot decode standard input: .*BOM; name its encoding"):
        from_stdin('{"a": 1}'.encode("utf-16-be"), encoding="utf-16")


def test_array_elements_become_records_with_line_numbers(tmp_path):
    path = write(tmp_path, "a.json", '[\n  {"a": 1},\n  {\n    "a": [",]", {}]\n  },\n\n  {"a": "\\"}]"}\n]\n')
    assert list(read_items(path)) == [Record(2, {"a": 1}), Record(3, {"a": [",]", {}]}), Record(7, {"a": '"}]'})]


def test_an_invalid_element_is_rejected_alone():
    items = from_stdin('[{"a": 1}, 7, {"a": NaN},\n {"a" 2},, {"a": 1,\n  "b": x}, {"a": 4}]')
    assert payloads(items) == [{"a": 1}, {"a": 4}]
    assert [(item.line, item.reason.partition(";")[0]) for item in items if isinstance(item, Rejection)] == [
        (1, "a number, not an object"),
        (1, "NaN is not JSON"),
        (2, "invalid JSON at column 7: expecting ':' delimiter"),
        (2, "invalid JSON at column 10: expecting value"),
        (2, "invalid JSON at line 3, column 8: expecting value"),
    ]


@given(
    st.lists(st.dictionaries(st.text('ab,]}"\\', max_size=4), st.text('[{,]}"\\', max_size=6), max_size=3), min_size=1)
)
def test_brackets_commas_and_quotes_inside_strings_do_not_split_an_element(objects):
    for text in (json.dumps(objects), json.dumps(objects, indent=1)):
        assert payloads(from_stdin(text)) == objects


def test_an_array_larger_than_any_buffer_is_read_completely(tmp_path):
    objects = [{"n": n, "text": "x" * (n * 37 % 5000)} for n in range(500)]
    path = write(tmp_path, "a.json", json.dumps(objects))
    assert payloads(read_items(path)) == objects


def test_a_truncated_array_is_an_error_after_its_complete_elements(tmp_path):
    items = read_items(write(tmp_path, "a.json", '[{"a": 1},\n{"a": 2},\n{"a"'))
    assert [next(items).line, next(items).line] == [1, 2]
    with pytest.raises(InvalidInput, match=r"a.json is truncated: .* begins on line 2"):
        next(items)


def test_text_after_an_array_is_an_error():
    with pytest.raises(InvalidInput, match="standard input, line 3: there is text after the JSON array"):
        from_stdin('[{"a": 1}]\n\n {"a": 2}')


def test_an_unmatched_brace_is_an_error():
    with pytest.raises(InvalidInput, match="line 2: this } has no matching {"):
        from_stdin('[{"a": 1},\n{"a": 2}}')


def test_an_element_that_never_ends_is_an_error_before_it_fills_memory():
    with pytest.raises(InvalidInput, match="line 1: the element that begins here does not end within"):
        from_stdin('[{"a": "' + "x" * 3_000_000)


def test_an_object_over_several_lines_is_explained():
    with pytest.raises(InvalidInput, match="an object that spans several lines"):
        from_stdin(json.dumps({"a": 1}, indent=2))


@pytest.mark.parametrize(("content", "count"), [('{"a": 1}\n{"a": 2}', 2), (' \n[{"a": 1}]', 1), ("a\n1\n2\n3", 3)])
def test_the_format_of_standard_input_is_detected(content, count):
    assert len(payloads(from_stdin(content))) == count


class SlowPipe(io.RawIOBase):
    """A pipe that delivers one byte at a time."""

    def __init__(self, content):
        self._rest = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, target):
        byte = self._rest.read(1)
        target[: len(byte)] = byte
        return len(byte)


@pytest.mark.parametrize("content", [b'{"a": "1"}\n{"a": "2"}\n', b'[{"a": "1"}, {"a": "2"}]', b"a\n1\n2\n"])
def test_a_slow_pipe_is_read_like_a_file(content):
    assert payloads(read_items("-", stdin=SlowPipe(content))) == [{"a": "1"}, {"a": "2"}]


def test_items_are_read_from_a_pipe_as_they_arrive():
    receiving, sending = os.pipe()
    with open(receiving, "rb") as stdin, open(sending, "wb", buffering=0) as writer:
        items = read_items("-", stdin=stdin)
        for n in range(3):
            writer.write(b'{"n": %d}\n' % n)
            assert next(items) == Record(n + 1, {"n": n})


def test_the_format_of_a_named_pipe_is_detected(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text('[{"a": 1}]'))
    writer.start()
    assert payloads(read_items(path)) == [{"a": 1}]
    writer.join()


pieces = st.sampled_from(
    ['{"a": 1}', "[", "]", "{", "}", ",", '"', "\\", "\n", "\r", "a,b", "1", "é", "\ufeff", "\x00", " "]
)


@given(
    st.lists(pieces, max_size=12).map("".join).map(str.encode) | st.binary(max_size=30),
    st.sampled_from([None, "jsonl", "json", "csv", "tsv"]),
    st.sampled_from([None, "utf-8", "utf-16", "utf-16-be", "cp1252", "shift-jis"]),
)
def test_any_input_gives_records_rejections_or_a_clear_error(content, format, encoding):
    items = []
    with suppress(InvalidInput):
        items = from_stdin(content, format=format, encoding=encoding)
    assert all(find_problem(payload) is None for payload in payloads(items))
    assert all(item.line >= 1 and len(getattr(item, "text", "")) <= 200 for item in items)


def test_standard_input_may_be_compressed_and_stays_open():
    stdin = io.BytesIO(gzip.compress(b'{"a": 1}\n'))
    assert payloads(read_items("-", stdin=stdin)) == [{"a": 1}]
    assert not stdin.closed


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv"])
@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_input_without_items_is_an_error(tmp_path, name, content):
    with pytest.raises(InvalidInput, match=f"no items in .*{name}"):
        list(read_items(write(tmp_path, name, content)))


@pytest.mark.parametrize("content", ["[]", "[ \n]\n"])
def test_an_empty_array_is_an_error(content):
    with pytest.raises(InvalidInput, match="no items in standard input"):
        from_stdin(content)


def test_a_missing_file_is_named_with_a_suggestion(tmp_path):
    write(tmp_path, "tickets.jsonl", "{}")
    with pytest.raises(InvalidInput, match=r"there is no file .*tickts.jsonl; did you mean 'tickets.jsonl'\?"):
        read_items(tmp_path / "tickts.jsonl")
    with pytest.raises(InvalidInput, match=r"there is no folder .*/no either"):
        read_items(tmp_path / "no" / "tickets.jsonl")


@pytest.mark.parametrize("target", ["nowhere.jsonl", "link.jsonl"])
def test_a_link_that_leads_nowhere_is_named_with_its_target(tmp_path, target):
    (tmp_path / "link.jsonl").symlink_to(target)
    with pytest.raises(InvalidInput, match=rf"it is a link to {target}, which cannot be found"):
        read_items(tmp_path / "link.jsonl")


def test_invalid_arguments_are_rejected_before_anything_is_read(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"a": 1}')
    with pytest.raises(InvalidInput, match="is a folder"):
        read_items(tmp_path)
    with pytest.raises(InvalidInput, match=r"the suffix '.xls' is unknown; name it with --format \(jsonl, json"):
        read_items(write(tmp_path, "a.xls", "x"))
    with pytest.raises(InvalidInput, match=r"unknown format 'jsnl'; did you mean 'jsonl'\?"):
        read_items(path, format="jsnl")
    with pytest.raises(InvalidInput, match=r"unknown encoding 'cp125'; did you mean"):
        read_items(path, encoding="cp125")
    with pytest.raises(InvalidInput, match="unknown encoding 'hex'"):
        read_items(path, encoding="hex")
    with pytest.raises(InvalidInput, match="'unicode_escape' is a notation for text"):
        read_items(path, encoding="unicode_escape")
    read_end, write_end = os.pipe()
    os.close(write_end)
    with (
        open(read_end, "rb") as pipe,
        pytest.raises(InvalidInput, match="Parquet.* cannot be read from standard input"),
    ):
        read_items("-", format="parquet", stdin=pipe)
    with pytest.raises(InvalidInput, match="there is no file|cannot read"):
        read_items("a\0b.jsonl")


def test_a_specified_format_overrides_the_suffix(tmp_path):
    assert payloads(read_items(write(tmp_path, "a.txt", '{"a": 1}'), format="jsonl")) == [{"a": 1}]


def test_truncated_gzip_is_an_error_after_the_readable_items(tmp_path):
    whole = gzip.compress(b"".join(b'{"n": %d, "h": %d}\n' % (n, hash((n, n))) for n in range(20_000)))
    items = read_items(write(tmp_path, "a.jsonl.gz", whole[: len(whole) // 2]))
    assert next(items).line == 1
    with pytest.raises(InvalidInput, match=r"a.jsonl.gz is truncated: the gzip data ends too early"):
        list(items)


def test_damaged_gzip_is_an_error(tmp_path):
    whole = bytearray(gzip.compress(b'{"a": 1}\n' * 1000))
    whole[12:20] = b"\xff" * 8
    with pytest.raises(InvalidInput, match="contains damaged gzip data"):
        list(read_items(write(tmp_path, "a.jsonl.gz", bytes(whole))))


def test_a_larger_payload_is_read_if_max_bytes_allows_it():
    line = '{"a": "' + "x" * 300_000 + '"}'
    assert len(reasons(from_stdin(line))) == 1
    assert len(payloads(from_stdin(line, max_bytes=400_000))) == 1


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_memory_does_not_grow_with_the_input(tmp_path, name):
    text = "x" * 2_000
    rows = [f'{{"a": "{text}"}}'] * 2_500
    content = {"a.jsonl": "\n".join(rows), "a.json": f"[{','.join(rows)}]", "a.csv": "a\n" + f"{text}\n" * 2_500}[name]
    path = write(tmp_path, name, content)
    tracemalloc.start()
    try:
        assert sum(isinstance(item, Record) for item in read_items(path)) == 2_500
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
