"""What a definition from outside may not have. Whatever is not on the list is forbidden."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.definitions import Definition
from pipeline.domain.item import Stage
from pipeline.domain.remote_definition import ALLOWED, find_forbidden
from pipeline.stages.catalog import registry

KEYWORDS = {"use": "keywords", "rules": [{"label": "a", "any": ["b"]}]}


@pytest.mark.parametrize(
    ("tables", "paths"),
    [
        ({"classify": KEYWORDS, "enrich": [{"use": "language"}, {"use": "contacts"}]}, []),
        ({"classify": {"use": "os:system"}}, [("classify", "use")]),
        ({"classify": {"use": "sklearn", "model": "/etc/passwd"}}, [("classify", "use")]),
        ({"classify": {"use": "brand-new"}}, [("classify", "use")]),
        ({"classify": {"use": "language"}}, [("classify", "use")]),
        (
            {"enrich": [{"use": "contacts"}, {"use": "lookup"}, {"use": "http"}]},
            [("enrich", 1, "use"), ("enrich", 2, "use")],
        ),
        ({"enrich": {"use": "http"}}, [("enrich", "use")]),
        ({"classify": {**KEYWORDS, "default": "${AWS_SECRET}"}}, [("classify", "default")]),
        ({"a": [{"b": ["x", "${Y}"]}], "c${D}": 1}, [("a", 0, "b", 1), ("c${D}",)]),
        ({"classify": "keywords", "enrich": "http"}, []),
    ],
)
def test_the_parts_that_are_forbidden_are_named(tables: dict[str, Any], paths: list[tuple[object, ...]]) -> None:
    assert [part.path for part in find_forbidden(tables)] == paths


def test_nesting_of_any_depth_is_looked_through() -> None:
    deep: Any = "${X}"
    for _ in range(5_000):
        deep = [deep]
    assert len(find_forbidden({"classify": deep})) == 1


def test_every_built_in_and_every_table_was_judged() -> None:
    """A new one is forbidden until somebody has looked at what it reads and runs, and says so here."""
    judged = {Stage.CLASSIFY: {"sklearn"}, Stage.ENRICH: {"lookup", "http"}}
    for stage, forbidden in judged.items():
        assert set(registry.builtin_names(stage)) == forbidden | ALLOWED[stage.value]
    assert set(Definition.model_fields) == {"name", "input", "classify", "enrich", "retry", "guard"}
