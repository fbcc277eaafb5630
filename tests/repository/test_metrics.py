"""The page of metrics lists every family, as the code describes it."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from collections.abc import Sequence

import pytest

from pipeline.monitoring.families import COLLECT_FAMILIES, FROM_SQL, SQL_FAMILIES
from pipeline.telemetry.families import PROCESS_FAMILIES, SECONDS, Family, MetricKind
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
SQL, PROCESSES = (*SQL_FAMILIES, *COLLECT_FAMILIES), PROCESS_FAMILIES


def row(family: Family) -> str:
    """Return how the page shows a family."""
    labels = ", ".join(f"`{label}`" for label in family.labels) or "–"
    meaning = family.help.removesuffix(FROM_SQL).strip().rstrip(".")
    return f"| `{family.name}` | {family.kind} | {labels} | {meaning}. |"


@pytest.mark.parametrize(("heading", "families"), [("From SQL", SQL), ("From processes", PROCESSES)])
def test_the_page_lists_the_families_of_each_source(heading: str, families: Sequence[Family]) -> None:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `pipeline_.*$", section, re.MULTILINE) == [row(family) for family in families]


def test_the_page_lists_the_buckets() -> None:
    assert f"the buckets {', '.join(f'{bound:g}' for bound in SECONDS)} seconds" in " ".join(PAGE.split())


@pytest.mark.parametrize("family", [*SQL, *PROCESSES], ids=lambda family: family.name)
def test_names_follow_the_rules_of_prometheus(family: Family) -> None:
    assert re.fullmatch(r"pipeline_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind is MetricKind.COUNTER)


def test_families_of_sql_say_that_replicas_show_the_same() -> None:
    assert all(family.help.endswith(FROM_SQL) for family in SQL_FAMILIES)
    assert not any(FROM_SQL in family.help for family in PROCESSES)


def test_no_family_has_two_sources() -> None:
    names = [family.name for family in (*SQL, *PROCESSES)]
    assert len(names) == len(set(names))
