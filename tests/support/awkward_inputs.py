"""Inputs as spreadsheets, public authorities, trackers and broken programs export them, and what must come of them."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Payload = dict[str, Any]


@dataclass(frozen=True)
class Awkward:
    """An input and its outcome.

    Args:
        file: its name.
        content: its bytes.
        items: the line and payload of each item.
        refused: the line of each rejection, and how its reason begins.
        blank_rows: blank rows and lines.
        warnings: how the warnings end.
        error: part of the error, if the input is refused as a whole.
        options: `encoding`, `format`, `header` and `strict`, as on the command line.
    """

    name: str
    file: str
    content: bytes
    items: Sequence[tuple[int, Payload]] = ()
    refused: Sequence[tuple[int, str]] = ()
    blank_rows: int = 0
    warnings: Sequence[str] = ()
    error: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def items(*rows: tuple[int, str, str]) -> list[tuple[int, Payload]]:
    """Return items with the columns `id` and `text`."""
    return [(line, {"id": key, "text": text}) for line, key, text in rows]


def zipped(name: str) -> bytes:
    """Return a zip archive with one file."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, "<x/>")
    return file.getvalue()


WIDE = [f"c{number}" for number in range(20_000)]
LONG = "x" * 200_000
QUOTE_OPENS = "a quote opens on line {} and does not close; this line is refused and reading goes on at line {}"
UTF16 = 'id\ttext\r\n1\t"Größe, 5"\r\n2\t日本語\r\n'
JIRA = "Issue key,Summary,Labels,Labels,Comment,Labels\nP-1,Fails,a,b,hi,c\nP-2,Works,,,,\n"

SPREADSHEETS = [
    Awkward(
        "Excel in German: sep=, decimal commas, cp1252",
        "a.csv",
        'sep=;\r\nid;text;Preis\r\n1;"Größe; rot";1.234,50\r\n2;Straße;0,99\r\n'.encode("cp1252"),
        [
            (3, {"id": "1", "text": "Größe; rot", "Preis": "1.234,50"}),
            (4, {"id": "2", "text": "Straße", "Preis": "0,99"}),
        ],
        options={"encoding": "cp1252"},
    ),
    Awkward(
        "Excel in French: a mark, decimal commas, header with an accent",
        "a.csv",
        "\ufeffid;text;Montant, €\r\n1;déjà vu;12,5\r\n2;œuvre;1 000,00\r\n".encode(),
        [
            (2, {"id": "1", "text": "déjà vu", "Montant, €": "12,5"}),
            (3, {"id": "2", "text": "œuvre", "Montant, €": "1 000,00"}),
        ],
    ),
    Awkward(
        "Excel in Polish: cp1250",
        "a.csv",
        "id;text\r\n1;Zażółć gęślą jaźń\r\n".encode("cp1250"),
        items((2, "1", "Zażółć gęślą jaźń")),
        options={"encoding": "cp1250"},
    ),
    Awkward(
        "Excel in Russian: cp1251, read without its encoding",
        "a.csv",
        "id;text\r\n1;Привет, как дела?\r\n2;ok\r\n".encode("cp1251"),
        items((3, "2", "ok")),
        [(2, "byte 11 of the input (0xcf) is not valid UTF-8; if the file is not UTF-8, name its encoding with")],
    ),
    Awkward(
        "Excel in Japanese: Unicode text, UTF-16 with tabs",
        "a.csv",
        UTF16.encode("utf-16"),
        items((2, "1", "Größe, 5"), (3, "2", "日本語")),
    ),
    Awkward(
        "a column of decimal commas beside a comma in the header",
        "a.csv",
        b'"id";"text, with comma"\n"1";"a"\n',
        [(2, {"id": "1", "text, with comma": "a"})],
    ),
    Awkward(
        "a comma in an unquoted header",
        "a.csv",
        b"id;note, long\n1;a\n2;b, c\n3;d\n",
        [
            (2, {"id": "1", "note, long": "a"}),
            (3, {"id": "2", "note, long": "b, c"}),
            (4, {"id": "3", "note, long": "d"}),
        ],
    ),
    Awkward("empty rows below a table", "a.csv", b"id;text\n1;a\n;\n;  \n\n", items((2, "1", "a")), blank_rows=3),
]

