"""What a comparison counts, and how it compares."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement

from benchmarks.comparison.completeness import Outcome, complaints
from benchmarks.comparison.entrant import ENTRANTS
from benchmarks.comparison.machine import PACKAGES
from benchmarks.comparison.page import BEGIN, END, inserted
from benchmarks.comparison.spread import Spread, ratio
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "explanation" / "performance.md"


def test_a_run_counts_in_which_every_item_is_stored_right_and_called_back_once() -> None:
    assert complaints(3, Outcome(stored=3, right=3, ids=["b", "a", "c"])) == []


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        (Outcome(stored=2, right=2, ids=["a", "b", "c"]), "2 items stored, not 3"),
        (Outcome(stored=4, right=3, ids=["a", "b", "c"]), "4 items stored, not 3"),
        (Outcome(stored=3, right=2, ids=["a", "b", "c"]), "2 of them done and right, not 3"),
        (Outcome(stored=3, right=3, ids=["a", "b"]), "2 items called back, not 3"),
        (Outcome(stored=3, right=3, ids=["a", "b", "b"]), "2 items called back, not 3"),
        (Outcome(stored=3, right=3, ids=["a", "b", "c", "c"]), "4 requests to the receiver, not 3"),
        # A request without the header: as our receiver writes that, and as nginx does.
        (Outcome(stored=3, right=3, ids=["a", "b", ""]), "2 items called back, not 3"),
        (Outcome(stored=3, right=3, ids=["a", "b", "-"]), "2 items called back, not 3"),
    ],
)
def test_a_run_does_not_count_with_anything_missing_wrong_or_twice(outcome: Outcome, complaint: str) -> None:
    assert complaint in complaints(3, outcome)


def test_contestants_are_compared_round_by_round() -> None:
    # A machine that is slow in the second round is so for both.
    assert ratio({1: 2_000.0, 2: 1_000.0, 3: 2_200.0}, {1: 100.0, 2: 50.0, 3: 100.0}) == Spread(20.0, 20.0, 22.0)


def test_rounds_in_which_one_of_them_does_not_count_are_left_out() -> None:
    assert ratio({1: 2_000.0, 3: 300.0}, {1: 100.0, 2: 1.0}) == Spread(20.0, 20.0, 20.0)
    assert ratio({1: 2_000.0}, {2: 100.0}) is None


def test_everyone_is_compared_with_one_of_ours_that_takes_part() -> None:
    ours = {entrant.title for entrant in ENTRANTS if entrant.rival is None}
    assert {entrant.module for entrant in ENTRANTS if entrant.title in ours} == {"ours"}
    assert {entrant.rival for entrant in ENTRANTS if entrant.rival is not None} <= ours


def test_contestants_have_titles_of_their_own_and_a_program() -> None:
    titles = [entrant.title for entrant in ENTRANTS]
    assert len(titles) == len(set(titles))
    programs = {path.stem for path in (ROOT / "benchmarks" / "contestants").glob("*.py")}
    assert {entrant.module for entrant in ENTRANTS} <= programs


def test_one_in_embedded_mode_is_compared_with_one_in_embedded_mode() -> None:
    by_title = {entrant.title: entrant for entrant in ENTRANTS}
    for entrant in ENTRANTS:
        if entrant.rival is not None:
            assert by_title[entrant.rival].is_on_postgresql == entrant.is_on_postgresql


def test_the_version_of_every_library_that_is_compared_is_reported() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    libraries = {Requirement(each).name for each in extras["bench"]} - {"matplotlib"}
    assert libraries <= set(PACKAGES)


def test_figures_replace_those_of_the_last_comparison_and_nothing_else() -> None:
    first = inserted(f"above\n{BEGIN}\n{END}\nbelow\n", "old")
    assert "old" in first
    second = inserted(first, "new")
    assert "old" not in second
    assert second == f"above\n{BEGIN}\n\nnew\n\n{END}\nbelow\n"


def test_the_page_has_a_place_for_figures_and_another_page_is_refused() -> None:
    assert "figures" in inserted(PAGE.read_text(encoding="utf-8"), "figures")
    with pytest.raises(ValueError, match="has no"):
        inserted(f"{END}\n{BEGIN}\n", "figures")
