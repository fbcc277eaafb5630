"""The lookup enricher: exact and fuzzy matches in every kind of table, and the messages for invalid tables."""

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
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from rapidfuzz import fuzz

from pipeline.domain.item import WorkItem
from pipeline.errors import InvalidDefinition, Permanent
from pipeline.stages.enrichers.fuzzy_match import FuzzyIndex
from pipeline.stages.enrichers.lookup import Spec, build, files

COMPANIES = "domain,name,tier\nacme.com,Acme,gold\nbolt.io,Bolt,silver\n"


def item(**payload: Any) -> WorkItem:
    return WorkItem(
        item_id="b-1", batch_id="b", key="K1", payload=payload, text="", attempt=1, label="Sales", confidence=None
    )


def spec(**options: Any) -> Spec:
    table = {"use": "lookup", "key": "domain", "on": "domain", **options}
    return Spec.model_validate(table if "database" in table else {"table": "companies.csv", **table})


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


def test_the_repr_of_a_step_does_not_show_the_table(tmp_path: Path) -> None:
    assert "acme.com" not in repr(build(spec(), csv_table(tmp_path, COMPANIES)))


def test_answers_are_in_the_order_of_the_items(tmp_path: Path) -> None:
    step = build(spec(fields=["name"]), csv_table(tmp_path, COMPANIES))
    answers = step.call([item(domain="bolt.io"), item(domain="none"), item(domain="acme.com")])
    assert [answer.get("name") for answer in answers] == ["Bolt", None, "Acme"]


@pytest.mark.parametrize("value", ["  ACME.com ", "Acme.COM\n"])
def test_case_and_white_space_are_ignored_by_default(tmp_path: Path, value: str) -> None:
    csv_table(tmp_path, COMPANIES)
    assert find(tmp_path, {"domain": value})["matched"] is True
    assert find(tmp_path, {"domain": value}, normalize=False) == {"matched": False}


@pytest.mark.parametrize("payload", [{"domain": "nobody.com"}, {"domain": ""}, {"domain": " "}, {"domain": None}, {}])
def test_an_item_without_a_row_is_unmatched_or_dead(tmp_path: Path, payload: dict[str, Any]) -> None:
    csv_table(tmp_path, COMPANIES)
    assert find(tmp_path, payload) == {"matched": False}
    dead = find(tmp_path, payload, missing="dead")
    assert isinstance(dead, Permanent)
    assert "companies.csv" in str(dead)
    assert "'domain'" in str(dead)
    assert "nobody" not in str(dead)


def test_a_list_cannot_be_looked_up(tmp_path: Path) -> None:
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
def test_on_selects_the_value_to_look_up(tmp_path: Path, on: str, payload: dict[str, Any], name: str) -> None:
    csv_table(tmp_path, "domain,name\nx,field\nSales,label\nK1,key\n")
    assert find(tmp_path, payload, on=on)["name"] == name


@pytest.mark.parametrize("value", [42, 42.0, "42", " 42"])
def test_a_number_and_its_text_are_the_same_key(tmp_path: Path, value: object) -> None:
    assert find(csv_table(tmp_path, "domain,name\n42,Acme\n"), {"domain": value})["name"] == "Acme"


def test_fields_select_and_rename_columns(tmp_path: Path) -> None:
    csv_table(tmp_path, COMPANIES)
    assert find(tmp_path, {"domain": "acme.com"}, fields=["tier"]) == {"matched": True, "score": 100.0, "tier": "gold"}
    renamed = find(tmp_path, {"domain": "acme.com"}, fields={"company": "name", "key": "domain"})
    assert renamed == {"matched": True, "score": 100.0, "company": "Acme", "key": "acme.com"}


def test_a_csv_may_have_quotes_line_breaks_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    csv_table(tmp_path, '\ufeffdomain;name\r\n\r\n"acme.com";"Acme; the\nfirst ""one"""\r\n')
    assert find(tmp_path, {"domain": "acme.com"}, delimiter=";")["name"] == 'Acme; the\nfirst "one"'


def test_a_tsv_file_is_separated_by_tabs(tmp_path: Path) -> None:
    csv_table(tmp_path, "domain\tname\nacme.com\tAcme, Inc\n", "companies.tsv")
    assert find(tmp_path, {"domain": "acme.com"}, table="companies.tsv")["name"] == "Acme, Inc"


def test_rows_without_a_key_are_skipped(tmp_path: Path) -> None:
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


def test_instants_of_spark_are_read_in_any_century(tmp_path: Path) -> None:
    end = dt.datetime.fromisoformat("9999-12-31")
    columns = {"domain": ["acme.com"], "until": pa.array([end], pa.timestamp("us"))}
    pq.write_table(pa.table(columns), tmp_path / "c.parquet", use_deprecated_int96_timestamps=True)
    assert find(tmp_path, {"domain": "acme.com"}, table="c.parquet")["until"] == end.isoformat()