EXPORTS = [
    Awkward(
        "a header that ends with a delimiter",
        "a.csv",
        b"id,text,\n1,a,\n2,b\n3,c,x\n4,d, \n",
        items((2, "1", "a"), (3, "2", "b"), (5, "4", "d")),
        [(4, "a value in column 3, which has no name; name it, or call it column_3 with --header lenient")],
    ),
    Awkward(
        "a nameless column that is wanted",
        "a.csv",
        b",text\n0,a\n1,b\n",
        [(2, {"column_1": "0", "text": "a"}), (3, {"column_1": "1", "text": "b"})],
        options={"header": "lenient"},
    ),
    Awkward(
        "Jira: repeated columns",
        "a.csv",
        JIRA.encode(),
        [
            (
                2,
                {
                    "Issue key": "P-1",
                    "Summary": "Fails",
                    "Labels": "a",
                    "Labels_2": "b",
                    "Comment": "hi",
                    "Labels_3": "c",
                },
            ),
            (3, {"Issue key": "P-2", "Summary": "Works", "Labels": "", "Labels_2": "", "Comment": "", "Labels_3": ""}),
        ],
        warnings=[
            "the header repeats 'Labels' (3 times); the repeated columns are numbered, such as 'Labels_2'. "
            "--strict refuses this"
        ],
    ),
    Awkward(
        "Jira, strictly",
        "a.csv",
        JIRA.encode(),
        error="line 1: the header has 'Labels' twice; names must differ",
        options={"strict": True},
    ),
    Awkward(
        "a key that is there twice",
        "a.csv",
        b"id,text,id\n1,a,2\n",
        error="line 1: the header has 'id' twice, and the definition or an option refers to it; names must differ",
    ),
    Awkward(
        "a number that is taken",
        "a.csv",
        b"a,a_2,a\n1,2,3\n",
        [(2, {"a": "1", "a_2": "2", "a_3": "3"})],
        warnings=["such as 'a_3'. --strict refuses this"],
    ),
    Awkward(
        "old Mac: CR alone",
        "a.csv",
        b'id,text\r1,a\r\r2,"b\rc"\r3,d',
        items((2, "1", "a"), (4, "2", "b\rc"), (6, "3", "d")),
        blank_rows=1,
    ),
    Awkward("CR alone in JSON Lines", "a.jsonl", b'{"id": "1"}\r{"id": "2"}\r', [(1, {"id": "1"}), (2, {"id": "2"})]),
    Awkward(
        "LF and CRLF mixed",
        "a.csv",
        b"id,text\r\n1,a\n2,b\r\n\n3,c",
        items((2, "1", "a"), (3, "2", "b"), (5, "3", "c")),
        blank_rows=1,
    ),
    Awkward(
        "a CR within a row",
        "a.csv",
        b"id,text\n1,a\rb\n2,c\n",
        items((3, "2", "c")),
        [(2, "there is a carriage return without a line feed")],
    ),
    Awkward("Ctrl-Z after the last row", "a.csv", b"id,text\r\n1,a\r\n\x1a", items((2, "1", "a"))),
    Awkward("Ctrl-Z in the last row", "a.csv", b"id,text\r\n1,a\x1a", items((2, "1", "a"))),
    Awkward("Ctrl-Z after JSON Lines", "a.jsonl", b'{"id": "1"}\n\x1a', [(1, {"id": "1"})]),
    Awkward(
        "form feeds between pages",
        "a.csv",
        b"id,text\n1,a\n\x0c\n2,b\x0c\n",
        items((2, "1", "a"), (4, "2", "b\x0c")),
        blank_rows=1,
    ),
    Awkward(
        "NUL bytes",
        "a.csv",
        b"id,text\n1,a\x00b\n2,c\n",
        items((3, "2", "c")),
        [(2, "payload.text contains a NUL character")],
    ),
    Awkward(
        "a backslash before a quote",
        "a.csv",
        b'id,text\n1,"a \\"b\\" c"\n2,d\n',
        items((3, "2", "d")),
        [(2, "text follows a closing quote; inside a quoted field, double the quotes")],
    ),
    Awkward(
        "doubled quotes and embedded newlines",
        "a.csv",
        b'id,text\n1,"say ""hi"",\nplease"\n2,d\n',
        items((2, "1", 'say "hi",\nplease'), (4, "2", "d")),
    ),
    Awkward(
        "rows of another length",
        "a.csv",
        b"id,text\n1\n2,a,b\n3,c\n",
        items((4, "3", "c")),
        [
            (2, "1 field where the header has 2"),
            (3, "3 fields where the header has 2; a field that contains the delimiter needs quotes"),
        ],
    ),
    Awkward(
        "TSV in which quotes mean nothing",
        "a.tsv",
        b'id\ttext\n1\t"big" deal\n2\t"open\n3\tend"\n',
        items((2, "1", '"big" deal'), (3, "2", '"open'), (4, "3", 'end"')),
        warnings=["quotes are read as text, because they do not enclose its fields"],
    ),
    Awkward(
        "TSV in which most quotes enclose fields",
        "a.tsv",
        b'id\ttext\n1\t"a"\n2\t"big" deal\n3\t"c, d"\n',
        items((2, "1", "a"), (4, "3", "c, d")),
        [(3, "text follows a closing quote; inside a quoted field, double the quotes")],
    ),
    Awkward(
        "old Mac, with a LF at the end",
        "a.csv",
        b"id,text\r1,a\r2,b\r\n3,c\n",
        items((2, "1", "a"), (3, "2", "b"), (4, "3", "c")),
    ),
    Awkward(
        "a quoted CR in the header",
        "a.csv",
        b'id,"a\rb"\n1,a\rb\n2,c\n',
        [(3, {"id": "2", "a\rb": "c"})],
        [(2, "there is a carriage return without a line feed")],
    ),
    Awkward("an array as CSV", "a.csv", b'[\n{"id": "1", "text": "x"}]\n', error="holds JSON, not a table"),
    Awkward("names in brackets", "a.csv", b"[id],[text]\n1,a\n", [(2, {"[id]": "1", "[text]": "a"})]),
    Awkward("JSON Lines as CSV", "a.csv", b'{"id": "1", "text": "x"}\n', error="holds JSON, not a table"),
    Awkward(
        "TSV of a spreadsheet, with a quoted newline",
        "a.tsv",
        b'id\ttext\n1\t"two\nlines"\n2\t"b"\n',
        items((2, "1", "two\nlines"), (4, "2", "b")),
    ),
    Awkward("nothing but a header", "a.csv", b"id,text\n", error="no items in"),
    Awkward("empty", "a.csv", b"", error="no items in"),
    Awkward(
        "20,000 columns",
        "a.csv",
        f"{','.join(WIDE)}\n{','.join('1' for _ in WIDE)}\n".encode(),
        [(2, dict.fromkeys(WIDE, "1"))],
    ),
    Awkward(
        "100,000 columns of one name",
        "a.csv",
        b"a," * 100_000 + b"b\n1,2\n",
        [],
        [(2, "2 fields where the header has 100001")],
        warnings=["such as 'a_2'. --strict refuses this"],
    ),
    Awkward(
        "a header without end",
        "a.csv",
        b"a" * 300_000 + b",b\n1,2\n",
        error="line 1: a name is longer than a payload may be",
    ),
    Awkward(
        "very long fields",
        "a.csv",
        f"id,text\n1,{LONG}\n2,{LONG}{LONG}\n3,c\n".encode(),
        items((2, "1", LONG), (4, "3", "c")),
        [(3, "payload has 400,020 bytes as JSON; the limit is 262,144")],
    ),
    Awkward(
        "a long text over many lines, of which some look like rows",
        "a.csv",
        b'id,text\n1,"' + b"log\nat x, y\n" * 25_000 + b'"\n2,b\n',
        items((50_003, "2", "b")),
        [(2, "payload has 350,020 bytes as JSON")],
    ),
    Awkward(
        "a header in the middle",
        "a.csv",
        b"id,text,\n1,a,\nid,text,\n2,b,\n",
        items((2, "1", "a"), (4, "2", "b")),
        [(3, "the header again")],
    ),
    Awkward(
        "spaces between delimiters and quotes",
        "a.csv",
        b'"id", "text"\n"1", "a, b"\n"2",  "c\nd"\n"3", e\n',
        items((2, "1", "a, b"), (3, "2", "c\nd"), (5, "3", "e")),
    ),
    Awkward(
        "spaces before quotes that are text",
        "a.csv",
        b'id,text\n1, "a" and "b"\n2, c\n',
        items((2, "1", ' "a" and "b"'), (3, "2", " c")),
    ),
    Awkward("one column that holds its name", "a.csv", b"text\ntext\n", [(2, {"text": "text"})]),
]

