"""The lookup enricher: reference tables of every kind, exact and fuzzy, and what a wrong table is told."""

from __future__ import annotations

import datetime as dt
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rapidfuzz import fuzz

from pipeline.domain.item import WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.enrichers.fuzzy_match import Neighbours
from pipeline.stages.enrichers.lookup import Spec, build, files

COMPANIES = "domain,name,tier\nacme.com,Acme,gold\nbolt.io,Bolt,silver\n"


def item(**payload: Any) -> WorkItem:
    return WorkItem(
        id=1, item_id="b-1", batch_id="b", key="K1", payload=payload, text="", attempt=1, label="Sales", confidence=None
    )


def spec(**options: Any) -> Spec:
    given = {"use": "lookup", "key": "domain", "on": "domain", **options}
    return Spec.model_validate(given if "database" in given else {"table": "companies.csv", **given})


def csv_table(folder: Path, text: str, name: str = "companies.csv") -> Path:
    (folder / name).write_bytes(text.encode())
    return folder


def find(folder: Path, payload: dict[str, Any], **options: Any) -> Any:
    (answer,) = build(spec(**options), folder).call([item(**payload)])
    return answer


def sqlite_table(folder: Path) -> Path:
    with closing(sqlite3.connect(folder / "ref.db")) as connection:
        connection.executescript(
            "CREATE TABLE companies (domain TEXT, name TEXT, tier TEXT);"
            "INSERT INTO companies VALUES ('acme.com', 'Acme: inc', 'gold'), ('bolt.io', 'Bolt', NULL);"
        )
    return folder


def test_a_row_is_found_by_its_key(tmp_path: Path) -> None:
    answer = find(csv_table(tmp_path, COMPANIES), {"domain": "acme.com"})
    assert answer == {"matched": True, "score": 100.0, "name": "Acme", "tier": "gold"}


def test_a_step_shows_nothing_of_the_table(tmp_path: Path) -> None:
    assert "acme.com" not in repr(build(spec(), csv_table(tmp_path, COMPANIES)))


def test_items_are_answered_in_order(tmp_path: Path) -> None:
    step = build(spec(fields=["name"]), csv_table(tmp_path, COMPANIES))
    answers = step.call([item(domain="bolt.io"), item(domain="none"), item(domain="acme.com")])
    assert [answer.get("name") for answer in answers] == ["Bolt", None, "Acme"]


@pytest.mark.parametrize("value", ["  ACME.com ", "Acme.COM\n"])
def test_case_and_space_do_not_count_unless_asked_for(tmp_path: Path, value: str) -> None:
    csv_table(tmp_path, COMPANIES)
    assert find(tmp_path, {"domain": value})["matched"] is True
    assert find(tmp_path, {"domain": value}, normalize=False) == {"matched": False}


@pytest.mark.parametrize("payload", [{"domain": "nobody.com"}, {"domain": ""}, {"domain": " "}, {"domain": None}, {}])
def test_an_item_without_a_row_is_answered_or_dead_as_asked(tmp_path: Path, payload: dict[str, Any]) -> None:
    csv_table(tmp_path, COMPANIES)
    assert find(tmp_path, payload) == {"matched": False}
    dead = find(tmp_path, payload, missing="dead")
    assert isinstance(dead, Permanent)
    assert "companies.csv" in str(dead)
    assert "'domain'" in str(dead)
    assert "nobody" not in str(dead)


def test_a_list_is_no_key(tmp_path: Path) -> None:
    answer = find(csv_table(tmp_path, COMPANIES), {"domain": ["acme.com"]})
    assert isinstance(answer, Permanent)
    assert "list" in str(answer)


@pytest.mark.parametrize(
    ("on", "payload", "name"),
    [
        ("account.domain", {"account": {"domain": "x"}}, "field"),
        ("@label", {}, "label"),
        ("@key", {}, "key"),
        ("ids[1]", {"ids": ["a", "x"]}, "field"),
        ("a.b", {"a.b": "x"}, "field"),
    ],
)
def test_the_value_is_taken_from_where_on_says(tmp_path: Path, on: str, payload: dict[str, Any], name: str) -> None:
    csv_table(tmp_path, "domain,name\nx,field\nSales,label\nK1,key\n")
    assert find(tmp_path, payload, on=on)["name"] == name


@pytest.mark.parametrize("value", [42, 42.0, "42", " 42"])
def test_numbers_and_their_texts_are_one_key(tmp_path: Path, value: object) -> None:
    assert find(csv_table(tmp_path, "domain,name\n42,Acme\n"), {"domain": value})["name"] == "Acme"


