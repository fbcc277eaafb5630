"""Training: the data it uses, the scores it measures, the files it writes, and the input it rejects."""

from __future__ import annotations

import hashlib
import json
import random
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.domain.item import Classification, WorkItem
from pipeline.errors import InvalidInput
from pipeline.quality.example import check_examples, hash_examples, read_examples, read_labelled_rows
from pipeline.quality.holdout import hold_out
from pipeline.quality.training import train
from pipeline.stages.classifiers.sklearn import Spec, build
from pipeline.stages.models.vocabulary import MAX_TERM_LENGTH, frequent_terms

# Run all of these in one process, so that only it imports scikit-learn.
pytestmark = pytest.mark.xdist_group("sklearn")

WORDS = {
    "billing": ["invoice", "refund", "charge", "payment", "card"],
    "delivery": ["parcel", "courier", "late", "address", "tracking"],
    "login": ["password", "account", "locked", "email", "code"],
}
FILLERS = ["my", "the", "please", "again", "about", "help", "with", "today"]
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def tickets(per_class: int = 40, seed: int = 0) -> list[tuple[str, str]]:
    rng = random.Random(seed)
    return [
        (" ".join(rng.sample(FILLERS, 4) + rng.sample(words, 2)), label)
        for label, words in WORDS.items()
        for _ in range(per_class)
    ]


def answers(model: Path, texts: list[str]) -> list[Classification]:
    step = build(Spec(use="sklearn", model=model.name), model.parent)
    return list(step.call([WorkItem(f"b-{n}", "b", {}, text) for n, text in enumerate(texts, 1)]))


def test_a_trained_model_labels_texts_it_has_never_seen(tmp_path: Path) -> None:
    report = train(tickets(), output=tmp_path / "tickets.skops")

    fresh = tickets(seed=1)
    assert [answer.label for answer in answers(report.model, [text for text, _ in fresh])] == [
        label for _, label in fresh
    ]


def test_the_report_describes_training_hold_out_and_scores(tmp_path: Path) -> None:
    steps: list[str] = []

    report = train(tickets(40), output=tmp_path / "tickets.skops", held_out=0.25, seed=7, progress=steps.append)

    assert (report.n_train, report.n_held_out, report.n_scored) == (120, 30, 30)
    assert report.scored_on == "held-out examples"
    assert report.labels == ("billing", "delivery", "login")
    assert [each.support for each in report.classes] == [10, 10, 10]
    assert report.accuracy == 1.0
    assert report.warnings == ()
    assert report.model_hash == hashlib.sha256(report.model.read_bytes()).hexdigest()
    assert steps[1:3] == ["fitting to 90 examples, with 30 held out", "fitting to all 120 examples"]


def test_the_scored_model_has_not_seen_the_held_out_examples(tmp_path: Path) -> None:
    # The labels are random, so only a model that has seen the scored examples could answer them.
    rng = random.Random(3)
    noise = [(f"word{n} word{n}x", rng.choice(["heads", "tails"])) for n in range(400)]

    report = train(noise, output=tmp_path / "noise.skops", held_out=0.5)

    assert report.accuracy < 0.65
    written = answers(report.model, [text for text, _ in noise])
    assert [answer.label for answer in written] == [label for _, label in noise], "the final model has seen them all"


def test_the_model_is_scored_on_the_test_examples(tmp_path: Path) -> None:
    wrong = [(text, "login") for text, label in tickets(5, seed=2) if label == "billing"]

    report = train(tickets(), output=tmp_path / "tickets.skops", test=[*wrong, ("parcel late", "lost")])

    assert report.scored_on == "test examples"
    assert report.n_scored == 6
    assert report.accuracy == 0.0
    assert report.score.confusions[0].count == 5
    assert report.warnings == ("in the test examples, but never trained on: 'lost'",)


def test_the_same_examples_in_any_order_give_the_same_answers(tmp_path: Path) -> None:
    shuffled = tickets()
    random.Random(5).shuffle(shuffled)
    texts = [text for text, _ in tickets(seed=9)]

    one = train(tickets(), output=tmp_path / "one.skops", seed=3)
    two = train(iter(shuffled), output=tmp_path / "two.skops", seed=3)

    assert answers(one.model, texts) == answers(two.model, texts)
    assert (one.data_hash, one.score, one.confidence_scale) == (two.data_hash, two.score, two.confidence_scale)


def test_different_examples_have_different_hashes() -> None:
    more = [*tickets(), ("one more", "login")]
    assert hash_examples(check_examples(tickets())) != hash_examples(check_examples(more))
    assert hash_examples(check_examples([("a b", "c")])) != hash_examples(check_examples([("a", "b c")]))