OPEN_QUOTES = [
    Awkward(
        "a quote that never closes",
        "a.csv",
        b'id,text\n1,a\n2,"b\n3,c\n4,d\n',
        items((2, "1", "a"), (4, "3", "c"), (5, "4", "d")),
        [(3, QUOTE_OPENS.format(3, 4))],
    ),
    Awkward(
        "a quote that closes in another row",
        "a.csv",
        b'id,text\n1,"a\n2,b\n3,"c"\n4,d\n',
        items((3, "2", "b"), (4, "3", "c"), (5, "4", "d")),
        [(2, "a quote opens on line 2 and text follows its end on line 4; this line is refused")],
    ),
    Awkward(
        "two quotes that never close",
        "a.csv",
        b'id,text\n1,"a\n2,b\n3,"c\n4,d\n',
        items((3, "2", "b"), (5, "4", "d")),
        [(2, "a quote opens on line 2 and text follows"), (4, QUOTE_OPENS.format(4, 5))],
    ),
    Awkward(
        "an open quote in the last row",
        "a.csv",
        b'id,text\n1,a\n2,"',
        items((2, "1", "a")),
        [(3, "a quote opens on line 3 and does not close")],
    ),
    Awkward(
        "an open quote in a large table",
        "a.csv",
        b"id,text\n"
        + b"".join(
            b'11,"open\n' if number == 11 else b"%d,%s\n" % (number, b"refund " * 5) for number in range(1, 20_001)
        ),
        items(*((number + 1, str(number), "refund " * 5) for number in range(1, 20_001) if number != 11)),
        [(12, QUOTE_OPENS.format(12, 13))],
    ),
]