def test_fields_choose_and_rename_columns(tmp_path: Path) -> None:
    csv_table(tmp_path, COMPANIES)
    assert find(tmp_path, {"domain": "acme.com"}, fields=["tier"]) == {"matched": True, "score": 100.0, "tier": "gold"}
    renamed = find(tmp_path, {"domain": "acme.com"}, fields={"company": "name", "key": "domain"})
    assert renamed == {"matched": True, "score": 100.0, "company": "Acme", "key": "acme.com"}


def test_quotes_line_breaks_blank_lines_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    csv_table(tmp_path, '\ufeffdomain;name\r\n\r\n"acme.com";"Acme; the\nfirst ""one"""\r\n')
    assert find(tmp_path, {"domain": "acme.com"}, delimiter=";")["name"] == 'Acme; the\nfirst "one"'


def test_a_tsv_file_is_split_at_tabs(tmp_path: Path) -> None:
    csv_table(tmp_path, "domain\tname\nacme.com\tAcme, Inc\n", "companies.tsv")
    assert find(tmp_path, {"domain": "acme.com"}, table="companies.tsv")["name"] == "Acme, Inc"


def test_rows_without_a_key_are_left_out(tmp_path: Path) -> None:
    csv_table(tmp_path, "domain,name\n,Nobody\n ,Nobody\nacme.com,Acme\n")
    assert find(tmp_path, {"domain": ""}) == {"matched": False}
    assert find(tmp_path, {"domain": "acme.com"})["name"] == "Acme"


def test_a_parquet_table_is_read(tmp_path: Path) -> None:
    columns = {
        "domain": [7, 8],
        "name": ["Acme", None],
        "since": [dt.date(2020, 1, 2), None],
        "revenue": [Decimal("12.50"), Decimal("1.00")],
        "growth": [float("nan"), 0.5],
        "tags": [["a", "b"], []],
    }
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    assert find(tmp_path, {"domain": "7"}, table="c.parquet") == {
        "matched": True,
        "score": 100.0,
        "name": "Acme",
        "since": "2020-01-02",
        "revenue": "12.50",
        "growth": None,
        "tags": ["a", "b"],
    }


@pytest.mark.parametrize(
    "source",
    [
        {"table": "companies"},
        {"table": "main.companies"},
        {"query": "SELECT domain, name, tier FROM companies WHERE name LIKE '%:inc' OR name LIKE '%: inc'"},
    ],
)
def test_a_database_is_read(tmp_path: Path, source: dict[str, str]) -> None:
    answer = find(sqlite_table(tmp_path), {"domain": "ACME.com"}, database="sqlite:///ref.db", **source)
    assert answer == {"matched": True, "score": 100.0, "name": "Acme: inc", "tier": "gold"}


def test_the_database_may_come_from_the_environment(tmp_path: Path) -> None:
    named = spec(database="${REFERENCE_URL}", table="companies")
    step = build(named, sqlite_table(tmp_path), {"REFERENCE_URL": "sqlite:///ref.db"})
    assert step.call([item(domain="bolt.io")])[0]["name"] == "Bolt"
    with pytest.raises(InvalidDefinition, match="REFERENCE_URL is not set"):
        build(named, tmp_path, {})


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match="is not there"):
        build(spec(database="sqlite:///none.db", table="companies"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg://ann:hunter2@127.0.0.1:1/ref?connect_timeout=5", "nodb://ann:hunter2@host/ref", "hunter2"],
)
def test_a_database_that_cannot_be_read_is_named_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        build(spec(database=url, table="companies"), tmp_path)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(spec(database=url, table="companies"))


def test_a_wrong_query_says_what_the_database_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match="no such table: elsewhere"):
        build(spec(database="sqlite:///ref.db", query="SELECT * FROM elsewhere"), sqlite_table(tmp_path))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (COMPANIES + "ACME.com,Acme 2,x\n", {}, "'ACME.com' stands in line 2 and in line 4"),
        (COMPANIES, {"key": "domian"}, "no column 'domian'; did you mean 'domain'"),
        (COMPANIES, {"fields": ["teir"]}, "no column 'teir'; did you mean 'tier'"),
        (COMPANIES, {"fields": ["zzzz"]}, "it has 'domain', 'name', 'tier'"),
        (COMPANIES + "x.com,X\n", {}, "line 4: 2 values for 3 columns"),
        ("", {}, "is empty"),
        ("domain,name,name\n", {}, "'name' more than once"),
        ("domain,score\na,1\n", {}, "'score' is part of every answer.*table_score"),
        ('domain,name\n"a,b\n', {}, "line 2"),
    ],
)
def test_a_wrong_table_is_refused(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDefinition, match=message):
        build(spec(**options), csv_table(tmp_path, text))


