"""The page on equal texts says what the code does."""

from __future__ import annotations

import re  # noqa: TID251 - constant patterns
from collections.abc import Iterator

from pipeline.stages.text.normal_form import fold
from pipeline.stages.text.phrase_matcher import PhraseMatcher
from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "reference" / "equal-texts.md").read_text(encoding="utf-8")
SPAN = re.compile(r"`+ ?([^`]+?) ?`+(?!`)")


def rows(heading: str) -> Iterator[list[list[str]]]:
    """Yield the code spans of each cell of the table below a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    for line in section.splitlines():
        if line.startswith("| ") and "`" in line:
            yield [SPAN.findall(cell) for cell in line.strip("| ").split(" | ")]


def finds(word: str, text: str) -> bool:
    return bool(PhraseMatcher([word], is_case_sensitive=False, whole_words=True).find(text))


def test_words_are_found_and_not_found_as_the_page_says() -> None:
    table = list(rows("Where words begin and end"))
    assert len(table) >= 9
    for texts, found, *others in table:
        for word in found:
            assert word == "the whole words" or any(finds(word, text) for text in texts), word
        for word in (others or [[]])[0]:
            assert not any(finds(word, text) for text in texts), word


def test_texts_that_the_page_tells_apart_differ() -> None:
    table = list(rows("What is not equal"))
    assert len(table) >= 9
    for written, others, *_ in table:
        both = [*written, *others]
        assert len({fold(text) for text in both}) == len(both), both


def test_texts_that_are_equal_without_case_are_equal() -> None:
    table = [cells for cells in rows("What is equal") if len(cells) == 3 and cells[1]]
    pairs = [(left, right) for written, equal, _ in table[-2:] for left in written for right in equal]
    assert ("STRASSE", "straße") in pairs
    assert all(fold(one) in {fold(other) for other in equal} for written, equal, _ in table[-2:] for one in written)
