"""Tables on terminals of any width: words are not broken, empty columns and today's date are left out."""

from __future__ import annotations

import io
import time
from datetime import UTC, datetime, timedelta

import pytest
from rich.text import Text

from pipeline.cli.show.output import print_fields, zone_name
from pipeline.cli.show.table import print_table

HEADERS = ("id", "state", "due", "number", "url")
LONG = "https://example.com/a/path/that/is/longer/than/any/terminal/of/this/test/is/wide?…"
DUE = f"due ({zone_name()})"
NOW = datetime.now().astimezone().replace(microsecond=0)
ROWS = [("1", "pending", NOW, 10_000, LONG), ("22", "dead", None, 7, "https://example.com/b")]


class Screen(io.StringIO):
    """A stream that reports to be a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return [Text.from_ansi(line).plain for line in self.getvalue().splitlines()]


def open_screen(monkeypatch: pytest.MonkeyPatch, width: int) -> Screen:
    """Return a screen that receives standard output from now on."""
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    return screen


def test_a_wide_terminal_shows_all_columns_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = open_screen(monkeypatch, 200)
    print_table(HEADERS, ROWS, right={"number"}, below=("url",))
    assert screen.lines[0].replace(DUE, "due").split() == list(HEADERS)
    assert screen.lines[2] == f"1   pending  {f'{NOW:%H:%M:%S}':{len(DUE)}}  10,000  {LONG}"
    assert screen.lines[3] == f"22  dead     {' ' * len(DUE)}       7  https://example.com/b"


@pytest.mark.parametrize("width", [80, 40])
def test_a_column_that_does_not_fit_moves_below_its_row_unbroken(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = open_screen(monkeypatch, width)
    print_table(HEADERS, ROWS, right={"number"}, below=("url",))
    assert screen.lines[2:4] == [f"1   pending  {f'{NOW:%H:%M:%S}':{len(DUE)}}  10,000", f"  url {LONG}"]
    assert screen.lines[4:] == [f"22  dead     {' ' * len(DUE)}       7", "  url https://example.com/b"]


def test_on_a_very_narrow_terminal_all_columns_but_the_first_move(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = open_screen(monkeypatch, 16)
    print_table(HEADERS, ROWS[1:], right={"number"}, below=("url",))
    assert screen.lines == ["id", "──", "22", "  state dead", "  number 7", "  url https://example.com/b"]


def test_empty_columns_are_left_out_and_other_days_have_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = open_screen(monkeypatch, 80)
    yesterday = NOW - timedelta(days=1)
    print_table(("id", "at", "error"), [("1", yesterday, None), ("2", NOW, "")])
    assert screen.lines[0].split("  ") == ["id", f"at ({zone_name()})"]
    assert screen.lines[2] == f"1   {yesterday:%Y-%m-%d %H:%M}"


def test_a_table_without_rows_has_only_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = open_screen(monkeypatch, 80)
    print_table(("id", "state"), [])
    assert screen.lines[0] == "id  state"


def test_a_message_can_replace_a_table_without_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = open_screen(monkeypatch, 80)
    print_table(("id", "state"), [], empty="no items")
    assert (screen.lines, capsys.readouterr().err) == ([], "no items\n")


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process is fixed")
@pytest.mark.parametrize(
    ("zone", "header", "shown"),
    [
        ("UTC", "created (UTC)", "2026-07-01 12:00:00"),
        ("Asia/Kathmandu", "created (UTC+05:45)", "2026-07-01 17:45:00"),
        ("America/St_Johns", "created (UTC-0", "2026-07-01 "),
    ],
)
def test_a_column_of_times_names_its_zone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, zone: str, header: str, shown: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at = datetime(2026, 7, 1, 12, tzinfo=UTC)
        print_table(("batch", "created"), [("a", at), ("b", None)], below=("created",))
        print_fields({"created_at": at})
    finally:
        monkeypatch.undo()
        time.tzset()
    table, fields = capsys.readouterr().out.rsplit("\n", 2)[:2]
    assert header in table
    assert shown in table
    assert shown in fields
    assert fields.split()[-1].startswith("UTC")