def test_an_instant_that_no_datetime_can_hold_is_named_by_its_row(tmp_path: Path) -> None:
    columns = {"domain": ["a.com", "b.com"], "until": pa.array([0, 2**62], pa.timestamp("us"))}
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    with pytest.raises(InvalidDefinition, match=r"table c\.parquet cannot be read after row 0: "):
        build(spec(table="c.parquet"), tmp_path)


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


def test_the_database_url_may_come_from_the_environment(tmp_path: Path) -> None:
    from_environment = spec(database="${REFERENCE_URL}", table="companies")
    step = build(from_environment, sqlite_table(tmp_path), {"REFERENCE_URL": "sqlite:///ref.db"})
    assert step.call([item(domain="bolt.io")])[0]["name"] == "Bolt"
    with pytest.raises(InvalidDefinition, match="REFERENCE_URL is not set"):
        build(from_environment, tmp_path, {})


def test_a_missing_database_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match="does not exist"):
        build(spec(database="sqlite:///none.db", table="companies"), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url",
    ["postgresql+psycopg://ann:hunter2@127.0.0.1:1/ref?connect_timeout=5", "nodb://ann:hunter2@host/ref", "hunter2"],
)
def test_the_error_for_an_unreadable_database_does_not_show_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        build(spec(database=url, table="companies"), tmp_path)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(spec(database=url, table="companies"))


def test_the_error_for_a_failed_query_has_the_databases_message(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match="no such table: elsewhere"):
        build(spec(database="sqlite:///ref.db", query="SELECT * FROM elsewhere"), sqlite_table(tmp_path))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (COMPANIES + "ACME.com,Acme 2,x\n", {}, "'ACME.com' occurs in line 2 and in line 4"),
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
def test_an_invalid_table_is_rejected(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDefinition, match=message):
        build(spec(**options), csv_table(tmp_path, text))


def test_without_normalization_keys_may_differ_only_in_case(tmp_path: Path) -> None:
    csv_table(tmp_path, COMPANIES + "ACME.com,Acme 2,x\n")
    assert find(tmp_path, {"domain": "ACME.com"}, normalize=False)["name"] == "Acme 2"


def test_line_numbers_match_a_text_editor(tmp_path: Path) -> None:
    csv_table(tmp_path, 'domain,name\n\na,"x\ny"\na,z\n')
    with pytest.raises(InvalidDefinition, match="in line 4 and in line 5"):
        build(spec(), tmp_path)


def test_an_unreadable_file_is_rejected_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(InvalidDefinition, match=r"companies\.csv does not exist"):
        build(spec(), tmp_path)
    (tmp_path / "companies.csv").write_bytes(b"domain,name\nx,\xe4\n")
    with pytest.raises(InvalidDefinition, match="not UTF-8"):
        build(spec(), tmp_path)
    (tmp_path / "c.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InvalidDefinition, match="damaged or not a Parquet file"):
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
def test_an_invalid_option_is_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(**options)


def test_a_file_is_pinned_and_a_database_is_not() -> None:
    assert files(spec()) == ("companies.csv",)
    assert files(spec(database="sqlite:///ref.db", table="companies")) == ()


NAMES = "name,id\nAcme Trading Ltd,1\nBolt Industries GmbH,2\nAcorn Holdings,3\nDeutsche Bank AG,4\n"


@pytest.mark.parametrize(
    ("name", "expected"),
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
def test_a_fuzzy_match_finds_misspelled_names(tmp_path: Path, name: str, expected: str | None) -> None:
    csv_table(tmp_path, NAMES)
    assert find(tmp_path, {"name": name}, key="name", on="name", match="fuzzy").get("id") == expected


def find_nearest(name: str, *keys: str) -> str | None:
    nearest = FuzzyIndex(keys, 90).find_nearest(name)
    return None if nearest is None else keys[nearest[0]]


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Order 10025", "Order 10023"),
        ("Order 1002", "Order 10023"),
        ("Order", "Order 1"),
        ("Building 1, Room 23", "Building 12, Room 3"),
        ("Order A100 express", "Order B100 express"),
        ("Invoice ١٢٣٤ of the bank", "Invoice ١٢٣٥ of the bank"),
        ("Invoice １２３４ of the bank", "Invoice 1235 of the bank"),
        ("Cargo hall 12 m³ north", "Cargo hall 12 m² north"),
        ("中国第一汽车集团股份有限公司", "中国第二汽车集团股份有限公司"),
        ("Airport Terminal II", "Airport Terminal III"),
        ("Enterprise Plan A", "Enterprise Plan B"),
        ("J. Smith and Sons", "K. Smith and Sons"),
    ],
)
def test_names_with_different_numbers_or_initials_are_not_similar(name: str, key: str) -> None:
    assert find_nearest(name, key) is None
    assert find_nearest(key, key) == key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Societe Generale", "Société Générale"),
        ("Société Générale", "Societe Generale"),
        ("L'Oreal", "L’Oréal"),
        ("Malmo Aktiebolag", "Malmö Aktiebolag"),
        ("Orsted", "Ørsted"),
        ("Lodz Fabryka", "Łódź Fabryka"),
        ("Istanbul Sirketi", "İSTANBUL ŞİRKETİ"),
        ("Kisa Sirket", "Kısa Şirket"),
        ("Nguyen Thi Minh Khai", "Nguyễn Thị Minh Khai"),
        ("Αθηνα Τραπεζα", "Αθήνα Τράπεζα"),
        ("Королев", "Королёв"),
        ("אלון", "אַלּוֹן"),
        ("iPhone 12 Pro", "iPhone12 Pro"),
        ("Jane Smith and Sons", "Jane B. Smith and Sons"),
        ("Acme SA of Geneva", "Acme S.A. of Geneva"),
    ],
)
def test_accents_and_initials_may_be_left_out(name: str, key: str) -> None:
    assert find_nearest(name, key) == key