ENCODINGS = [
    Awkward(
        f"{encoding} {'named' if named else 'by its mark'}",
        "a.csv",
        "id,text\n1,日本\n2,b\n".encode(encoding),
        items((2, "1", "日本"), (3, "2", "b")),
        options={"encoding": encoding} if named else {},
    )
    for encoding, named in (
        ("utf-8-sig", False),
        ("utf-16", False),
        ("utf-32", False),
        ("utf-16-le", True),
        ("utf-16-be", True),
        ("shift_jis", True),
        ("big5", True),
        ("gb18030", True),
        ("euc_kr", True),
    )
] + [
    Awkward(
        f"{encoding} without a mark",
        "a.csv",
        "id,text\n1,日本\n2,b\n".encode(encoding),
        error=f"looks like {encoding[:6].upper()} without a mark: --encoding {encoding}",
    )
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")
]

MARKS = [
    Awkward("a mark twice", "a.csv", b"\xef\xbb\xbf\xef\xbb\xbfid,text\n1,a\n", items((2, "1", "a"))),
    Awkward(
        "two files with marks, one after the other",
        "a.csv",
        '\ufeffid,text\n1,a\n\ufeff"2","b\n\ufeffc"\n3,\xe9\n'.encode(),
        items((2, "1", "a"), (3, "2", "b\n\ufeffc"), (5, "3", "\xe9")),
    ),
    Awkward(
        "two files in UTF-16, one after the other",
        "a.csv",
        "id,text\n1,a\n".encode("utf-16") + "2,b\n".encode("utf-16"),
        items((2, "1", "a"), (3, "2", "b")),
    ),
    Awkward(
        "two files of JSON Lines with marks",
        "a.jsonl",
        b'\xef\xbb\xbf{"id": "1"}\n\xef\xbb\xbf{"id": "2"}\n\xef\xbb\xbf{"id": "\xff"}\n',
        [(1, {"id": "1"}), (2, {"id": "2"})],
        [(3, "byte 41 of the input (0xff) is not valid UTF-8")],
    ),
    *(
        Awkward(
            f"a mark of {marked} that contradicts {named}",
            "a.csv",
            "id,text\n1,\xe9\n".encode(marked),
            error=f"byte order mark of {shown}, not of {named}; leave out --encoding",
            options={"encoding": named},
        )
        for marked, named, shown in (
            ("utf-8-sig", "cp1252", "UTF-8"),
            ("utf-8-sig", "utf-16", "UTF-8"),
            ("utf-16", "utf-8", "UTF-16"),
            ("utf-16", "utf-16-be", "UTF-16"),
            ("utf-32", "utf-16", "UTF-32"),
        )
    ),
    *(
        Awkward(
            f"a mark that agrees with {named}",
            "a.csv",
            "id,text\n1,\xe9\n".encode(marked),
            items((2, "1", "\xe9")),
            options={"encoding": named},
        )
        for marked, named in (
            ("utf-8-sig", "utf-8"),
            ("utf-16", "utf-16"),
            ("utf-16", "utf-16-le"),
            ("utf-32", "utf-32"),
        )
    ),
    *(
        Awkward(
            f"{encoding}, all of whose bytes are ASCII",
            "a.csv",
            f"id,text\n1,{text}\n".encode(encoding),
            error=f"looks like text in {encoding}: --encoding {encoding}",
        )
        for encoding, text in (("iso2022_jp", "\u65e5\u672c"), ("iso2022_kr", "\ud658\ubd88"))
    ),
]