def test_confidence_equals_the_share_of_correct_answers(tmp_path: Path) -> None:
    # A third of the labels are random, so no classifier can be correct much more often than 7 times in 9.
    rng = random.Random(11)

    def blurred(seed: int) -> list[tuple[str, str]]:
        return [
            (text, rng.choice(list(WORDS)) if rng.random() < 1 / 3 else label) for text, label in tickets(300, seed)
        ]

    report = train(blurred(1), output=tmp_path / "tickets.skops")
    fresh = blurred(2)

    found = answers(report.model, [text for text, _ in fresh])
    accuracy = sum(answer.label == label for answer, (_, label) in zip(found, fresh, strict=True)) / len(fresh)
    assert report.confidence_scale != 1.0
    assert sum(answer.confidence or 0.0 for answer in found) / len(found) == pytest.approx(accuracy, abs=0.05)


def test_confidence_is_not_calibrated_on_too_few_examples(tmp_path: Path) -> None:
    report = train(tickets(10), output=tmp_path / "tickets.skops")

    assert report.confidence_scale == 1.0
    assert "not calibrated" in report.card.read_text()


def test_two_classes_are_enough(tmp_path: Path) -> None:
    report = train([pair for pair in tickets(60) if pair[1] != "login"], output=tmp_path / "two.skops", held_out=0.5)

    good, bad = answers(report.model, ["refund my invoice", "courier late with parcel"])
    assert (good.label, bad.label) == ("billing", "delivery")
    assert good.scores is not None
    assert set(good.scores) == {"billing", "delivery"}


def test_a_class_with_one_example_is_learned_with_a_warning(tmp_path: Path) -> None:
    report = train([*tickets(), ("unsubscribe newsletter", "privacy")], output=tmp_path / "tickets.skops")

    assert report.warnings == ("only one example, so it is never held out: 'privacy'",)
    assert "privacy" in report.labels
    assert answers(report.model, ["unsubscribe newsletter"])[0].label == "privacy"


def test_the_card_next_to_the_model_has_text_and_json(tmp_path: Path) -> None:
    odd = [(f"odd {n}", "a|b") for n in range(4)]

    report = train([*tickets(), *odd], output=tmp_path / "models" / "tickets.skops", seed=4, now=lambda: NOON)

    text = report.card.read_text(encoding="utf-8")
    facts = json.loads(text.split("```json\n")[1].split("```")[0])
    assert report.card == tmp_path / "models" / "tickets.card.md"
    assert "then fitted to all of them" in text
    assert "| a\\|b | 1.000 |" in text
    assert facts["trained_at"] == "2026-11-21T12:00:00Z"
    assert (facts["model"], facts["seed"], facts["n_train"]) == ("tickets.skops", 4, 124)
    assert facts["data_hash"] == hash_examples(check_examples([*tickets(), *odd]))
    assert facts["score"]["accuracy"] == report.accuracy
    assert set(facts["versions"]) == {"python", "scikit-learn", "skops", "numpy", "pipeline"}


def test_the_card_does_not_contain_texts_of_examples(tmp_path: Path) -> None:
    report = train([*tickets(), ("xyzzy invoice", "billing")], output=tmp_path / "tickets.skops")

    assert "xyzzy" not in report.card.read_text()


def test_files_are_replaced_and_no_temporary_files_remain(tmp_path: Path) -> None:
    (tmp_path / "tickets.skops").write_text("an older model")

    train(tickets(), output=tmp_path / "tickets.skops")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["tickets.card.md", "tickets.skops"]
    assert answers(tmp_path / "tickets.skops", ["refund invoice"])[0].label == "billing"


