"""docs/explanation/one-item.md walks one item through code that exists."""

from __future__ import annotations

import ast
import re  # noqa: TID251 - constant patterns

import pytest

from tests.support.paths import DOCS, ROOT

PAGE = (DOCS / "explanation" / "one-item.md").read_text(encoding="utf-8")
STOPS = 12

#: A heading with its number, and the line below that says where the stop is.
HEADINGS = re.findall(r"^## (\d+)\. .+\n\n(.*)$", PAGE, re.MULTILINE)
#: `file:function`, `file:Class` or `file:Class.method`, wherever one is named.
PLACES = sorted(set(re.findall(r"`([\w/]+\.py:[\w.]+)`", PAGE)))


def exists(place: str) -> bool:
    """Say whether a `file:name` is defined: at the top of the module, or with a dot in the class before it."""
    file, _, name = place.partition(":")
    if not (ROOT / file).is_file():
        return False
    node: ast.AST = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    for part in name.split("."):
        found = [child for child in ast.iter_child_nodes(node) if _is_definition(child) and child.name == part]
        if not found:
            return False
        node = found[0]
    return True


def _is_definition(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)


def test_there_are_twelve_stops_in_order_and_no_other_section() -> None:
    assert [int(number) for number, _ in HEADINGS] == list(range(1, STOPS + 1))
    assert len(re.findall(r"^## ", PAGE, re.MULTILINE)) == STOPS


@pytest.mark.parametrize(("number", "line"), HEADINGS, ids=[number for number, _ in HEADINGS])
def test_each_stop_names_one_function(number: str, line: str) -> None:
    place = re.fullmatch(r"`([\w/]+\.py:[\w.]+)`", line)
    assert place, f"below the heading of stop {number} stands {line!r}"
    assert exists(place[1]), place[1]


@pytest.mark.parametrize("place", PLACES)
def test_each_function_that_the_page_names_exists(place: str) -> None:
    assert exists(place)


def test_each_stop_says_what_a_crash_leaves() -> None:
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    assert [text.splitlines()[0] for text in sections if "\n**After a crash**" not in text] == []


@pytest.mark.parametrize(
    "place",
    [
        "workers/tasks/nowhere.py:enrich",
        "workers/tasks/items.py:nothing",
        "pipeline/execution/micro_batch.py:MicroBatch.nothing",
        "pipeline/execution/micro_batch.py:claim",
        "pipeline/execution/micro_batch.py:MicroBatch.claim.more",
    ],
)
def test_what_does_not_exist_is_found_missing(place: str) -> None:
    assert not exists(place)