COMPRESSED = [
    Awkward(
        "gzip with two members",
        "a.csv.gz",
        gzip.compress(b"id,text\n1,a\n") + gzip.compress(b"2,b\n"),
        items((2, "1", "a"), (3, "2", "b")),
    ),
    Awkward(
        "gzip that is cut off",
        "a.csv.gz",
        gzip.compress(b"id,text\n1,a\n" * 99)[:-9],
        error="is truncated: the gzip data ends too early",
    ),
    Awkward(
        "gzip twice",
        "a.csv.gz",
        gzip.compress(gzip.compress(b"id,text\n1,a\n")),
        error="is compressed twice, with gzip last: decompress it once",
    ),
    Awkward("gzip in a plain name", "a.csv", gzip.compress(b"id,text\n1,a\n"), items((2, "1", "a"))),
]

JSON = [
    Awkward(
        "an array over four lines as JSON Lines",
        "a.jsonl",
        b'[\n{"id": "1"},\n{"id": "2"}\n]\n',
        error="holds an array, not one object per line; name its format with --format json",
    ),
    Awkward(
        "an array on one line as JSON Lines",
        "a.jsonl",
        b'[{"id": "1"}, {"id": "2"}]\n',
        error="name its format with --format json",
    ),
    Awkward(
        "an array among JSON Lines",
        "a.jsonl",
        b'[1]\n{"id": "2"}\n',
        [(2, {"id": "2"})],
        [(1, "an array, not an object")],
    ),
    Awkward(
        "an object of pages",
        "a.json",
        b'{"results": [\n{"id": "1"},\n{"id": "2"}\n]}\n',
        error="is one object; the items seem to be under 'results': --items results",
    ),
    Awkward(
        "objects with commas between them",
        "a.jsonl",
        b'{"id": "1"},\n{"id": "2"}\n',
        error="holds objects with commas between them; remove the commas, or put [ and ] around all",
    ),
    *(
        Awkward(
            f"an array after {before!r}",
            "a.json",
            before + b'[\n{"id": "1"},\n{"id": "2"}\n]\n',
            error="begins with text before a JSON array or object that spans lines; remove that text",
        )
        for before in (b"window.data = ", b"callback(", b")]}'\n", b"// a comment\n")
    ),
    Awkward(
        "JSON Lines after a comment that ends with a comma",
        "a.jsonl",
        b'# 2026, July,\n{"id": "1"}\n',
        [(2, {"id": "1"})],
        [(1, "invalid JSON")],
    ),
    Awkward("Ctrl-Z after an array", "a.json", b'[{"id": "1"}]\r\n\x1a', [(1, {"id": "1"})]),
    Awkward(
        "text after Ctrl-Z", "a.json", b'[{"id": "1"}]\r\n\x1a\nx', error="line 2: there is text after the JSON array"
    ),
    Awkward(
        "an object that is indented",
        "a.json",
        b'{\n  "id": "1"\n}\n',
        error="begins with an object that spans several lines",
    ),
    Awkward(
        "JSON Lines with a mark, blanks and comments",
        "a.jsonl",
        '\ufeff{"id": "1"}\n\n// no\n{"id": "2"}\n'.encode(),
        [(1, {"id": "1"}), (4, {"id": "2"})],
        [(3, "invalid JSON at column 1")],
        blank_rows=1,
    ),
    Awkward(
        "objects without line ends",
        "a.jsonl",
        b'{"id": "1"}{"id": "2"}\n{"id": "3"}\n',
        [(2, {"id": "3"})],
        [(1, "invalid JSON at column 12: extra data")],
    ),
    Awkward(
        "values that would change",
        "a.jsonl",
        b'{"id": "1", "id": "2"}\n{"a": NaN}\n{"a": 18446744073709551616}\n{"a": "\\ud800"}\n{"id": "5"}\n',
        [(5, {"id": "5"})],
        [
            (1, "the key 'id' appears twice"),
            (2, "NaN is not JSON"),
            (3, "18446744073709551616 is an integer beyond 64 bits"),
            (4, "payload.a contains a lone surrogate"),
        ],
    ),
    Awkward(
        "an array with a bad element",
        "a.json",
        b'\xef\xbb\xbf[{"id": "1"}, {"id": 2,}, {"id": "3"}]',
        [(1, {"id": "1"}), (1, {"id": "3"})],
        [(1, "invalid JSON at column")],
    ),
]