@pytest.mark.parametrize(("name", "key"), [("かき", "がき"), ("कमल", "कुमुल"), ("राम", "रीम"), ("май", "маи")])
def test_marks_that_make_another_letter_count(name: str, key: str) -> None:
    assert find_nearest(name, key) is None


def test_among_equally_similar_keys_none_is_the_answer() -> None:
    assert find_nearest("Anna Meyer Hamburg", "Anna Meier Hamburg", "Anna Mexer Hamburg") is None
    assert find_nearest("Anna Meier Hamburg", "Anna Meier Hamburg", "Anna Mexer Hamburg") == "Anna Meier Hamburg"


def test_accents_decide_between_keys_that_differ_in_nothing_else() -> None:
    keys = ("Muller & Sohne", "Müller & Söhne", "Müller & Sohne")
    assert find_nearest("MÜLLER + SÖHNE", *keys) == "Müller & Söhne"
    assert find_nearest("Sohne, Muller", *keys) == "Muller & Sohne"


def test_a_key_is_found_in_every_form_that_a_reader_considers_equal(tmp_path: Path) -> None:
    csv_table(tmp_path, "domain,name\nL’Oréal e\u2011mail,1\nＡＣＭＥ\u00a0Co,2\n")
    assert find(tmp_path, {"domain": "l'ore\u0301al  E-MAIL"})["name"] == "1"
    assert find(tmp_path, {"domain": "acme co"})["name"] == "2"
    assert find(tmp_path, {"domain": "acme co"}, normalize=False) == {"matched": False}


def test_a_fuzzy_match_returns_its_score(tmp_path: Path) -> None:
    csv_table(tmp_path, NAMES)
    options = {"key": "name", "on": "name", "match": "fuzzy"}
    assert find(tmp_path, {"name": "acme trading ltd"}, **options)["score"] == 100.0
    near = find(tmp_path, {"name": "Acme Tradng Ltd"}, **options)
    assert near["score"] == round(fuzz.ratio("acme tradng ltd", "acme trading ltd"), 1)
    assert find(tmp_path, {"name": "Acme Tradng Ltd"}, min_score=99, **options) == {"matched": False}


def test_an_exact_match_ignores_similar_keys(tmp_path: Path) -> None:
    assert find(csv_table(tmp_path, NAMES), {"name": "Acme Tradng Ltd"}, key="name", on="name") == {"matched": False}


WORDS = st.text(alphabet="abcde", min_size=3, max_size=7)
KEYS = st.lists(st.lists(WORDS, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=12, unique=True)


@given(keys=KEYS, index=st.integers(0, 11), cut=st.integers(0, 30))
def test_the_trigram_index_finds_what_a_full_comparison_finds(keys: list[str], index: int, cut: int) -> None:
    key = keys[index % len(keys)]
    text = key[: cut % len(key)] + key[cut % len(key) + 1 :]
    scores = sorted(_similarity(text, other) for other in keys)
    nearest = FuzzyIndex(keys, 90).find_nearest(text)
    is_clear = scores[-1] >= 90 and scores[-1] not in scores[:-1]
    assert (nearest is not None) == is_clear
    assert nearest is None or (_similarity(text, keys[nearest[0]]) == nearest[1] == scores[-1])


def _similarity(text: str, other: str) -> float:
    words, other_words = text.split(), other.split()
    as_written = fuzz.ratio(" ".join(words), " ".join(other_words))
    return max(as_written, fuzz.ratio(" ".join(sorted(words)), " ".join(sorted(other_words))))
