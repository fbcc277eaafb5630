"""Scores, and the measuring of a classifier on labelled items."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.domain.item import Classification, WorkItem
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.errors import InvalidInput
from pipeline.quality.evaluate import evaluate
from pipeline.quality.score import ClassScore, Confusion, score
from tests.support.lazy import Lazy

metrics = Lazy("sklearn.metrics")

LABELS = st.sampled_from(["billing", "delivery", "other", "praise"])


def body(payload: dict[str, Any]) -> str:
    return str(payload["body"])


def first_word(items: list[WorkItem]) -> list[Classification | Failure]:
    return [Classification(item.text.split()[0]) for item in items]


def test_a_right_a_wrong_and_a_missing_answer_are_counted_apart() -> None:
    found = score(["a", "a", "b", "b"], ["a", "b", "b", None])

    assert found.accuracy == 0.5
    assert found.classes == (ClassScore("a", 1.0, 0.5, 2 / 3, 2), ClassScore("b", 0.5, 0.5, 0.5, 2))
    assert found.macro_f1 == pytest.approx((2 / 3 + 0.5) / 2)
    assert found.confusions == (Confusion("a", "b", 1),)


def test_the_most_frequent_confusion_comes_first_and_equal_ones_by_name() -> None:
    found = score(["c", "b", "a", "b", "a"], ["a", "a", "b", "a", "c"])

    assert found.confusions == (
        Confusion("b", "a", 2),
        Confusion("a", "b", 1),
        Confusion("a", "c", 1),
        Confusion("c", "a", 1),
    )


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        score([], [])


@pytest.mark.xdist_group("sklearn")
@settings(max_examples=60)
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truths, answers = [truth for truth, _ in pairs], [answer for _, answer in pairs]

    found = score(truths, answers)

    labels = [each.label for each in found.classes]
    expected = metrics.precision_recall_fscore_support(truths, answers, labels=labels, zero_division=0.0)
    assert found.accuracy == pytest.approx(metrics.accuracy_score(truths, answers))
    assert labels == sorted({*truths, *answers})
    for n, each in enumerate(found.classes):
        ours = (each.precision, each.recall, each.f1, each.support)
        assert ours == pytest.approx(tuple(column[n] for column in expected))


def test_each_item_is_measured_once_in_micro_batches_of_the_size_asked_for() -> None:
    sizes: list[int] = []
    seen: list[WorkItem] = []

    def classify(items: list[WorkItem]) -> list[Classification | Failure]:
        sizes.append(len(items))
        seen.extend(items)
        return first_word(items)

    told: list[int] = []
    labelled = [({"body": f"yes {n}"}, "yes") for n in range(7)]
    result = evaluate(classify, iter(labelled), text_of=body, micro_batch=3, progress=told.append)

    assert sizes == [3, 3, 1]
    assert told == [3, 6, 7]
    assert [item.text for item in seen] == [f"yes {n}" for n in range(7)]
    assert [item.item_id for item in seen] == [f"evaluation-{n}" for n in range(1, 8)]
    assert (result.n, result.accuracy, result.n_errors) == (7, 1.0, 0)


def test_the_worst_confusions_are_listed_up_to_the_number_asked_for() -> None:
    labelled = [({"body": "spam x"}, "ham")] * 3 + [({"body": "ham x"}, "spam")] + [({"body": "ham x"}, "ham")]

    result = evaluate(first_word, labelled, text_of=body, most_confusions=1)

    assert result.confusions == (Confusion("ham", "spam", 3),)
    assert result.accuracy == 0.2


def test_a_failed_item_is_wrong_and_its_failure_is_counted_by_type() -> None:
    def classify(items: list[WorkItem]) -> list[Classification | Failure]:
        return [
            Failure(FailureKind.PERMANENT, "NoMatch", f"no rule matched {item.item_id}")
            if item.text == "odd"
            else Classification("even")
            for item in items
        ]

    labelled = [({"body": "even"}, "even"), ({"body": "odd"}, "odd"), ({"body": "odd"}, "odd")]
    result = evaluate(classify, labelled, text_of=body)

    assert result.accuracy == pytest.approx(1 / 3)
    assert result.errors == {"NoMatch": 2}
    assert result.messages == {"NoMatch": "no rule matched evaluation-2"}
    assert result.n_errors == 2
    assert result.confusions == ()


def test_an_evaluation_of_nothing_says_so() -> None:
    with pytest.raises(InvalidInput, match="no labelled items"):
        evaluate(first_word, [], text_of=body)


def test_a_classifier_that_leaves_an_item_out_is_not_scored() -> None:
    with pytest.raises(ValueError, match="zip"):
        evaluate(lambda items: first_word(items)[:-1], [({"body": "a"}, "a"), ({"body": "b"}, "b")], text_of=body)
