"""The pure parts of the web page: how values are written, charts, filters and the form of an endpoint."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from jinja2 import UndefinedError
from starlette.datastructures import QueryParams

from pipeline.batches.rules.history import timeline
from pipeline.delivery.rules.endpoint_settings import SETTINGS
from pipeline.domain.item import Stage
from pipeline.http_api.page import charts, text
from pipeline.http_api.page.endpoint_form import SETTING_NAMES, read_settings, setting_fields
from pipeline.http_api.page.filters import choice_filter, is_filtered, older_link, text_filter
from pipeline.http_api.page.render import render
from pipeline.http_api.pages import read_id_cursor
from pipeline.http_api.problems import Problem

NOW = datetime(2026, 11, 21, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("plain", "plain"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("\x00\x1b[31m", "\\u0000\\u001b[31m"),
        # Joiners and marks belong to scripts and emoji.
        ("نمی\u200cخواهم 👩\u200d💻 \u200f", "نمی\u200cخواهم 👩\u200d💻 \u200f"),
        (None, None),
        (17, 17),
    ],
)
def test_what_cannot_be_seen_is_written_out(given: object, shown: object) -> None:
    assert text.visible(given) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0123, "12 ms"),
        (1, "1 s"),
        (2.54, "2.5 s"),
        (59.4, "59 s"),
        (90, "2 min"),
        (3600, "1 h"),
        (5400, "1.5 h"),
        (200_000, "2 d"),
    ],
)
def test_durations_are_in_the_unit_that_suits_them(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


def test_long_texts_are_cut() -> None:
    assert text.cut("x" * 300, 10) == "x" * 9 + "…"
    assert [text.cut(each) for each in ("", None, "short")] == ["–", "–", "short"]


def test_numbers_have_their_noun() -> None:
    assert [text.counted(number, "item") for number in (0, 1, 1200)] == ["0 items", "1 item", "1,200 items"]


def test_a_template_that_lacks_a_value_fails() -> None:
    with pytest.raises(UndefinedError):
        render("confirm.html", {"root": ""})


# --- charts ----------------------------------------------------------------------------------------------------------


def test_a_batch_that_finished_at_once_has_no_rate() -> None:
    assert charts.rate_chart([]) is None
    assert charts.rate_chart(timeline([(NOW, True)], 60)) is None


def test_a_timeline_has_a_bar_and_a_row_for_each_part() -> None:
    finished = [(NOW + timedelta(seconds=second), second != 3) for second in range(10) for _ in range(2)]
    chart = charts.rate_chart(timeline(finished, 60))
    assert chart is not None
    assert chart.svg.count('class="rate"') == chart.svg.count('class="failed"') == 18
    assert chart.svg.count("<title>") == 18
    assert sum(failed for _, _, failed in chart.rows) == chart.most_failed == 2
    assert (chart.begins_at, chart.ends_at) == (NOW, NOW + timedelta(seconds=9))


def test_labels_are_bars_in_shares_of_the_largest_and_lead_to_their_items() -> None:
    numbers = {f"label {n}": 400 - n for n in range(300)}
    chart = charts.label_chart(numbers, lambda name: f"?label={name}")
    assert chart is not None
    assert (len(chart.bars), len(chart.rest), chart.left_out) == (12, 188, 100)
    assert (chart.bars[0].share, chart.bars[0].href) == (100, "?label=label 0")
    assert charts.label_chart({}, str) is None


def test_latencies_beyond_the_last_class_are_named_by_it() -> None:
    chart = charts.latency_chart([(0.5, 3), (3600, 0), (None, 1)])
    assert chart is not None
    assert [bar.name for bar in chart.bars] == ["up to 500 ms", "up to 1 h", "over 1 h"]
    assert charts.latency_chart([]) is None


# --- filters ---------------------------------------------------------------------------------------------------------


def test_a_page_begins_behind_the_one_before_with_the_same_filters() -> None:
    given = QueryParams("stage=enrich&label=a+%26+b&after=x")
    fields = [choice_filter(given, "stage", "Stage", Stage), text_filter(given, "label", "Label")]
    link = older_link(fields, 17)
    assert link is not None
    found = parse_qs(link.removeprefix("?"))
    assert (found["stage"], found["label"], read_id_cursor(found["after"][0])) == (["enrich"], ["a & b"], 17)
    assert older_link(fields, None) is None
    assert (is_filtered(fields), is_filtered([])) == (True, False)


@pytest.mark.parametrize("query", ["stage=nothing", "stage=%00"])
def test_a_choice_that_is_none_is_refused_with_those_there_are(query: str) -> None:
    with pytest.raises(Problem, match="classify, enrich"):
        choice_filter(QueryParams(query), "stage", "Stage", Stage)


@pytest.mark.parametrize("value", ["x" * 10_001, "a\0b"])
def test_a_text_that_cannot_be_looked_for_is_refused(value: str) -> None:
    with pytest.raises(Problem, match="label is"):
        text_filter(QueryParams({"label": value}), "label", "Label")


# --- the form of an endpoint -----------------------------------------------------------------------------------------


def test_every_setting_has_a_field() -> None:
    assert set(SETTING_NAMES) == set(SETTINGS)


def test_what_people_type_is_read_as_it_is_stored() -> None:
    typed = {"rate": "12.5", "burst": "20", "in_flight_cap": "", "ordering": "batch", "schedule": "short"}
    stored = {"rate": 12.5, "burst": 20, "in_flight_cap": None, "ordering": "batch", "schedule": "short"}
    assert read_settings(typed) == (stored, {})
    shown = {field.name: field.value for field in setting_fields(stored | {"rate": 50.0}, None, {})}
    assert (shown["rate"], shown["burst"], shown["in_flight_cap"], shown["coalesce_ms"]) == ("50", "20", "", "")


@pytest.mark.parametrize("value", ["fast", "-1", "nan", "1e999", "9" * 5_000, "1_000"])
def test_a_rate_that_is_none_is_refused_at_its_field(value: str) -> None:
    settings, errors = read_settings({"rate": value, "burst": "1"})
    assert (settings, list(errors)) == ({"burst": 1}, ["rate"])
    field = next(field for field in setting_fields({}, {"rate": value}, errors) if field.name == "rate")
    assert (field.value, "expected a number" in field.error) == (value, True)
