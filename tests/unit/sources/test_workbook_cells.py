"""Special cells of workbooks: dates in both systems, errors, formulas, merged cells, rich text, numbers as text."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, time, timedelta
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from pipeline.sources import ReadOptions, ReadReport, Record, open_source


def workbook(*values: Any, epoch: datetime | None = None, **formats: str) -> openpyxl.Workbook:
    """Return a workbook whose column `v` has these values from its second row on."""
    made = openpyxl.Workbook()
    if epoch is not None:
        made.epoch = epoch
    sheet = made.active
    sheet.append(["v", "w"])
    for number, value in enumerate(values, 2):
        sheet.cell(number, 1, value)
        sheet.cell(number, 2, "x")
    for place, number_format in formats.items():
        sheet[place].number_format = number_format
    return made


def saved(made: openpyxl.Workbook, replace: tuple[bytes, bytes] = (b"", b"")) -> bytes:
    """Return the bytes of a workbook, with some of the XML of its sheets replaced."""
    written, patched = io.BytesIO(), io.BytesIO()
    made.save(written)
    with zipfile.ZipFile(written) as given, zipfile.ZipFile(patched, "w") as taken:
        for name in given.namelist():
            content = given.read(name)
            if name.startswith("xl/worksheets/") and replace[0]:
                assert replace[0] in content
                content = content.replace(*replace)
            taken.writestr(name, content)
    return patched.getvalue()


def read(content: bytes, tmp_path: Any) -> list[Any]:
    path = tmp_path / "a.xlsx"
    path.write_bytes(content)
    items = list(open_source([path], ReadOptions(), ReadReport()).read())
    assert all(isinstance(item, Record) for item in items)
    return [item.payload["v"] for item in items if isinstance(item, Record)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 11, 30), "2026-11-30"),
        (datetime.fromisoformat("2026-11-30T08:05"), "2026-11-30T08:05:00"),
        (time(23, 59, 30), "23:59:30"),
        (timedelta(hours=26), 93_600.0),
        (True, True),
        (False, False),
        (300, 300),
        (300.0, 300),
        (0.1, 0.1),
        ("007", "007"),
        ("#N/A", "#N/A"),
        ("#REF!", "#REF!"),
        (" a\nb ", " a\nb "),
    ],
)
def test_a_cell_is_what_it_shows(value: Any, expected: Any, tmp_path: Any) -> None:
    (found,) = read(saved(workbook(value)), tmp_path)
    assert (found, type(found)) == (expected, type(expected))


def test_midnight_is_an_instant_where_the_cell_shows_the_time(tmp_path: Any) -> None:
    midnight = datetime.fromisoformat("2026-11-30")
    made = workbook(midnight, midnight, A2="yyyy-mm-dd hh:mm", A3="yyyy-mm-dd")
    assert read(saved(made), tmp_path) == ["2026-11-30T00:00:00", "2026-11-30"]


def test_dates_of_1904_are_the_dates_that_are_shown(tmp_path: Any) -> None:
    given = [date(1904, 1, 2), date(2026, 11, 30)]
    assert read(saved(workbook(*given, epoch=CALENDAR_MAC_1904)), tmp_path) == ["1904-01-02", "2026-11-30"]


def test_a_formula_is_its_stored_value(tmp_path: Any) -> None:
    content = saved(workbook("=1+1"), (b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>"))
    assert read(content, tmp_path) == [2]


def test_a_formula_that_was_never_calculated_is_null(tmp_path: Any) -> None:
    assert read(saved(workbook("=1+1")), tmp_path) == [None]


def test_merged_cells_have_their_value_in_the_first(tmp_path: Any) -> None:
    made = workbook("a", "b", "c")
    made.active.merge_cells("A2:A4")
    assert read(saved(made), tmp_path) == ["a", None, None]


def test_rich_text_is_its_text(tmp_path: Any) -> None:
    rich = CellRichText("plain ", TextBlock(InlineFont(b=True), "bold"), " end")
    assert read(saved(workbook(rich)), tmp_path) == ["plain bold end"]
