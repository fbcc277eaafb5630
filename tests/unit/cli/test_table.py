"""Tables on terminals of any width: words stay whole, empty columns and needless days are left out."""

from __future__ import annotations

import io
from datetime import datetime, timedelta

import pytest
from rich.text import Text

from pipeline.cli.show.table import print_table

HEADERS = ("id", "state", "due", "number", "url")
LONG = "https://example.com/a/path/that/is/longer/than/any/terminal/of/this/test/is/wide?…"
NOW = datetime.now().astimezone().replace(microsecond=0)
ROWS = [("1", "pending", NOW, 10_000, LONG), ("22", "dead", None, 7, "https://example.com/b")]


class Screen(io.StringIO):
    """A terminal, as far as a stream can be asked."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return [Text.from_ansi(line).plain for line in self.getvalue().splitlines()]


def screen(monkeypatch: pytest.MonkeyPatch, width: int) -> Screen:
    """Return what is printed on from now on."""
    found = Screen()
    monkeypatch.setattr("sys.stdout", found)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    return found


def test_columns_stand_beside_each_other_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 200)
    print_table(HEADERS, ROWS, right={"number"}, below=("url",))
    assert shown.lines[0].split() == list(HEADERS)
    assert shown.lines[2] == f"1   pending  {NOW:%H:%M:%S}  10,000  {LONG}"
    assert shown.lines[3] == f"22  dead     {' ' * 8}       7  https://example.com/b"


@pytest.mark.parametrize("width", [80, 40])
def test_what_does_not_fit_stands_below_its_row_in_one_piece(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, width)
    print_table(HEADERS, ROWS, right={"number"}, below=("url",))
    assert shown.lines[2:4] == [f"1   pending  {NOW:%H:%M:%S}  10,000", f"  url {LONG}"]
    assert shown.lines[4:] == [f"22  dead     {' ' * 8}       7", "  url https://example.com/b"]


def test_where_nothing_fits_each_row_is_a_few_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 16)
    print_table(HEADERS, ROWS[1:], right={"number"}, below=("url",))
    assert shown.lines == ["id", "──", "22", "  state dead", "  number 7", "  url https://example.com/b"]


def test_empty_columns_are_left_out_and_a_day_is_told_where_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 80)
    yesterday = NOW - timedelta(days=1)
    print_table(("id", "at", "error"), [("1", yesterday, None), ("2", NOW, "")])
    assert shown.lines[0].split() == ["id", "at"]
    assert shown.lines[2] == f"1   {yesterday:%Y-%m-%d %H:%M}"


def test_a_table_without_rows_says_what_it_would_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = screen(monkeypatch, 80)
    print_table(("id", "state"), [])
    assert shown.lines[0] == "id  state"