def test_the_error_for_an_unwritable_output_names_it(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file where a folder is needed")

    with pytest.raises(InvalidInput, match=r"cannot write .*tickets\.skops: .*choose another output"):
        train(tickets(), output=tmp_path / "models" / "tickets.skops")

    (tmp_path / "folder.skops").mkdir()
    with pytest.raises(InvalidInput, match=r"cannot write .*folder\.skops: it is a folder"):
        train(tickets(), output=tmp_path / "folder.skops")


def test_an_unwritable_card_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "tickets.card.md").mkdir()

    with pytest.raises(InvalidInput, match=r"cannot write .*tickets\.card\.md"):
        train(tickets(), output=tmp_path / "tickets.skops")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tickets.card.md", "tickets.skops"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([], "at least two classes; there are none"),
        ([("a text", "spam"), ("b text", "spam")], "at least two classes; all have the label 'spam'"),
        ([("a text", "spam"), ("b text", "ham")], "every class has only one example"),
        ([("a text", "spam"), ("  ", "ham")], "example 2: its text is empty"),
        ([("a text", "spam"), ("b text", "")], "example 2: its label is empty"),
        ([("a text", "spam"), ("b text", "h\ud800m")], "example 2: label .* a lone surrogate"),
        ([("?!", "spam"), ("...", "ham"), ("--", "ham")], "no text contains a word"),
    ],
)
def test_examples_that_cannot_be_trained_on_are_rejected(
    pairs: list[tuple[str, str]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=message):
        train(pairs, output=tmp_path / "tickets.skops")
    assert list(tmp_path.iterdir()) == []


def test_empty_test_examples_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no test examples"):
        train(tickets(), output=tmp_path / "tickets.skops", test=[])


@pytest.mark.parametrize(
    ("output", "held_out", "seed", "message"),
    [
        ("tickets.pkl", 0.1, 0, r"ends in \.skops; try tickets\.skops"),
        ("tickets.skops", 0.0, 0, "held_out is 0.0"),
        ("tickets.skops", 0.9, 0, "held_out is 0.9"),
        ("tickets.skops", 0.1, -1, "seed is -1"),
    ],
)
def test_invalid_options_are_rejected_before_anything_is_read(
    output: str, held_out: float, seed: int, message: str
) -> None:
    unread = iter(tickets())

    with pytest.raises(InvalidInput, match=message):
        train(unread, output=Path(output), held_out=held_out, seed=seed)
    assert len(list(unread)) == len(tickets())


def test_the_error_for_a_missing_extra_has_the_command_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "pipeline.stages.models.linear_model", raising=False)
    monkeypatch.delattr("pipeline.stages.models.linear_model", raising=False)
    monkeypatch.setitem(sys.modules, "skops", None)
    monkeypatch.setitem(sys.modules, "skops.io", None)

    with pytest.raises(InvalidInput, match=r"pip install 'pipeline\[sklearn\]'"):
        train(tickets(), output=tmp_path / "tickets.skops")


