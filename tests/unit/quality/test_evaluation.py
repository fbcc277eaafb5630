"""Scores, and the evaluation of a classifier on labelled items."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.item import Classification, WorkItem
from pipeline.domain.outcome import Failure, FailureKind
from pipeline.errors import InvalidInput
from pipeline.quality.evaluation import evaluate
from pipeline.quality.score import ClassScore, Confusion, score
from tests.support.lazy import Lazy

metrics = Lazy("sklearn.metrics")

LABELS = st.sampled_from(["billing", "delivery", "other", "praise"])


def get_body(payload: dict[str, Any]) -> str:
    return str(payload["body"])


def classify_by_first_word(items: list[WorkItem]) -> list[Classification | Failure]:
    return [Classification(item.text.split()[0]) for item in items]


def test_correct_wrong_and_missing_answers_are_scored() -> None:
    scores = score(["a", "a", "b", "b"], ["a", "b", "b", None])

    assert scores.accuracy == 0.5
    assert scores.classes == (ClassScore("a", 1.0, 0.5, 2 / 3, 2), ClassScore("b", 0.5, 0.5, 0.5, 2))
    assert scores.macro_f1 == pytest.approx((2 / 3 + 0.5) / 2)
    assert scores.confusions == (Confusion("a", "b", 1),)


def test_confusions_are_sorted_by_frequency_then_by_label() -> None:
    scores = score(["c", "b", "a", "b", "a"], ["a", "a", "b", "a", "c"])

    assert scores.confusions == (
        Confusion("b", "a", 2),
        Confusion("a", "b", 1),
        Confusion("a", "c", 1),
        Confusion("c", "a", 1),
    )


def test_scoring_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one example"):
        score([], [])


@pytest.mark.xdist_group("sklearn")
@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_scores_match_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    truths, answers = [truth for truth, _ in pairs], [answer for _, answer in pairs]

    scores = score(truths, answers)

    labels = [each.label for each in scores.classes]
    expected = metrics.precision_recall_fscore_support(truths, answers, labels=labels, zero_division=0.0)
    assert scores.accuracy == pytest.approx(metrics.accuracy_score(truths, answers))
    assert labels == sorted({*truths, *answers})
    for n, each in enumerate(scores.classes):
        ours = (each.precision, each.recall, each.f1, each.support)
        assert ours == pytest.approx(tuple(column[n] for column in expected))


def test_each_item_is_measured_once_in_micro_batches_of_the_given_size() -> None:
    sizes: list[int] = []
    seen: list[WorkItem] = []

    def classify(items: list[WorkItem]) -> list[Classification | Failure]:
        sizes.append(len(items))
        seen.extend(items)
        return classify_by_first_word(items)

    progress: list[int] = []
    labelled = [({"body": f"yes {n}"}, "yes") for n in range(7)]
    result = evaluate(classify, iter(labelled), text_of=get_body, micro_batch=3, progress=progress.append)

    assert sizes == [3, 3, 1]
    assert progress == [3, 6, 7]
    assert [item.text for item in seen] == [f"yes {n}" for n in range(7)]
    assert [item.item_id for item in seen] == [f"evaluation-{n}" for n in range(1, 8)]
    assert (result.n, result.accuracy, result.n_errors) == (7, 1.0, 0)


def test_at_most_max_confusions_are_listed() -> None:
    labelled = [({"body": "spam x"}, "ham")] * 3 + [({"body": "ham x"}, "spam")] + [({"body": "ham x"}, "ham")]

    result = evaluate(classify_by_first_word, labelled, text_of=get_body, max_confusions=1)

    assert result.confusions == (Confusion("ham", "spam", 3),)
    assert result.accuracy == 0.2


def test_a_failed_item_counts_as_wrong_and_failures_are_counted_by_type() -> None:
    def classify(items: list[WorkItem]) -> list[Classification | Failure]:
        return [
            Failure(FailureKind.PERMANENT, "NoMatch", f"no rule matched {item.item_id}")
            if item.text == "odd"
            else Classification("even")
            for item in items
        ]

    labelled = [({"body": "even"}, "even"), ({"body": "odd"}, "odd"), ({"body": "odd"}, "odd")]
    result = evaluate(classify, labelled, text_of=get_body)

    assert result.accuracy == pytest.approx(1 / 3)
    assert result.errors == {"NoMatch": 2}
    assert result.messages == {"NoMatch": "no rule matched evaluation-2"}
    assert result.n_errors == 2
    assert result.confusions == ()


def test_items_that_were_trained_on_are_counted_and_the_others_scored_apart() -> None:
    labelled = [({"body": f"yes {n}"}, "yes") for n in range(6)] + [({"body": "yes new"}, "no"), ({"body": "no"}, "no")]

    result = evaluate(
        classify_by_first_word, labelled, text_of=get_body, was_trained_on=lambda item: item.text[-1].isdigit()
    )

    assert result.n_trained_on == 6
    assert result.untrained is not None
    assert (result.untrained.n, result.untrained.accuracy) == (2, 0.5)
    assert result.warnings == ("6 of 8 examples were trained on: their answers are no measure of new texts",)


def test_without_other_items_there_is_no_other_score() -> None:
    result = evaluate(
        classify_by_first_word, [({"body": "a"}, "a")], text_of=get_body, was_trained_on=lambda item: True
    )

    assert (result.n_trained_on, result.untrained) == (1, None)


def test_without_a_model_card_it_is_unknown_what_was_trained_on() -> None:
    result = evaluate(classify_by_first_word, [({"body": "a"}, "a")], text_of=get_body)

    assert (result.n_trained_on, result.untrained, result.warnings) == (None, None, ())


def test_answers_that_differ_from_labels_only_in_how_they_are_written_are_reported() -> None:
    result = evaluate(classify_by_first_word, [({"body": "billing"}, "Billing")], text_of=get_body)

    assert result.accuracy == 0.0
    assert result.warnings == (
        "labels that differ only in case, spaces or signs count as different: 'Billing' and 'billing'",
    )


def test_evaluating_no_items_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="no labelled items"):
        evaluate(classify_by_first_word, [], text_of=get_body)


def test_a_classifier_that_skips_an_item_is_an_error() -> None:
    labelled = [({"body": "a"}, "a"), ({"body": "b"}, "b")]
    with pytest.raises(ValueError, match="zip"):
        evaluate(lambda items: classify_by_first_word(items)[:-1], labelled, text_of=get_body)
