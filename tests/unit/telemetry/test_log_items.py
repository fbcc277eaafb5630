"""Which attempts `PIPELINE_LOG_ITEMS` chooses."""

from __future__ import annotations

import pytest

from pipeline.errors import InvalidSettings
from pipeline.settings import load
from pipeline.telemetry.log_items import LogItems, parse_log_items

ITEMS = [f"4v6tw0c3n1h8r2ka-{number}" for number in range(1, 20_001)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("off", LogItems()),
        ("dead", LogItems(dead=True)),
        ("all", LogItems(rate=1.0)),
        ("sample:0.01", LogItems(rate=0.01)),
        ("sample:1", LogItems(rate=1.0)),
    ],
)
def test_each_choice_is_read(text: str, expected: LogItems) -> None:
    assert parse_log_items(text) == expected


@pytest.mark.parametrize(
    "text", ["", "on", "sample", "sample:", "sample:0", "sample:1.1", "sample:nan", "sample:-1", "0.1"]
)
def test_another_choice_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_LOG_ITEMS", text)
    with pytest.raises(InvalidSettings, match="PIPELINE_LOG_ITEMS.*such as sample:0.01"):
        load()


def test_a_sample_has_its_share_and_grows_with_it() -> None:
    small, large = ({item for item in ITEMS if LogItems(rate=rate).takes(item, is_dead=False)} for rate in (0.01, 0.1))
    assert 150 < len(small) < 250
    assert 1_850 < len(large) < 2_150
    assert small < large


def test_dead_items_are_all_there_and_others_are_not() -> None:
    chosen = parse_log_items("dead")
    assert all(chosen.takes(item, is_dead=True) for item in ITEMS[:100])
    assert not any(chosen.takes(item, is_dead=False) for item in ITEMS[:100])
    assert not parse_log_items("off").takes(ITEMS[0], is_dead=True)
