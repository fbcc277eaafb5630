"""What a user says about a table, and what is said about a title above it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InvalidInput
from pipeline.sources import HeaderRules, ReadOptions, ReadReport, Record, TableOptions, open_source


def read(content, *, report=None, header=None, format="csv", **table):
    options = ReadOptions(format=format, header=header or HeaderRules(), table=TableOptions(**table))
    return list(open_source(["-"], options, report or ReadReport(), stdin=io.BytesIO(content)).read())


def payloads(items):
    return [item.payload for item in items if isinstance(item, Record)]


def numbered(*values):
    return {f"column_{number}": value for number, value in enumerate(values, 1)}


A = [{"id": "1", "text": "a"}]


@pytest.mark.parametrize(
    ("content", "options", "expected"),
    [
        (b"id:text\n1:a\n", {"delimiter": ":"}, A),
        (b"id\ttext\n1\ta\n", {"delimiter": "tab"}, A),
        (b"id\ttext\n1\ta\n", {"delimiter": "\\t"}, A),
        ("id§text\n1§a\n".encode(), {"delimiter": "§"}, A),
        (b"id,text\n1,'a,b'\n", {"quote": "'"}, [{"id": "1", "text": "a,b"}]),
        (b'id,text\n1,"a\n', {"quote": "none"}, [{"id": "1", "text": '"a'}]),
        (b'id,text\n1,"a\\"b"\n', {"escape": "\\"}, [{"id": "1", "text": 'a"b'}]),
        (b"id,text\n1,a\\,b\n", {"escape": "\\"}, [{"id": "1", "text": "a,b"}]),
        (b"Report\n\nid,text\n1,a\n", {"header_row": 3}, A),
        (b"sep=;\nReport\nid;text\n1;a\n", {"header_row": 3}, A),
        (b"1,a\n2,b\n", {"has_header": False}, [numbered("1", "a"), numbered("2", "b")]),
        (b"a,a\na,a\n", {"has_header": False}, [{"column_1": "a", "column_2": "a"}] * 2),
        (b"#x\nid,text\n#,y\n1,a\n2,\"\n#z\"\n#\n", {"comment": "#"}, [*A, {"id": "2", "text": "\n#z"}]),
        (b"id,text\n1,\0a\0\n", {"nul": "strip"}, A),
    ],
)  # fmt: skip
def test_a_table_is_read_as_the_user_says(content, options, expected):
    assert payloads(read(content, **options)) == expected


def test_comments_are_counted_like_blank_rows():
    report = ReadReport()
    read(b"#a\nid,text\n#b\n\n1,a\n#c\n", report=report, comment="#")
    assert report.blank_rows == 4


def test_a_nul_character_refuses_its_row_and_names_the_option():
    (refused,) = read(b"id,text\n1,\0\n")
    assert refused.reason.endswith("remove it, or pass --nul strip")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"delimiter": "tabs"}, "--delimiter is 'tabs'; did you mean 'tab'"),
        ({"quote": "''"}, "--quote is \"''\"; give one character"),
        ({"comment": "\n"}, "--comment is '\\\\n'; give one character"),
        ({"delimiter": ";", "comment": ";"}, "must be different characters: --delimiter ';', --comment ';'"),
        ({"has_header": False, "header_row": 2}, "--header-row has no effect with --no-header"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        read(b"id,text\n1,a\n", **options)


def test_options_of_tables_are_refused_for_json():
    with pytest.raises(InvalidInput, match="the input is jsonl, so that options of tables have no effect"):
        read(b"{}", format="jsonl", delimiter=";")


TABLE = b"".join(b"%d;subject %d;body %d;open\n" % (n, n, n) for n in range(30))
TITLES = [b"Tickets of 2026\n\n", b"Tickets, of 2026\n", b"sep=;\nTickets of 2026\nexported; today\n"]


@pytest.mark.parametrize("title", TITLES)
def test_a_title_is_recognized_and_the_header_below_it_proposed(title):
    content = title + b"id;subject;body;state\n" + TABLE
    warnings = []
    items = read(content, report=ReadReport(warn=warnings.append))
    line = title.count(b"\n") + 1
    first = 2 if title.startswith(b"sep") else 1
    advice = f'line {first} may be a title; --header-row {line} reads from "id;subject;body;state"'
    assert warnings == [f"standard input: {advice}"]
    assert items[0].reason.endswith(f"; {advice}")
    assert not any(advice in item.reason for item in items[1:])
    # All of the table is refused, rather than read as something else.
    assert payloads(items) == []
    assert len(payloads(read(content, header_row=line))) == 30


@pytest.mark.parametrize(
    "content",
    [
        b"text\nHello, world\nGood day, sir\nBye, then\n",
        b"id,text\n1,a\n2,b\n",
        b"a,b\n1,2,3\n1,2,3\n",
        b"text\na\nb;c;d\ne\n",
    ],
)
def test_a_header_is_not_taken_for_a_title(content):
    warnings = []
    read(content, report=ReadReport(warn=warnings.append))
    assert warnings == []


PIECES = st.sampled_from(
    [b"id,text", b"1,a", b'"', b'""', b",", b";", b"\t", b"\n", b"\r\n", b"\r", b"\0", b"\\", b"#", b"'",
     b"\xef\xbb\xbf", b"\xff\xfe", b"\xff", b"\x1f\x8b", 
     b"PK\x03\x04", b"PAR1", b"BZh91AY&SY", b"ARROW1", b"{", b"[", b"sep=;", b"\x1a"]
)  # fmt: skip
CHARACTERS = st.sampled_from([None, ";", "'", "\\", "#", "none"])


@given(
    pieces=st.lists(PIECES | st.binary(max_size=4), max_size=30),
    delimiter=CHARACTERS, quote=CHARACTERS, escape=CHARACTERS, comment=CHARACTERS,
    header_row=st.sampled_from([None, 1, 3]), has_header=st.booleans(), nul=st.sampled_from(["refuse", "strip"]),
    format=st.sampled_from([None, "csv", "tsv"]),
)  # fmt: skip
def test_no_bytes_and_no_options_are_a_fault_of_the_reader(pieces, format, **table):
    content = b"".join(pieces)
    report = ReadReport()
    try:
        items = read(content, report=report, format=format, **table)
    except InvalidInput:
        return
    # Every line is in at most one row, and in order.
    lines = [item.line for item in items]
    assert lines == sorted(set(lines))
    assert len(lines) + report.blank_rows <= content.count(b"\n") + content.count(b"\r") + 1


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("a.csv", b"text\na\n", {"sheet": "1"}, "--sheet is for a workbook; {} is csv"),
        ("a.csv", b"text\na\n", {"binary": "base64"}, "--binary is for Parquet, Arrow or a database; {} is csv"),
        ("a.jsonl", b'{"text": "a"}\n', {"nan": "null"}, "--nan is for Parquet, Arrow or a database; {} is jsonl"),
        ("a.csv", b"text\na\n", {"member": "*.csv"}, "--member is for an archive; {} is csv"),
        ("a.txt", b'{"text": "a"}\n', {"table": TableOptions(delimiter=";")}, "--delimiter is for a text table"),
        ("a.dat", b'[{"text": "a"}]', {"table": TableOptions(has_header=False)}, "--no-header is for a table"),
    ],
)
def test_an_option_without_an_effect_is_refused(tmp_path, name, content, options, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as refused:
        list(open_source([path], ReadOptions(**options), ReadReport()).read())
    assert str(refused.value).startswith(says.format(path))
