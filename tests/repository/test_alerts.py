"""docs/how-to/alerts.md has every rule as it is, and its example can be used."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from pathlib import Path

import pytest

from pipeline.alerts.alerts_file import read_alerts
from pipeline.alerts.rules.catalog import RULES, AlertRule
from pipeline.alerts.rules.channel import ChannelFormat
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "how-to" / "alerts.md").read_text(encoding="utf-8")


def row(rule: AlertRule) -> str:
    """The row of a rule in the table."""
    settings = ", ".join(f"`{name}` {value:g}" for name, value in rule.settings.items()) or "–"
    cells = (f"`{rule.name}`", rule.about, rule.severity.value, settings, rule.fires_when, rule.remedy)
    return f"| {' | '.join(cells)} |"


def test_the_table_of_rules_has_each_as_it_is() -> None:
    table = PAGE.partition("## Rules")[2].partition("## Afterwards")[0]
    documented = [line for line in table.splitlines() if line.startswith("| `")]
    assert documented == [row(rule) for rule in RULES.values()]


def test_the_table_of_channels_has_each_format() -> None:
    table = PAGE.partition("## Channels")[2].partition("## Heartbeat")[0]
    assert re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE) == [each.value for each in ChannelFormat]


def test_the_example_can_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_URL", "PAGERDUTY_KEY", "HEARTBEAT_URL"):
        monkeypatch.setenv(name, f"https://example.com/{name}")
    example = PAGE.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "alerts.toml").write_text(example, encoding="utf-8")
    settings = read_alerts(tmp_path / "alerts.toml", can_sign=False)
    assert set(settings.channels) == {"ops", "oncall"}
    assert settings.rules["batch_stuck"].thresholds == {"after_seconds": 1800}
    assert settings.heartbeat is not None