S3_ERROR = b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code><Message>no</Message></Error>'
OTHER_KINDS = [
    Awkward(
        "a web page",
        "a.csv",
        b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>",
        error="is a web page, not data (it begins with <!DOCTYPE html); is a login needed?",
    ),
    Awkward(
        "a web page in UTF-16",
        "a.jsonl",
        "<html lang=de>".encode("utf-16"),
        error="is a web page, not data (it begins with <html lang=de)",
    ),
    Awkward("an error of S3", "a.jsonl", S3_ERROR, error="is an S3 error: AccessDenied"),
    Awkward("XML", "a.csv", b'<?xml version="1.0"?><feed/>', error="is XML, not data that can be read"),
    Awkward("a zip archive", "a.csv", zipped("logo.png"), error="holds no file that can be read (logo.png)"),
    Awkward("a workbook", "a.csv", zipped("xl/workbook.xml"), error="cannot be read as an Excel workbook: There is no"),
    Awkward(
        "an old workbook",
        "a.csv",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
        error="is a file of Excel or another Office program",
    ),
    Awkward("PDF", "a.csv", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", error="is a PDF document: give a file with items"),
    Awkward("a table of HTML", "a.csv", b"<table><tr><td>1</td></tr>\n</table>", error="is a web page, not data"),
    Awkward("XML without a declaration", "a.csv", b'<feed\nxmlns="x">\n</feed>', error="is XML, not data"),
    Awkward("a name in angle brackets", "a.csv", b"<id>,text\n1,a\n", [(2, {"<id>": "1", "text": "a"})]),
    Awkward(
        "a table by the name of a newer workbook",
        "a.xlsx",
        b"id,text\n1,a\n",
        error="cannot be read as an Excel workbook: it is none",
    ),
    Awkward(
        "a table by the name of a workbook", "a.xls", b"id,text\n1,a\n", error="the suffix '.xls' is unknown; name it"
    ),
    Awkward("a web page for Parquet", "a.parquet", b"<!doctype html><title>404", error="is a web page, not data"),
    Awkward("Parquet by another name", "a.csv", b"PAR1" + bytes(40), error="is Parquet"),
]

NOT_UTF16 = [
    Awkward(
        f"NUL cells in a small table: {content!r}",
        "a.csv",
        content,
        refused=[(2, "payload.text contains a NUL")],
    )
    for content in (b"id,text\n,\x00\n", "é,text\n,\x00\n".encode())
]

AWKWARD = [*SPREADSHEETS, *EXPORTS, *OPEN_QUOTES, *ENCODINGS, *MARKS, *COMPRESSED, *JSON, *OTHER_KINDS, *NOT_UTF16]