def test_keys_that_differ_in_case_stand_side_by_side_where_case_counts(tmp_path: Path) -> None:
    csv_table(tmp_path, COMPANIES + "ACME.com,Acme 2,x\n")
    assert find(tmp_path, {"domain": "ACME.com"}, normalize=False)["name"] == "Acme 2"


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    csv_table(tmp_path, 'domain,name\n\na,"x\ny"\na,z\n')
    with pytest.raises(InvalidDefinition, match="in line 4 and in line 5"):
        build(spec(), tmp_path)


def test_a_missing_file_and_other_encodings_are_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match=r"companies\.csv is not there"):
        build(spec(), tmp_path)
    (tmp_path / "companies.csv").write_bytes(b"domain,name\nx,\xe4\n")
    with pytest.raises(InvalidDefinition, match="not UTF-8"):
        build(spec(), tmp_path)
    (tmp_path / "c.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InvalidDefinition, match="no Parquet file"):
        build(spec(table="c.parquet"), tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "companies.xlsx"}, "must be a file ending in .csv"),
        ({"table": None}, "or give `database`"),
        ({"query": "SELECT 1"}, "needs `database`"),
        ({"database": "sqlite:///a.db", "table": None}, "either `table` or `query`"),
        ({"database": "sqlite:///a.db", "table": "t", "query": "q"}, "either `table` or `query`"),
        ({"on": "@batch"}, "'@label', '@key'"),
        ({"match": "near"}, "'exact' or 'fuzzy'"),
        ({"missing": "skip"}, "'null' or 'dead'"),
        ({"min_score": 101}, "less than or equal to 100"),
        ({"column": "x"}, "column"),
    ],
)
def test_a_wrong_option_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**options)


def test_a_file_is_pinned_by_hash_and_a_database_is_not() -> None:
    assert files(spec()) == ("companies.csv",)
    assert files(spec(database="sqlite:///ref.db", table="companies")) == ()


NAMES = "name,id\nAcme Trading Ltd,1\nBolt Industries GmbH,2\nAcorn Holdings,3\nDeutsche Bank AG,4\n"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Acme Trading Ltd", "1"),
        ("ACME TRADING, LTD.", "1"),
        ("Acme Tradng Ltd", "1"),
        ("Ltd Acme Trading", "1"),
        ("Bolt Industies GmbH", "2"),
        ("Zeutsche Bank AG", "4"),
        ("Acme", None),
        ("Acme Trucking Group", None),
        ("???", None),
        ("東京", None),
    ],
)
def test_a_fuzzy_match_finds_names_with_slips(tmp_path: Path, name: str, found: str | None) -> None:
    csv_table(tmp_path, NAMES)
    assert find(tmp_path, {"name": name}, key="name", on="name", match="fuzzy").get("id") == found


def test_a_fuzzy_match_tells_its_score(tmp_path: Path) -> None:
    csv_table(tmp_path, NAMES)
    options = {"key": "name", "on": "name", "match": "fuzzy"}
    assert find(tmp_path, {"name": "acme trading ltd"}, **options)["score"] == 100.0
    near = find(tmp_path, {"name": "Acme Tradng Ltd"}, **options)
    assert near["score"] == round(fuzz.ratio("acme tradng ltd", "acme trading ltd"), 1)
    assert find(tmp_path, {"name": "Acme Tradng Ltd"}, min_score=99, **options) == {"matched": False}


def test_an_exact_match_finds_no_neighbours(tmp_path: Path) -> None:
    assert find(csv_table(tmp_path, NAMES), {"name": "Acme Tradng Ltd"}, key="name", on="name") == {"matched": False}


WORDS = st.text(alphabet="abcde", min_size=3, max_size=7)
KEYS = st.lists(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=12, unique=True)


@given(keys=KEYS, at=st.integers(0, 11), cut=st.integers(0, 30))
@settings(max_examples=150)
def test_blocking_finds_what_comparing_with_every_key_finds(keys: list[str], at: int, cut: int) -> None:
    key = keys[at % len(keys)]
    text = key[: cut % len(key)] + key[cut % len(key) + 1 :]
    best = max(fuzz.ratio(" ".join(text.split()), other) for other in keys)
    found = Neighbours(keys, 90).nearest(text)
    assert (found is None and best < 90) or (found is not None and found[1] >= best)
