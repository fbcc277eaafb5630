"""`pipeline peek`: says how a source is read, and what reads it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.lazy import Lazy
from tests.support.terminal import Terminal

openpyxl = Lazy("openpyxl")

TABLE = "id;code;amount;paid;at;Description\n" + "".join(
    f'{n};00{n};{n}.5;{"yes" if n % 2 else "no"};2026-01-0{n % 9 + 1}T10:00:00Z;"an invoice;\nnumber {n}"\n'
    for n in range(1, 21)
)


def test_a_table_is_described_without_a_database(terminal: Terminal) -> None:
    Path("a.csv").write_text(TABLE)
    found = terminal.data("peek", "a.csv", "--rows", "1")
    assert found["facts"] == {
        "encoding": {"value": "utf-8", "by": "default"},
        "format": {"value": "csv", "by": "name"},
        "line end": {"value": "LF", "by": None},
        "delimiter": {"value": "semicolon", "by": "the rows are split alike"},
        "quotes": {"value": '"', "by": None},
        "header": {"value": "line 1", "by": "first line with text"},
    }
    assert [(each["name"], each["type"], each["filled"], each["distinct"]) for each in found["columns"]] == [
        ("id", "integer", 1.0, 20),
        ("code", "text", 1.0, 20),
        ("amount", "number", 1.0, 20),
        ("paid", "boolean", 1.0, 2),
        ("at", "instant", 1.0, 9),
        ("Description", "text", 1.0, 20),
    ]
    assert found["columns"][1]["examples"] == ["001", "002"]
    assert (found["rows"], found["rows_exact"], found["bytes"], found["files"]) == (20, True, len(TABLE), 1)
    assert found["types"] == {"id": "integer", "amount": "number", "paid": "boolean", "at": "instant"}
    assert found["sample"][0]["Description"] == "an invoice;\nnumber 1"
    assert (found["refused"], found["options"]) == (0, [])
    assert [path.name for path in Path().iterdir()] == ["a.csv"]


def test_it_is_shown_for_people(terminal: Terminal) -> None:
    Path("a.csv.gz").write_bytes(gzip.compress(TABLE.encode()))
    result = terminal.run("peek", "a.csv.gz")
    assert result.exit_code == 0, result.stderr
    for line in ("compression  gzip", "delimiter    semicolon, by the rows are split alike", "rows         20"):
        assert line in result.stdout
    assert "[input.types]" in result.stdout
    assert 'amount = "number"' in result.stdout


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (("Tickets\n\n" + TABLE).encode(), ["--header-row", "3"]),
        ("id,text\n1,Größe\n2,Straße\n".encode("cp1252"), ["--encoding", "cp1252"]),
        (b"id,text\n1,an invoice\0\n", ["--nul", "strip"]),
    ],
)
def test_what_would_be_refused_is_explained_and_the_options_proposed_read_it(
    terminal: Terminal, content: bytes, options: list[str]
) -> None:
    Path("a.csv").write_bytes(content)
    result = terminal.run("peek", "a.csv")
    assert result.exit_code == 1
    assert "would be refused:" in result.stdout
    assert f"Try: {' '.join(options)}" in result.stdout
    assert terminal.run("peek", "a.csv", *options).exit_code == 0


def test_with_a_definition_the_rows_are_checked_like_items(terminal: Terminal) -> None:
    terminal.write_definition()
    Path("a.csv").write_text("id,Labels,Labels,Summary\n1,x,y,an invoice that is long\n1,,y,a quote\n")
    result = terminal.run("peek", "a.csv", "-p", "mail.toml", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 1
    assert found["options"] == ["--map text=Summary"]
    assert found["reasons"][0]["reason"].startswith("it has no field 'text', which the classifier reads")
    assert "the header repeats 'Labels'" in found["warnings"][0]
    again = terminal.run("peek", "a.csv", "-p", "mail.toml", "--map", "text=Summary")
    assert "1 row of 2 would be refused:\n  line 3: its key '1' is also the key of item 1" in again.stdout


def test_a_title_above_a_sheet_and_the_fields_of_a_definition_are_proposed(terminal: Terminal) -> None:
    terminal.write_definition()
    workbook = openpyxl.Workbook()
    for row in [["Tickets 2026"], [], ["Nr", "From", "Message"], *([n, "Müller", f"Größe {n % 3}"] for n in range(9))]:
        workbook.active.append(row)
    workbook.save("a.xlsx")
    found = json.loads(terminal.run("peek", "a.xlsx", "--json").stdout)
    assert found["options"] == ["--header-row 3"]
    assert 'row 1 may be a title; --header-row 3 reads from "Nr, From, Message"' in found["warnings"][0]
    arguments = ["peek", "a.xlsx", "--header-row", "3", "-p", "mail.toml", "--key", "id"]
    result = terminal.run(*arguments)
    assert "Try: --map text=Message --key Nr" in result.stdout
    assert terminal.run(*arguments[:-1], "Nr", "--map", "text=Message").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.csv", "--encoding", "base64"], "unknown encoding 'base64'; try utf-8, utf-16, cp1252 or latin-1"),
        (["a.csv", "--encoding", "idna"], "unknown encoding 'idna'; try"),
        (["a.csv", "--header-row", "90"], "no items in a.csv below row 90, which --header-row names"),
        (["a.csv", "--map", "a=id", "--map", "a=x", "-p", "mail.toml"], "--map gives the name 'a' to several fields"),
        (["a.csv", "--format", "xlsx"], "a.csv cannot be read as an Excel workbook: it is none, or it is damaged"),
        (["sqlite://", "--query", "SELECT 1"], "sqlite:// names no file; give sqlite:///FILE"),
    ],
)
def test_a_wrong_argument_says_what_to_do(terminal: Terminal, arguments: list[str], message: str) -> None:
    terminal.write_definition()
    Path("a.csv").write_text("id,x\n1,2\n")
    result = terminal.run("peek", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_the_rows_of_a_large_file_are_estimated(terminal: Terminal) -> None:
    Path("a.csv").write_text("id,text\n" + "1,an invoice\n" * 50_000)
    found = terminal.data("peek", "a.csv")
    assert found["rows_read"] == 1_000
    assert found["rows"] == pytest.approx(50_000, rel=0.05)
    assert not found["rows_exact"]
    assert "about 50,000" in terminal.run("peek", "a.csv").stdout


def test_parquet_knows_its_rows(terminal: Terminal) -> None:
    pq.write_table(pa.table({"id": range(5_000), "x": [None] * 5_000}), "a.parquet")
    found = terminal.data("peek", "a.parquet")
    assert (found["rows"], found["rows_exact"], found["types"]) == (5_000, True, {})
    assert [each["type"] for each in found["columns"]] == ["integer", "empty"]


def test_a_source_that_cannot_be_read_says_what_to_do(terminal: Terminal) -> None:
    Path("a.json").write_text('{"next": null, "results": [{"id": 1}]}')
    result = terminal.run("peek", "a.json")
    assert result.exit_code == 2
    assert "the items seem to be under 'results': --items results" in result.stderr
    assert terminal.run("peek", "a.json", "--items", "results").exit_code == 0