def test_examples_are_read_from_the_named_columns() -> None:
    rows = [{"id": 7, "body": "late parcel", "kind": " delivery "}, {"id": 8, "body": "refund", "kind": 3}]

    assert list(read_examples(rows, text="body", label="kind")) == [("late parcel", "delivery"), ("refund", "3")]
    assert list(read_labelled_rows(rows, label="kind"))[0] == ({"id": 7, "body": "late parcel"}, "delivery")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"body": "x"}, "row 2 has no column 'kind'; it has 'body'"),
        ({"kind": "x"}, "row 2 has no column 'body'; it has"),
        ({}, "row 2 has no column 'kind'; it has none"),
        (dict.fromkeys(map(str, range(23)), "x"), "it has '0', '1', .*, '19' and 3 more$"),
        ({"x" * 1_000: "y"}, "it has 'x{80}…'$"),
        ({"body": "x", "kind": None}, "row 2: column 'kind' is empty"),
        ({"body": " ", "kind": "x"}, "row 2: column 'body' is empty"),
        ({"body": ["x"], "kind": "x"}, "row 2: column 'body' contains a list; it must be text"),
    ],
)
def test_the_error_for_an_invalid_row_names_row_and_column(row: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        list(read_examples([{"body": "x", "kind": "x"}, row], text="body", label="kind"))


@given(
    labels=st.lists(st.sampled_from("abcde"), min_size=1, max_size=60),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_split_is_a_partition_that_keeps_every_class_in_training(
    labels: list[str], share: float, seed: int
) -> None:
    texts = [f"text {n}" for n in range(len(labels))]
    split = hold_out(labels, texts, share, seed)

    assert sorted(split.training + split.held_out) == list(range(len(labels)))
    held_out, total = Counter(labels[n] for n in split.held_out), Counter(labels)
    assert {labels[n] for n in split.training} == set(labels)
    assert split.singletons == tuple(sorted(label for label, count in total.items() if count == 1))
    for label, count in total.items():
        assert held_out[label] == min(max(round(count * share), 1), count - 1)
    assert hold_out(labels, texts, share, seed) == split


@given(
    pairs=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=60),
    share=st.floats(0.01, 0.5),
    seed=st.integers(0, 2**32 - 1),
)
def test_copies_are_on_the_same_side_of_the_split(pairs: list[tuple[str, int]], share: float, seed: int) -> None:
    labels, texts = [label for label, _ in pairs], [str(text) for _, text in pairs]
    split = hold_out(labels, texts, share, seed)

    assert sorted(split.training + split.held_out) == list(range(len(labels)))
    assert {texts[n] for n in split.training}.isdisjoint(texts[n] for n in split.held_out)
    assert {labels[n] for n in split.training} == set(labels)


def noise(copies: int, write: Callable[[str, int], str] = lambda text, n: text) -> list[tuple[str, str]]:
    """Return texts with random labels, on which no model can be right more often than by chance."""
    rng = random.Random(3)
    texts = [(f"word{n} and words{n}", rng.choice(["heads", "tails"])) for n in range(120)]
    return [(write(text, copy), label) for text, label in texts for copy in range(copies)]


@pytest.mark.parametrize(
    "write",
    [
        lambda text, n: text,
        lambda text, n: text + " " * n,
        lambda text, n: text.upper() if n % 2 else text,
        lambda text, n: text + "!" * n,
        lambda text, n: text.replace(" ", "\u00a0") if n % 2 else "\u200b" + text,
    ],
)
def test_copies_of_a_text_do_not_raise_the_score(tmp_path: Path, write: Callable[[str, int], str]) -> None:
    report = train(noise(8, write), output=tmp_path / "noise.skops", held_out=0.5)

    assert report.accuracy < 0.65
    assert report.warnings == ("840 of 960 examples are copies of others; copies are held out together",)


def test_a_text_with_different_labels_is_reported(tmp_path: Path) -> None:
    doubtful = [("Pay my invoice!", "billing"), ("pay my  invoice", "sales"), ("sales offer", "sales")]

    report = train([*doubtful, *tickets()], output=tmp_path / "tickets.skops")

    assert "1 text has different labels, such as examples 1 ('billing') and 2 ('sales')" in report.warnings


def test_labels_that_differ_only_in_how_they_are_written_are_reported(tmp_path: Path) -> None:
    labels = ("Billing", "billing ", "Café", "cafe\u0301", "login", "log in")
    examples = [(f"word{n} text{k}", label) for n in range(5) for k, label in enumerate(labels)]

    report = train(examples, output=tmp_path / "tickets.skops")

    assert report.warnings == (
        "labels that differ only in case, spaces or signs count as different: 'Billing' and 'billing ';"
        " 'Café' and 'cafe\u0301'",
    )


def test_test_examples_that_were_trained_on_are_reported(tmp_path: Path) -> None:
    report = train(tickets(), output=tmp_path / "tickets.skops", test=[*tickets()[:3], ("A new parcel", "delivery")])

    assert report.warnings == ("3 of 4 test examples were trained on, so the scores are too high",)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_equal_texts_have_equal_answers(tmp_path: Path, form: Literal["NFC", "NFD"]) -> None:
    words = {"né": "un", "déçu": "deux", "été": "trois"}
    examples = [(f"{word} {filler} {n}", label) for word, label in words.items() for n in range(20) for filler in "xy"]
    report = train([(normalize(form, text), label) for text, label in examples], output=tmp_path / "words.skops")

    texts = [text for text, _ in examples]
    expected = answers(report.model, texts)
    assert [answer.label for answer in expected] == [label for _, label in examples]
    for write in (lambda text: normalize("NFC", text), lambda text: normalize("NFD", text), str.upper, "\u00ad".join):
        assert answers(report.model, [write(text) for text in texts]) == expected


def test_the_terms_in_the_most_documents_are_kept_and_sorted() -> None:
    documents = [["b", "a", "a"], ["b", "c"], ["b", "c", "d"], ["x" * (MAX_TERM_LENGTH + 1), "b"]]

    assert frequent_terms(documents, min_documents=1, max_terms=9) == ["a", "b", "c", "d"]
    assert frequent_terms(documents, min_documents=2, max_terms=9) == ["b", "c"]
    assert frequent_terms(documents, min_documents=1, max_terms=3) == ["a", "b", "c"]


def test_frequent_terms_survive_when_rare_terms_exceed_the_limit() -> None:
    documents = ([f"rare{n}", f"odd{n}", "always", *(["often"] if n % 3 else [])] for n in range(2_000))

    assert frequent_terms(documents, min_documents=500, max_terms=9, max_counted=50) == ["always", "often"]


def test_rare_terms_are_dropped_when_they_exceed_the_limit() -> None:
    documents = [["twice"], *([f"rare{n}"] for n in range(200)), ["twice"]]

    assert frequent_terms(documents, min_documents=2, max_terms=9) == ["twice"]
    assert frequent_terms(documents, min_documents=2, max_terms=9, max_counted=50) == []


def test_the_schema_of_a_model_file_does_not_grow_with_its_terms(tmp_path: Path) -> None:
    more = [(f"{text} extra{n} word{n}", label) for n, (text, label) in enumerate(tickets())]

    small = train(tickets(), output=tmp_path / "small.skops")
    large = train(more, output=tmp_path / "large.skops")

    sizes = [zipfile.ZipFile(report.model).getinfo("schema.json").file_size for report in (small, large)]
    assert large.n_terms - small.n_terms >= 2 * len(more)
    assert sizes[1] - sizes[0] < len(more)
